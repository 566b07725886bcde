//! Which file systems, block devices and interfaces are worth measuring.

use crate::linux::mount::Mount;

use super::config::Disks;

/// File systems that live on a disk of this machine and can fill up.
const LOCAL: [&str; 22] = [
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fat", "fuseblk", "hfsplus",
    "jffs2", "jfs", "msdos", "nilfs2", "ntfs", "ntfs3", "reiserfs", "ubifs", "udf", "vfat", "xfs",
    "zfs",
];
/// File systems that somebody else answers for: a question to them can wait for ever, and the whole
/// daemon with it. Never asked, whatever the configuration says.
const REMOTE: [&str; 15] = [
    "9p",
    "afs",
    "autofs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "fuse",
    "gfs2",
    "glusterfs",
    "lustre",
    "ncpfs",
    "nfs",
    "nfs4",
    "smb3",
];
/// The most file systems that are measured; a box with more mounts the same ones many times.
const MOUNTS: usize = 32;

/// The file systems to measure, each once: of several mounts of one, that with the shortest path.
pub(super) fn mounts(all: impl Iterator<Item = Mount>, disks: &Disks) -> Vec<Mount> {
    let mut chosen: Vec<Mount> = Vec::new();
    for mount in all.filter(|mount| is_wanted(mount, disks)) {
        chosen.retain(|other| other.point != mount.point); // mounted over it: what is seen is the last
        match chosen.iter().position(|other| other.device == mount.device) {
            Some(at) if chosen[at].point.len() <= mount.point.len() => {}
            Some(at) => chosen[at] = mount,
            None if chosen.len() < MOUNTS => chosen.push(mount),
            None => {}
        }
    }
    chosen
}

fn is_wanted(mount: &Mount, disks: &Disks) -> bool {
    let kind = mount.kind.as_str();
    let remote = kind.starts_with("fuse.") || REMOTE.contains(&kind);
    let named = |list: &[String], name: &String| list.contains(name);
    let white_mounts = &disks.white_list_mountpoints;
    let white_parts = &disks.white_list_partitions;
    let white = named(white_mounts, &mount.point) || named(white_parts, &mount.source);
    let black = named(&disks.ignore_mountpoints, &mount.point)
        || named(&disks.ignore_partitions, &mount.source);
    if remote || black || !(white || white_mounts.is_empty() && white_parts.is_empty()) {
        return false;
    }
    white || LOCAL.contains(&kind) || kind == "overlay" && mount.point == "/"
}

/// Whether a block device is a real one, seen whole: no partition of the one before it, nothing made
/// of memory or files, nothing that would count the same traffic twice.
pub(super) fn is_disk(name: &[u8], before: Option<&[u8]>) -> bool {
    const NOT: [&[u8]; 8] = [b"loop", b"ram", b"zram", b"sr", b"fd", b"dm-", b"md", b"nbd"];
    let boot_part = name.starts_with(b"mmcblk") && name.windows(4).any(|part| part == b"boot");
    let partition = before.is_some_and(|whole| is_partition(name, whole));
    !boot_part && !partition && !NOT.iter().any(|prefix| name.starts_with(prefix))
}

/// `sda1` of `sda`, `mmcblk0p2` of `mmcblk0`.
fn is_partition(name: &[u8], whole: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(whole) else { return false };
    let number = match whole.last() {
        Some(last) if last.is_ascii_digit() => rest.strip_prefix(b"p").unwrap_or_default(),
        Some(_) | None => rest,
    };
    !number.is_empty() && number.iter().all(u8::is_ascii_digit)
}

/// Whether an interface leads somewhere: not the loopback, and not the box's end of a container's pair.
pub(super) fn is_interface(name: &[u8]) -> bool {
    name != b"lo" && !name.starts_with(b"veth")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, kind: &str, source: &str, device: &str) -> Mount {
        Mount {
            point: point.into(),
            kind: kind.into(),
            source: source.into(),
            device: device.into(),
        }
    }

    fn a_box() -> Vec<Mount> {
        vec![
            mount("/", "ext4", "/dev/mmcblk0p2", "179:2"),
            mount("/proc", "proc", "proc", "0:4"),
            mount("/run", "tmpfs", "tmpfs", "0:5"),
            mount("/boot", "vfat", "/dev/mmcblk0p1", "179:1"),
            mount("/snap/core/1", "squashfs", "/dev/loop0", "7:0"),
            mount("/mnt/nas", "nfs4", "nas:/export", "0:40"),
            mount("/mnt/ssh", "fuse.sshfs", "me@there:", "0:41"),
            mount("/var/lib/docker/overlay2/x/merged", "overlay", "overlay", "0:50"),
            mount("/var/lib/bound", "ext4", "/dev/mmcblk0p2", "179:2"),
        ]
    }

    fn points(disks: &Disks) -> Vec<String> {
        mounts(a_box().into_iter(), disks).into_iter().map(|mount| mount.point).collect()
    }

    #[test]
    fn local_file_systems_that_can_fill_up_each_once() {
        assert_eq!(points(&Disks::default()), ["/", "/boot"]);
    }

    #[test]
    fn a_server_that_may_hang_is_never_asked_even_if_named() {
        let named = vec!["/mnt/nas".to_owned(), "/mnt/ssh".to_owned(), "/run".to_owned()];
        let disks = Disks { white_list_mountpoints: named, ..Disks::default() };
        assert_eq!(points(&disks), ["/run"]);
    }

    #[test]
    fn the_originals_lists_choose() {
        let ignore = Disks { ignore_partitions: vec!["/dev/mmcblk0p1".into()], ..Disks::default() };
        assert_eq!(points(&ignore), ["/"]);
        let white =
            Disks { white_list_partitions: vec!["/dev/mmcblk0p1".into()], ..Disks::default() };
        assert_eq!(points(&white), ["/boot"]);
    }

    #[test]
    fn of_two_mounts_at_one_place_the_later_is_the_one_seen() {
        let two =
            [mount("/data", "ext4", "/dev/a", "1:1"), mount("/data", "ext4", "/dev/b", "1:2")];
        let chosen = mounts(two.into_iter(), &Disks::default());
        assert_eq!(chosen.len(), 1);
        assert_eq!(chosen[0].source, "/dev/b");
    }

    #[test]
    fn partitions_and_made_up_devices_are_no_disks() {
        let disk = |name: &str, before: &str| is_disk(name.as_bytes(), Some(before.as_bytes()));
        assert!(disk("sdb", "sda") && disk("sdaa", "sda") && disk("nvme0n1", "sda"));
        assert!(
            !disk("sda1", "sda") && !disk("mmcblk0p1", "mmcblk0") && !disk("nvme0n1p12", "nvme0n1")
        );
        assert!(disk("mmcblk1", "mmcblk0") && !disk("mmcblk0boot1", "mmcblk0"));
        assert!(!disk("loop0", "") && !disk("zram0", "") && !disk("dm-0", ""));
    }
}
