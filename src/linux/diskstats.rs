//! `/proc/diskstats`: what was read from and written to each block device since boot.
//! Documentation/admin-guide/iostats.rst.

use super::proc::{lines, number, words};

/// The counters of one block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device<'b> {
    /// Its kernel name: `mmcblk0`, `sda`.
    pub name: &'b [u8],
    /// Reads completed.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Writes completed.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Milliseconds in which it had something to do. Wraps at 2^32 on most kernels.
    pub busy_ms: u64,
}

/// A sector here is 512 bytes whatever the device's own is.
const SECTOR_BYTES: u64 = 512;

/// The devices, in the kernel's order; lines that are not of the format are passed over.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Device<'_>> {
    lines(bytes).filter_map(device)
}

fn device(line: &[u8]) -> Option<Device<'_>> {
    let mut words = words(line).skip(2); // major, minor
    let name = words.next()?;
    let mut field = [0u64; 10];
    for into in &mut field {
        *into = number(words.next()?)?;
    }
    let [reads, _, sectors_read, _, writes, _, sectors_written, _, _in_flight, busy_ms] = field;
    Some(Device {
        name,
        reads,
        read_bytes: sectors_read.saturating_mul(SECTOR_BYTES),
        writes,
        written_bytes: sectors_written.saturating_mul(SECTOR_BYTES),
        busy_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLASH: &[u8] =
        b" 179       0 mmcblk0 1200 30 48000 900 340 12 6800 4100 0 2500 5000 0 0 0 0\n \
        179       1 mmcblk0p1 10 0 80 1 0 0 0 0 0 4 1\n   7 loop0 broken\n";

    #[test]
    fn sectors_become_bytes_and_broken_lines_are_passed_over() {
        let devices: Vec<_> = parse(FLASH).collect();
        assert_eq!(devices.len(), 2);
        let flash = Device {
            name: b"mmcblk0",
            reads: 1200,
            read_bytes: 48_000 * 512,
            writes: 340,
            written_bytes: 6800 * 512,
            busy_ms: 2500,
        };
        assert_eq!(devices[0], flash);
        assert_eq!(devices[1].name, b"mmcblk0p1");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            parse(&bytes).for_each(drop);
            parse(&[b" 8 0 sda 1 2 3 ", &bytes[..]].concat()).for_each(drop);
        }
    }
}
