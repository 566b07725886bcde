//! From files to a [`Config`], whatever the files are like: a bad file never bricks a box.
//!
//! ```text
//!   read(sources) -> Read -- no error ---------------------------> Files    (kept as last good)
//!                     |  `-- error, there is a last good copy ---> LastGood
//!                     `-- error, none ---------------------------> Rescue: defaults, and the bridges
//!                                                                  if that section is valid
//!   no file at all ----------------------------------------------> Defaults
//! ```
//! Two steps, because the last good copy lies in the state directory, which a file may name.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Config;
use super::files::{self, Page};
use super::merge::merge;
use super::node::Node;
use super::original::{self, Form};
use super::paths::Surroundings;
use super::problem::{Mark, Problem, Report, Severity};
use super::sections;
use super::yaml;

/// Which files are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// The usual places, drop-ins included.
    Search,
    /// This file and no other.
    Only(PathBuf),
}

/// Where the effective configuration is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// There is no file.
    Defaults,
    /// The files as they are.
    Files,
    /// The files as they last loaded: they have errors now.
    LastGood,
    /// The files have errors and never loaded: defaults, with the bridges if that section is valid.
    Rescue,
}

/// What the files say, before it is known what they said last.
#[derive(Clone, Debug)]
pub struct Read {
    judged: Judged,
    pages: Vec<Page>,
}

/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// Everything that is wrong with the files, errors and warnings.
    pub problems: Vec<Problem>,
    /// Where it is from.
    pub source: Source,
    /// The files that were read, lowest layer first.
    pub files: Vec<PathBuf>,
    /// To be stored as the last good copy, if it is not what is stored there already.
    pub keep: Option<Vec<u8>>,
}

/// What some files come to.
#[derive(Clone, Debug)]
struct Judged {
    /// What they say where they say something usable, else the defaults.
    config: Config,
    /// Defaults, and the bridges if that section is valid.
    rescue: Config,
    problems: Vec<Problem>,
    usable: bool,
}

/// The last good copy as it is stored: texts, so that it is judged by the same rules as a file.
#[derive(Serialize, Deserialize)]
struct Copy {
    files: Vec<CopiedFile>,
}

#[derive(Serialize, Deserialize)]
struct CopiedFile {
    path: PathBuf,
    text: String,
}

/// Reads the files.
pub fn read(sources: &Sources, around: &Surroundings) -> Read {
    let pages = match sources {
        Sources::Only(file) => vec![files::open(file)],
        Sources::Search => files::search(&around.places()),
    };
    Read { judged: judge(&pages, around), pages }
}

impl Read {
    /// Where the store is, so that the last good copy can be looked up.
    pub fn state_dir(&self) -> &Path {
        &self.judged.config.state_dir
    }

    /// Decides what holds. `last_good` is what an earlier [`Loaded::keep`] asked to store.
    pub fn settle(self, around: &Surroundings, last_good: Option<&[u8]>) -> Loaded {
        let Read { judged, pages } = self;
        let files = pages.iter().map(|page| page.path.clone()).collect();
        let loaded = |config, source, keep| Loaded {
            config,
            problems: judged.problems,
            source,
            files,
            keep,
        };
        if pages.is_empty() {
            return loaded(judged.config, Source::Defaults, None);
        }
        if judged.usable {
            let copy = copy_of(&pages).filter(|copy| Some(copy.as_slice()) != last_good);
            return loaded(judged.config, Source::Files, copy);
        }
        let copied = last_good.and_then(pages_of);
        let before = copied.map(|pages| judge(&pages, around)).filter(|before| before.usable);
        match before {
            // the store was opened where the files of now say
            Some(before) => {
                let config = Config { state_dir: judged.config.state_dir, ..before.config };
                loaded(config, Source::LastGood, None)
            }
            None => loaded(judged.rescue, Source::Rescue, None),
        }
    }
}

/// Everything that is wrong with one file; `maestro config check` prints it.
pub fn check(file: &Path, around: &Surroundings) -> Vec<Problem> {
    read(&Sources::Only(file.to_owned()), around).judged.problems
}

/// Everything that is wrong with a text, for the tests of the sections.
#[cfg(test)]
pub(crate) fn problems_of(text: &str) -> Vec<Problem> {
    let page = Page { path: "f".into(), bytes: Ok(text.as_bytes().to_vec()), notes: Vec::new() };
    judge(&[page], &Surroundings::default()).problems
}

