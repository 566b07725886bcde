//! The kernel's interfaces, one file each. The only room with `unsafe`, ioctl, netlink and /proc.

pub mod boot;
pub mod reboot;
