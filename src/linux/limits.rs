//! The process's own limits (getrlimit(2)).

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// As many open files as the hard limit allows: a thousand clients are a thousand of them.
pub fn raise_open_files() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard); // the soft one stays, and is enough for most
    }
}
