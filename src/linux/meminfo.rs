//! `/proc/meminfo`: what the memory is used for. proc_meminfo(5).

use super::proc::{lines, number, words};

/// All in bytes; what the kernel does not tell is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Usable RAM.
    pub total: u64,
    /// Not used for anything.
    pub free: u64,
    /// What a new program could have without swapping. Before Linux 3.14 an estimate: free, buffers
    /// and page cache.
    pub available: u64,
    /// Raw disk blocks.
    pub buffers: u64,
    /// Page cache.
    pub cached: u64,
    /// Recently used pages.
    pub active: u64,
    /// Pages not used for a while.
    pub inactive: u64,
    /// Shared memory and tmpfs.
    pub shared: u64,
    /// The kernel's own structures.
    pub slab: u64,
    /// Waits to be written to disk.
    pub dirty: u64,
    /// Promised to programs.
    pub committed: u64,
    /// Swap space.
    pub swap_total: u64,
    /// Swap space not used.
    pub swap_free: u64,
}

/// The table as it stands; `None` without `MemTotal` and `MemFree`.
pub fn parse(bytes: &[u8]) -> Option<Memory> {
    let mut memory = Memory::default();
    let (mut total, mut free, mut available) = (None, None, None);
    for line in lines(bytes) {
        let mut words = words(line);
        let (Some(key), Some(value)) = (words.next(), words.next()) else { continue };
        let Some(bytes) = number(value).map(|kib| kib.saturating_mul(1024)) else { continue };
        match key {
            b"MemTotal:" => total = Some(bytes),
            b"MemFree:" => free = Some(bytes),
            b"MemAvailable:" => available = Some(bytes),
            b"Buffers:" => memory.buffers = bytes,
            b"Cached:" => memory.cached = bytes,
            b"Active:" => memory.active = bytes,
            b"Inactive:" => memory.inactive = bytes,
            b"Shmem:" => memory.shared = bytes,
            b"Slab:" => memory.slab = bytes,
            b"Dirty:" => memory.dirty = bytes,
            b"Committed_AS:" => memory.committed = bytes,
            b"SwapTotal:" => memory.swap_total = bytes,
            b"SwapFree:" => memory.swap_free = bytes,
            _ => {}
        }
    }
    memory.total = total?;
    memory.free = free?;
    memory.available = available.unwrap_or_else(|| {
        let cache = memory.buffers.saturating_add(memory.cached).saturating_sub(memory.shared);
        memory.free.saturating_add(cache)
    });
    memory.available = memory.available.min(memory.total);
    Some(memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: &[u8] = b"MemTotal:         509284 kB\nMemFree:           40960 kB\n\
        MemAvailable:     204800 kB\nBuffers:           10240 kB\nCached:           153600 kB\n\
        SwapCached:            0 kB\nActive:           102400 kB\nInactive:         204800 kB\n\
        Active(anon):      51200 kB\nSwapTotal:        262140 kB\nSwapFree:         262000 kB\n\
        Dirty:                12 kB\nShmem:              1024 kB\nSlab:              20480 kB\n\
        Committed_AS:     300000 kB\nHugePages_Total:       0\n";

    #[test]
    fn kibibytes_become_bytes() {
        let memory = parse(BOX).unwrap();
        assert_eq!(memory.total, 509_284 * 1024);
        assert_eq!(memory.available, 204_800 * 1024);
        assert_eq!((memory.active, memory.dirty), (102_400 * 1024, 12 * 1024));
        assert_eq!(memory.swap_free, 262_000 * 1024);
    }

    #[test]
    fn before_linux_3_14_what_is_available_is_estimated() {
        let text =
            b"MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 300 kB\nShmem: 20 kB\n";
        assert_eq!(parse(text).unwrap().available, 430 * 1024);
    }

    #[test]
    fn more_available_than_there_is_is_not_believed() {
        let text = b"MemTotal: 10 kB\nMemFree: 5 kB\nMemAvailable: 99999999999999999 kB\n";
        assert_eq!(parse(text).unwrap().available, 10 * 1024);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let _ = parse(&[BOX, &bytes[..]].concat());
        }
    }
}
