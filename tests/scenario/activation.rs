//! Sockets that init opens and hands over (LISTEN_FDS), by systemd's own starter: nobody is turned away
//! while the daemon is not there yet.

use std::net::{Ipv4Addr, TcpStream};

use crate::support::{clock::PATIENCE, daemon::Daemon, ports::free_port};

/// The flags of a descriptor as /proc tells them: closed at exec.
const CLOEXEC: u32 = 0o2_000_000;

/// Whether each socket of a process is closed when it starts another program.
fn sockets_stay(pid: u32) -> bool {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
    let sockets = fds.filter(|fd| {
        std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    });
    let number = |fd: std::fs::DirEntry| fd.file_name().into_string().expect("a number");
    let mut flags =
        sockets.map(number).filter(|fd| fd.parse::<u32>().is_ok_and(|fd| fd > 2)).map(|fd| {
            let info =
                std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
            u32::from_str_radix(flags.unwrap_or("0").trim(), 8).expect("octal")
        });
    flags.all(|flags| flags & CLOEXEC != 0)
}

#[test]
fn sockets_that_init_has_open_are_taken_over_and_one_that_nobody_wants_is_told() {
    let (tcp, stray) = (free_port(), free_port());
    for ports in [&[tcp, stray][..], &[stray]] {
        let mut daemon = Daemon::build().on_port(tcp).activated(ports).start(); // by its first client
        let mut reader = daemon.client("reader");
        reader.subscribe("a/b", 1);
        assert_eq!(daemon.tcp_client("writer").publish("a/b", "over TCP").code, 0);
        assert_eq!(reader.on("a/b").text(), "over TCP");
        let said = daemon.stderr();
        let told =
            format!("no entry of broker.listeners is for its place place=\"127.0.0.1:{stray}\"");
        assert_eq!(said.matches(&told).count(), 1, "{said}");
        assert_eq!(said.matches("LISTEN_FDS").count(), 1, "one warning: {said}");
        assert!(!said.contains("taken"), "{said}");
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, stray)).is_err(), "closed");
        assert!(sockets_stay(daemon.process().pid()));
        daemon.process().signal(nix::sys::signal::Signal::SIGTERM);
        assert!(daemon.process().wait(PATIENCE).success());
        assert!(daemon.socket().exists(), "the socket is whoever's who opened it");
    }
}
