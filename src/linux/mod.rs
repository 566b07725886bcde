//! The kernel's interfaces, one file each. The only room with `unsafe`, ioctl, netlink and /proc.

pub mod account;
pub mod boot;
pub mod diskstats;
pub mod holder;
pub mod inherited;
pub mod limits;
pub mod loadavg;
pub mod locks;
pub mod machine;
pub mod meminfo;
pub mod memory;
pub mod mount;
pub mod netdev;
pub mod peer;
pub mod proc;
pub mod reboot;
pub mod stat;
pub mod tcp;
pub mod thermal;
pub mod thread;
pub mod usage;
