//! Sockets that were open before this process was: systemd's socket activation, sd_listen_fds(3).
//!
//! ```text
//!   LISTEN_PID=<us>  LISTEN_FDS=2  ──>  descriptors 3 and 4 are listening sockets for us
//! ```
//! Whoever starts us binds, and keeps them open while we are away: who connects meanwhile waits.
#![expect(unsafe_code, reason = "a descriptor that comes by its number, and the environment")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// The first of them (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;
/// The variables that tell of them.
const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];
/// More than a unit file has; a number beyond that is a mistake.
const MOST: RawFd = 256;

/// Takes the sockets that were handed over to this process, in their order. No program that we start
/// inherits them, nor what the environment said of them. To be called first of all, once: while there is
/// no other thread.
pub fn sockets() -> Vec<OwnedFd> {
    let variable = |name: &str| std::env::var(name).ok();
    let count = handed_over(variable("LISTEN_PID"), variable("LISTEN_FDS"), std::process::id());
    if !super::thread::is_alone() {
        return Vec::new(); // and the environment cannot be changed
    }
    for name in VARIABLES {
        // SAFETY: no other thread reads or writes the environment: there is none.
        unsafe { std::env::remove_var(name) };
    }
    let open = |number: &RawFd| {
        // SAFETY: the number is only asked about, and closed at exec; EBADF when it is nobody's.
        let known = unsafe { std::os::fd::BorrowedFd::borrow_raw(*number) };
        fcntl(known, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_ok()
    };
    // SAFETY: open, and nobody else's: whoever started us left them for us, and the variables that
    // said so are gone, so that this happens once.
    let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
    (FIRST..FIRST + count).filter(open).map(own).collect()
}

/// How many there are for the process `me`.
fn handed_over(pid: Option<String>, count: Option<String>, me: u32) -> RawFd {
    let ours = pid.and_then(|pid| pid.parse().ok()) == Some(me);
    let count =
        count.and_then(|count| count.parse().ok()).filter(|count| (0..=MOST).contains(count));
    count.filter(|_| ours).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_for_this_process_is_taken() {
        let told = |pid: &str, count: &str| handed_over(Some(pid.into()), Some(count.into()), 42);
        assert_eq!(told("42", "2"), 2);
        assert_eq!(told("43", "2"), 0, "left over from whoever started who started us");
        for count in ["", "-1", "two", "1000000"] {
            assert_eq!(told("42", count), 0, "{count}");
        }
        assert_eq!(handed_over(None, Some("2".into()), 42), 0);
        assert_eq!(handed_over(Some("42".into()), None, 42), 0);
    }
}