fn judge(pages: &[Page], around: &Surroundings) -> Judged {
    let mut report = Report::default();
    let mut forms = Vec::new();
    let mut tree = Node::empty(Mark::default());
    for page in pages {
        let file = report.file(page.path.display().to_string());
        let whole = Mark { file, ..Mark::default() };
        for note in &page.notes {
            report.add(whole, "", Severity::Warning, note.clone());
        }
        let layer = match &page.bytes {
            Ok(bytes) => yaml::parse(bytes, file, &report),
            Err(reason) => {
                report.add(whole, "", Severity::Error, reason.clone());
                Node::empty(whole)
            }
        };
        forms.push(original::form(&layer, &sections::OWN));
        tree = merge(tree, original::translate(layer, &report));
    }
    let form = |at: Mark| forms.get(usize::from(at.file)).copied().unwrap_or(Form::Own);
    let config = sections::decode(&tree, &report, around.defaults(), &|at| form(at).stray());
    let rescue = rescue(&config, &report, around);
    let usable = report.usable();
    Judged { config, rescue, problems: report.into_problems(), usable }
}

/// Defaults, and what the cloud needs to find the box: its bridges and its name, if they are valid.
fn rescue(config: &Config, report: &Report, around: &Surroundings) -> Config {
    let valid = |path: &str| !report.has_error_below(path);
    let mut rescue = Config { state_dir: config.state_dir.clone(), ..around.defaults() };
    if valid("/gateway_id") {
        rescue.gateway_id = config.gateway_id.clone();
    }
    if valid("/root") {
        rescue.root = config.root.clone();
    }
    if valid("/bridges") {
        rescue.bridges = config.bridges.clone();
    }
    rescue
}

fn copy_of(pages: &[Page]) -> Option<Vec<u8>> {
    let copied = |page: &Page| {
        let text = String::from_utf8(page.bytes.clone().ok()?).ok()?;
        Some(CopiedFile { path: page.path.clone(), text })
    };
    let files = pages.iter().map(copied).collect::<Option<Vec<_>>>()?;
    serde_json::to_vec(&Copy { files }).ok()
}

