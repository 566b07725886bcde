//! `/proc/self/mountinfo`: what is mounted where, and statvfs(3): how full it is.
//! proc_pid_mountinfo(5).

use std::io;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::statvfs::statvfs;

use super::proc::{ProcFile, lines, words};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where: an absolute path, as the kernel has it.
    pub point: String,
    /// What: `ext4`, `vfat`.
    pub kind: String,
    /// Of what: `/dev/mmcblk0p2`, or a word of the file system's own.
    pub source: String,
    /// `major:minor` of the device; the same for every mount of one file system.
    pub device: String,
}

/// How full a file system is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// All of it, in bytes.
    pub total: u64,
    /// Not used, root's reserve included, in bytes.
    pub free: u64,
    /// What an ordinary user can still write, in bytes.
    pub available: u64,
    /// Inodes there are; 0 where there is no table of them (vfat, btrfs).
    pub inodes: u64,
    /// Inodes not used.
    pub inodes_free: u64,
}

/// The mounts, in the kernel's order; lines that are not of the format are passed over.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Mount> {
    lines(bytes).filter_map(mount)
}

/// `36 35 179:2 / /data rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw`
fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = words(line);
    let device = words.nth(2)?;
    let point = words.nth(1)?;
    let mut after_dash = words.skip_while(|word| word != b"-").skip(1);
    Some(Mount {
        point: unescape(point),
        kind: unescape(after_dash.next()?),
        source: unescape(after_dash.next()?),
        device: unescape(device),
    })
}

/// The kernel writes space, tab, newline and backslash as `\040` and the like.
fn unescape(word: &[u8]) -> String {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// Whether something was mounted or unmounted since the file was opened, or since this was last
/// asked: the kernel marks the file as ready for "priority".
pub fn changed(mountinfo: &ProcFile) -> bool {
    let mut fds = [PollFd::new(mountinfo.file().as_fd(), PollFlags::POLLPRI)];
    match poll(&mut fds, PollTimeout::ZERO) {
        Ok(_) => fds[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLPRI)),
        Err(_) => true, // look again rather than miss it
    }
}

/// How full the file system mounted at `point` is. Waits for the server where the file system is
/// remote: ask it of local ones only.
///
/// # Errors
/// When it is gone or not ours to see.
pub fn space(point: &str) -> io::Result<Space> {
    let stat = statvfs(point).map_err(io::Error::from)?;
    #[expect(clippy::useless_conversion, reason = "32 bits wide on 32-bit targets")]
    let wide = |blocks: nix::libc::fsblkcnt_t| u64::from(blocks);
    #[expect(clippy::useless_conversion, reason = "32 bits wide on 32-bit targets")]
    let block = u64::from(stat.fragment_size());
    Ok(Space {
        total: wide(stat.blocks()).saturating_mul(block),
        free: wide(stat.blocks_free()).saturating_mul(block),
        available: wide(stat.blocks_available()).saturating_mul(block),
        inodes: wide(stat.files()),
        inodes_free: wide(stat.files_free()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"27 1 179:2 / / rw,relatime shared:1 - ext4 /dev/mmcblk0p2 rw\n\
        28 27 0:21 / /proc rw - proc proc rw\n\
        40 27 8:1 / /media/my\\040disk rw shared:7 master:2 - vfat /dev/sda1 rw,uid=0\n\
        41 27 8:1 broken\n";

    #[test]
    fn optional_fields_are_skipped_and_escapes_undone() {
        let mounts: Vec<_> = parse(MOUNTS).collect();
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[0].point.as_str(), mounts[0].kind.as_str()), ("/", "ext4"));
        assert_eq!(mounts[2].point, "/media/my disk");
        assert_eq!((mounts[2].source.as_str(), mounts[2].device.as_str()), ("/dev/sda1", "8:1"));
    }

    #[test]
    fn every_machine_has_room_at_its_root() {
        let space = space("/").unwrap();
        assert!(space.total >= space.free && space.free >= space.available);
        assert!(self::space("/no/such/mount").is_err());
    }

    #[test]
    fn nothing_changes_while_nobody_mounts() {
        let file = ProcFile::open("/proc/self/mountinfo").unwrap();
        assert!((0..100).any(|_| !changed(&file)));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            parse(&bytes).for_each(drop);
            parse(&[b"1 1 0:1 / /a\\04 ", &bytes[..]].concat()).for_each(drop);
        }
    }
}
