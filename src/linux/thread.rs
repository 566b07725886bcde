//! setpriority(2) for one thread: Linux gives each its own nice value.
#![expect(unsafe_code, reason = "nix has no setpriority")]

/// Lets everyone else go first: the calling thread's nice value becomes `nice`, 1 to 19.
pub fn yield_to_others(nice: i32) {
    // SAFETY: plain numbers; `who` 0 is the calling thread.
    let _ = unsafe { nix::libc::setpriority(nix::libc::PRIO_PROCESS, 0, nice) };
}
