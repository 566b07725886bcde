//! Threads of this process: whether there are others, and setpriority(2) for one, as Linux gives each its
//! own nice value.
#![expect(unsafe_code, reason = "nix has no setpriority")]

/// Whether the calling thread is the only one (proc_pid_task(5)); false where nobody can tell.
pub fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Lets everyone else go first: the calling thread's nice value becomes `nice`, 1 to 19.
pub fn yield_to_others(nice: i32) {
    // SAFETY: plain numbers; `who` 0 is the calling thread.
    let _ = unsafe { nix::libc::setpriority(nix::libc::PRIO_PROCESS, 0, nice) };
}
