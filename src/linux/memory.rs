//! Memory of this process that it no longer uses: mallopt(3), malloc_trim(3).
#![expect(unsafe_code, reason = "glibc's own call, in no safe crate")]

/// From now on each small piece that is freed is joined with its free neighbours at once. glibc puts that off
/// otherwise, and then somebody's one allocation joins all of them: for 4 ms, after thousands of rows.
/// Before there is any other thread.
pub fn join_at_once() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes no pointer; 0 is a size M_MXFAST allows: no piece is small enough to wait.
    unsafe {
        nix::libc::mallopt(nix::libc::M_MXFAST, 0);
    }
}

/// Gives the free pages of the heap back to the system. glibc keeps what a burst needed for ever
/// otherwise: only the top of a heap shrinks by itself. Other libraries give back as they go.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer, and takes its own locks.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
