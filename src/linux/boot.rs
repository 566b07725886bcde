//! What identifies this machine and this boot of it.

use std::fs;

/// The kernel's random id of this boot, `/proc/sys/kernel/random/boot_id`
/// (`3f0c9a52-...`, 36 characters); `None` where /proc is missing.
pub fn boot_id() -> Option<String> {
    first_line("/proc/sys/kernel/random/boot_id")
}

/// The first eight hex digits of [`boot_id`], as `boot` on the bus; zeros where it is unknown.
pub fn short_boot_id() -> String {
    let id = boot_id().unwrap_or_default();
    match id.get(..8) {
        Some(short) if short.bytes().all(|b| b.is_ascii_hexdigit()) => short.to_owned(),
        Some(_) | None => "00000000".to_owned(),
    }
}

/// The id of this installation, machine-id(5): 32 hex digits, stays the same over reboots.
/// Secret to some: hash it before it goes on the bus.
pub fn machine_id() -> Option<String> {
    first_line("/etc/machine-id")
        .or_else(|| first_line("/var/lib/dbus/machine-id"))
        .filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The kernel's hostname.
pub fn hostname() -> Option<String> {
    nix::unistd::gethostname().ok()?.into_string().ok().filter(|name| !name.is_empty())
}

/// Time since the kernel started, suspend included, in seconds.
pub fn uptime_s() -> f64 {
    use nix::time::{ClockId, clock_gettime};
    match clock_gettime(ClockId::CLOCK_BOOTTIME) {
        Ok(time) => time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9,
        Err(_) => 0.0,
    }
}

fn first_line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_boot_id_is_eight_hex_digits_of_the_long_one() {
        let short = short_boot_id();
        assert_eq!(short.len(), 8);
        assert!(boot_id().unwrap().starts_with(&short));
    }

    #[test]
    fn a_running_machine_has_been_up_for_some_time() {
        assert!(uptime_s() > 0.0);
    }
}
