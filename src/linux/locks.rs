//! Who holds a file lock: `/proc/locks` (proc_locks(5)).

use std::fs::File;
use std::os::unix::fs::MetadataExt;

/// The pid of a process that holds a lock (flock) on the file, where the kernel tells.
pub fn holder(file: &File) -> Option<u32> {
    let metadata = file.metadata().ok()?;
    let device = metadata.dev();
    let id = format!(
        "{:02x}:{:02x}:{}",
        nix::sys::stat::major(device),
        nix::sys::stat::minor(device),
        metadata.ino()
    );
    holder_in(&std::fs::read_to_string("/proc/locks").ok()?, &id)
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF`
fn holder_in(locks: &str, id: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, _, pid, at, ..] if at == id => pid.parse().ok(),
            _ => None, // another file, another kind of lock, or (`->`) one that only waits
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found_by_device_and_inode() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fd:00:77 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 22 fd:00:78 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 33 fd:00:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 44 fd:00:77 0 EOF\n";
        assert_eq!(holder_in(locks, "fd:00:78"), Some(22));
        assert_eq!(holder_in(locks, "fd:00:77"), Some(44));
        assert_eq!(holder_in(locks, "fd:00:99"), None);
    }

    #[test]
    fn our_own_lock_is_ours() {
        let file = tempfile::tempfile().unwrap();
        file.lock().unwrap();
        assert_eq!(holder(&file), Some(std::process::id()));
    }
}
