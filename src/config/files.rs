//! The hands: finds and reads files.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::paths::Places;
use super::yaml;

/// One file that was read, or not.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) path: PathBuf,
    /// Its content, or why there is none, as one sentence.
    pub(super) bytes: Result<Vec<u8>, String>,
    /// What a person should know of how it was found.
    pub(super) notes: Vec<String>,
}

/// The files of the first place that has any, lowest layer first.
pub(super) fn search(places: &[Places]) -> Vec<Page> {
    let found = places.iter().map(in_place).find(|pages| !pages.is_empty());
    found.unwrap_or_default()
}

fn in_place(places: &Places) -> Vec<Page> {
    let mut mains = places.main.iter().filter(|path| is_there(path));
    let mut main: Vec<Page> = mains.next().map(|path| open(path)).into_iter().collect();
    if let (Some(page), Some(other)) = (main.first_mut(), mains.next()) {
        page.notes.push(format!("is read; {} is not, there is only one", other.display()));
    }
    let (below, above) = (drop_ins(&places.below), drop_ins(&places.above));
    below.into_iter().chain(main).chain(above).collect()
}

/// Whether there is anything, readable or not.
fn is_there(path: &Path) -> bool {
    match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => {
            !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        }
    }
}

/// The `*.yaml` of a directory in the order of their names.
fn drop_ins(dir: &Path) -> Vec<Page> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            let bytes = Err(format!("cannot be read: {}", plain(&error)));
            return vec![Page { path: dir.to_owned(), bytes, notes: Vec::new() }];
        }
    };
    let yaml = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "yaml");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(yaml);
    paths.sort();
    paths.iter().map(|path| open(path)).collect()
}

/// Reads a file; what is none, or too large to be meant, is told.
pub(super) fn open(path: &Path) -> Page {
    let bytes = content(path).map_err(|error| format!("cannot be read: {}", plain(&error)));
    Page { path: path.to_owned(), bytes, notes: Vec::new() }
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    // a FIFO must not make the daemon wait
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    file.take(yaml::LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The sentence without the number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn drop_ins_lie_below_and_above_the_main_file_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["below/2.yaml", "below/1.yaml", "etc/conf.d/9.yaml", "etc/conf.d/x.bak"] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), name).unwrap();
        }
        let places =
            [Places::new(at("none"), &at("nowhere")), Places::new(at("below"), &at("etc"))];
        let names = || -> Vec<String> {
            let pages = search(&places);
            let name =
                |page: &Page| page.path.strip_prefix(dir.path()).unwrap().display().to_string();
            pages.iter().map(name).collect()
        };
        assert_eq!(names(), ["below/1.yaml", "below/2.yaml", "etc/conf.d/9.yaml"]);
        fs::write(at("etc/maestro.config"), "").unwrap();
        assert_eq!(names()[2], "etc/maestro.config");
        fs::write(at("etc/maestro.yaml"), "").unwrap();
        assert_eq!(names()[2], "etc/maestro.yaml");
        let main = &search(&places)[2];
        assert!(main.notes[0].contains("maestro.config is not"), "{:?}", main.notes);
    }

    #[test]
    fn what_is_no_file_or_endless_is_one_sentence() {
        for (path, told) in [
            ("/", "cannot be read: not a file"),
            ("/dev/zero", "cannot be read: not a file"),
            ("/nonexistent/x", "cannot be read: no such file or directory"),
        ] {
            assert_eq!(open(Path::new(path)).bytes.unwrap_err(), told);
        }
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(open(&fifo).bytes.unwrap_err(), "cannot be read: not a file");
    }
}
