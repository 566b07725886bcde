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

use std::path::PathBuf;

use super::Config;
use super::paths::Surroundings;
use super::problem::Problem;

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
    config: Config,
    problems: Vec<Problem>,
    source: Source,
    files: Vec<PathBuf>,
    keep: Option<Vec<u8>>,
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

/// Reads the files.
pub fn read(sources: &Sources, around: &Surroundings) -> Read {
    let _ = sources;
    Read {
        config: around.defaults(),
        problems: Vec::new(),
        source: Source::Defaults,
        files: Vec::new(),
        keep: None,
    }
}

impl Read {
    /// Where the store is, so that the last good copy can be looked up.
    pub fn state_dir(&self) -> &std::path::Path {
        &self.config.state_dir
    }

    /// Decides what holds. `last_good` is what an earlier [`Loaded::keep`] asked to store.
    pub fn settle(self, around: &Surroundings, last_good: Option<&[u8]>) -> Loaded {
        let _ = (around, last_good);
        Loaded {
            config: self.config,
            problems: self.problems,
            source: self.source,
            files: self.files,
            keep: self.keep,
        }
    }
}

/// Everything that is wrong with one file; `maestro config check` prints it.
pub fn check(file: &std::path::Path, around: &Surroundings) -> Vec<Problem> {
    read(&Sources::Only(file.to_owned()), around).problems
}