fn pages_of(copy: &[u8]) -> Option<Vec<Page>> {
    let copy: Copy = serde_json::from_slice(copy).ok()?;
    let page = |file: CopiedFile| Page {
        path: file.path,
        bytes: Ok(file.text.into_bytes()),
        notes: Vec::new(),
    };
    Some(copy.files.into_iter().map(page).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A user whose configuration lies in a directory of its own.
    struct Box {
        dir: tempfile::TempDir,
        around: Surroundings,
    }

    impl Box {
        fn new() -> Box {
            let dir = tempfile::tempdir().unwrap();
            let around = Surroundings {
                uid: 1000,
                home: Some("/home/ann".into()),
                xdg_config: Some(dir.path().to_owned()),
                ..Surroundings::default()
            };
            fs::create_dir_all(dir.path().join("maestro/conf.d")).unwrap();
            Box { dir, around }
        }

        fn with(self, name: &str, text: &str) -> Box {
            fs::write(self.dir.path().join("maestro").join(name), text).unwrap();
            self
        }

        fn load(&self, last_good: Option<&[u8]>) -> Loaded {
            read(&Sources::Search, &self.around).settle(&self.around, last_good)
        }
    }

    const CLOUD: &str = "bridges: [{name: cloud, url: 'mqtts://cloud'}]\n";

    #[test]
    fn a_higher_layer_says_what_holds_and_problems_name_their_file() {
        let boxed = Box::new()
            .with("maestro.yaml", &format!("gateway_id: A\nlog_level: warn\n{CLOUD}"))
            .with("conf.d/10.yaml", "gateway_id: B\nbridges: [{name: lab, url: 'mqtt://lab'}]\n")
            .with("conf.d/20.yaml", "bridges: [{name: cloud, keepalive: 5m}]\nstats:\n  cpi: 1s\n");
        let loaded = boxed.load(None);
        let [problem] = &loaded.problems[..] else { panic!("{:?}", loaded.problems) };
        assert!(problem.to_string().contains("conf.d/20.yaml:3:3: error: stats.cpi:"), "{problem}");
        assert_eq!(loaded.files.len(), 3);

        let mended = boxed.with("conf.d/20.yaml", "bridges: [{name: cloud, keepalive: 5m}]\n");
        let config = mended.load(None).config;
        assert_eq!(
            (config.gateway_id.as_str(), config.log_level),
            ("B", super::super::LogLevel::Warn)
        );
        let bridges: Vec<_> =
            config.bridges.iter().map(|b| (b.name.as_str(), b.keepalive.as_secs())).collect();
        assert_eq!(bridges, [("cloud", 300), ("lab", 60)]);
    }

    #[test]
    fn a_file_that_loads_is_kept_once_and_holds_when_the_file_breaks() {
        let boxed = Box::new().with("maestro.yaml", "gateway_id: A\nlog_level: warn\n");
        let first = boxed.load(None);
        assert_eq!(first.source, Source::Files);
        let kept = first.keep.unwrap();
        assert_eq!(boxed.load(Some(&kept)).keep, None, "an unchanged file is not written again");

        let broken = boxed.with("maestro.yaml", "gateway_id: B\nlog_level: [\n");
        let second = broken.load(Some(&kept));
        assert_eq!(second.source, Source::LastGood);
        assert_eq!(second.config, first.config);
        assert_eq!(second.keep, None, "a broken file is never kept");
        assert_eq!(second.problems.len(), 1, "{:?}", second.problems);
    }

    #[test]
    fn without_a_last_good_copy_the_cloud_can_still_reach_the_box() {
        let text = format!("gateway_id: A\n{CLOUD}broker:\n  listeners: 5\nstate_dir: /srv/s\n");
        let boxed = Box::new().with("maestro.yaml", &text);
        for useless in
            [None, Some(&b"not a copy"[..]), Some(br#"{"files":[{"path":"x","text":"["}]}"#)]
        {
            let loaded = boxed.load(useless);
            assert_eq!(loaded.source, Source::Rescue);
            assert_eq!(loaded.config.gateway_id, "A");
            assert_eq!(loaded.config.bridges.len(), 1);
            assert_eq!(loaded.config.state_dir, Path::new("/srv/s"));
            assert_eq!(loaded.config.broker, boxed.around.defaults().broker);
        }
        let worse = boxed.with("maestro.yaml", "bridges: [{name: cloud, url: x}]\n").load(None);
        assert_eq!((worse.source, worse.config.bridges.len()), (Source::Rescue, 0));
    }

    #[test]
    fn no_file_at_all_is_nothing_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = super::super::paths::Places::new(dir.path().join("x"), dir.path());
        assert!(files::search(&[nowhere]).is_empty());
        let around = Surroundings { uid: 7, ..Surroundings::default() };
        let read = Read { judged: judge(&[], &around), pages: vec![] };
        let loaded = read.settle(&around, Some(b"{}"));
        assert_eq!((loaded.source, loaded.config), (Source::Defaults, around.defaults()));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_in_one_sentence() {
        let around = Surroundings::default();
        let problems = check(Path::new("/nonexistent/maestro.yaml"), &around);
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            ["/nonexistent/maestro.yaml: error: cannot be read: no such file or directory"]
        );
    }

    #[test]
    fn the_runtime_directory_takes_the_default_socket_along() {
        let boxed = Box::new().with("maestro.yaml", "runtime_dir: /srv/run\n");
        let config = boxed.load(None).config;
        let socket = crate::broker::config::Listener::unix("/srv/run/mqtt.sock");
        assert_eq!(config.broker.listeners[0], socket);
    }

    #[test]
    fn a_macro_is_no_value_yet_and_no_mistake() {
        let text = "gateway_id: {{ARCH_SERIAL_NUMBER}}\nstats: {cpu: \"{{EVERY}}\"}\n\
                    state_dir: {{DATA}}/state\nbroker: {limits: {max_inflight: {{N}}}}\n";
        let boxed = Box::new().with("maestro.yaml", text);
        let loaded = boxed.load(None);
        assert_eq!(loaded.source, Source::Files, "{:?}", loaded.problems);
        assert_eq!(loaded.problems.len(), 4, "{:?}", loaded.problems);
        assert_eq!(loaded.config, boxed.around.defaults());
    }

    proptest::proptest! {
        #[test]
        fn no_file_of_known_words_makes_it_panic(
            words in proptest::collection::vec(
                proptest::sample::select(vec![
                    "bridges", "broker", "stats", "name", "url", "listeners", "tcp", "sys_stats",
                    "symphony", "vm_stats", "every", "clientId", ":", " ", "\n", "  ", "- ", "{",
                    "}", "[", "]", ",", "cpu", "5s", "'", "&a ", "*a", "<<", "{{X}}", "\t", "limits",
                ]),
                0..60,
            )
        ) {
            let page = Page { path: "f".into(), bytes: Ok(words.concat().into_bytes()), notes: vec![] };
            judge(&[page], &Surroundings::default());
        }
    }
}
