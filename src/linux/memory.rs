//! Memory of this process that it no longer uses: malloc_trim(3).
#![expect(unsafe_code, reason = "glibc's own call, in no safe crate")]

/// Gives the free pages of the heap back to the system. glibc keeps what a burst needed for ever
/// otherwise: only the top of a heap shrinks by itself. Other libraries give back as they go.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer, and takes its own locks.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
