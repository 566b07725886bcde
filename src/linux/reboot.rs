//! Ends the box: sync(2), then reboot(2). Or writes down that it would have: tests run the whole
//! road with [`Hand::Recorder`] and cannot reboot the machine they run on.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use nix::sys::reboot::{RebootMode, reboot};

/// What ends the box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hand {
    /// The kernel does it.
    #[default]
    Kernel,
    /// Nothing happens, and a line `reboot` or `power_off` is appended to this file.
    Recorder(PathBuf),
}

/// How the box ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It starts again.
    Reboot,
    /// It stays off.
    PowerOff,
}

impl Hand {
    /// Whether it may: CAP_SYS_BOOT in the effective set.
    pub fn permitted(&self) -> bool {
        match self {
            Hand::Kernel => cap_sys_boot(),
            Hand::Recorder(_) => true,
        }
    }

    /// Ends the box. Does not return when the kernel obeys.
    ///
    /// # Errors
    /// When the kernel refuses, or the recorder's file cannot be written.
    pub fn end(&self, end: End) -> io::Result<()> {
        match self {
            Hand::Kernel => {
                nix::unistd::sync();
                let mode = match end {
                    End::Reboot => RebootMode::RB_AUTOBOOT,
                    End::PowerOff => RebootMode::RB_POWER_OFF,
                };
                reboot(mode).map(|never| match never {}).map_err(io::Error::from)
            }
            Hand::Recorder(path) => {
                let line = match end {
                    End::Reboot => "reboot\n",
                    End::PowerOff => "power_off\n",
                };
                let mut file = OpenOptions::new().create(true).append(true).open(path)?;
                file.write_all(line.as_bytes())?;
                file.sync_all()
            }
        }
    }
}

/// Bit 22 of the effective capabilities, capabilities(7).
fn cap_sys_boot() -> bool {
    const CAP_SYS_BOOT: u32 = 22;
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return false };
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set & (1 << CAP_SYS_BOOT) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorder_writes_one_line_per_end_and_reboots_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ends");
        let hand = Hand::Recorder(path.clone());
        hand.end(End::Reboot).unwrap();
        hand.end(End::PowerOff).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "reboot\npower_off\n");
    }

    #[test]
    fn the_recorder_needs_no_privilege() {
        assert!(Hand::Recorder("/nowhere".into()).permitted());
    }
}
