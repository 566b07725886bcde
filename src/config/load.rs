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
