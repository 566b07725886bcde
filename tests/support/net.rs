//! Hosts of the test's own: network namespaces with a link between them, as root or as an ordinary
//! user (then inside a user namespace). Nothing outside them is touched.

use std::{
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
};

use super::{
    clock::{PATIENCE, until},
    peers,
    process::command,
};

/// A network with two hosts, `10.77.0.1` and `10.77.0.2`, on one veth.
pub(crate) struct Link {
    /// The box.
    pub(crate) near: Host,
    /// The other side.
    pub(crate) far: Host,
}

/// One host: a namespace kept by a sleeping process.
pub(crate) struct Host {
    keeper: Child,
    address: Ipv4Addr,
    rootless: bool,
}

impl Link {
    /// Makes it; the reason when this machine cannot.
    ///
    /// # Errors
    /// When namespaces are not allowed or `ip` and `nft` are missing: hand it to `skip`.
    pub(crate) fn new() -> Result<Link, String> {
        for program in ["ip", "nft", "nsenter", "unshare"] {
            peers::find(program).ok_or_else(|| format!("no {program}"))?;
        }
        let near = Host::new(None, Ipv4Addr::new(10, 77, 0, 1))?;
        let far = Host::new(Some(&near), Ipv4Addr::new(10, 77, 0, 2))?;
        let pid = far.keeper.id().to_string();
        near.run("ip", &["link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", &pid])?;
        for host in [&near, &far] {
            host.run("ip", &["address", "add", &format!("{}/24", host.address), "dev", "eth0"])?;
            host.run("ip", &["link", "set", "eth0", "up"])?;
            host.run("ip", &["link", "set", "lo", "up"])?;
        }
        Ok(Link { near, far })
    }
    /// From now on every packet between the hosts vanishes, without a word to either.
    pub(crate) fn cut(&self) {
        let rules = "table inet cut { chain in { type filter hook input priority 0; iifname eth0 drop; }; \
                     chain out { type filter hook output priority 0; oifname eth0 drop; }; }";
        self.near.run("nft", &[rules]).expect("nft adds the cut");
    }
    /// Packets pass again.
    pub(crate) fn heal(&self) {
        self.near.run("nft", &["delete table inet cut"]).expect("nft removes the cut");
    }
}

impl Host {
    fn new(beside: Option<&Host>, address: Ipv4Addr) -> Result<Host, String> {
        let rootless = !nix::unistd::geteuid().is_root();
        let mut words = beside.filter(|_| rootless).map(Host::user_prefix).unwrap_or_default();
        words.extend(["unshare".to_owned(), "--net".to_owned()]);
        if rootless && beside.is_none() {
            words.extend(["--user".to_owned(), "--map-root-user".to_owned()]);
        }
        words.extend(["setpriv", "--pdeathsig=KILL", "sleep", "infinity"].map(str::to_owned));
        let mut command = command(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = command.spawn().map_err(|e| format!("unshare: {e}"))?;
        let mut host = Host { keeper, address, rootless };
        host.settled()?;
        Ok(host)
    }
    /// Its address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }
    /// The words that put a command on this host.
    pub(crate) fn prefix(&self) -> Vec<String> {
        let mut words = if self.rootless {
            self.user_prefix()
        } else {
            vec!["nsenter".to_owned(), "-t".to_owned(), self.keeper.id().to_string()]
        };
        words.push("--net".to_owned());
        words.push("--".to_owned());
        words
    }
    /// A peer's command on this host.
    pub(crate) fn peer(&self, program: &str) -> Command {
        let file = peers::find(program).unwrap_or_else(|| panic!("no {program}: run tests/run"));
        let words = self.prefix();
        let mut command = command(&words[0]);
        command.args(&words[1..]).arg(file);
        command
    }
    /// Runs a peer on this host to its end.
    ///
    /// # Errors
    /// What it said, when it failed.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.peer(program);
        command.args(arguments);
        let output = peers::output(command, PATIENCE);
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
    fn user_prefix(&self) -> Vec<String> {
        let pid = self.keeper.id().to_string();
        ["nsenter", "-t", &pid, "--user", "--preserve-credentials"].map(str::to_owned).into()
    }
    /// `unshare` has made its namespace once the keeper has become `sleep`.
    fn settled(&mut self) -> Result<(), String> {
        let comm = format!("/proc/{}/comm", self.keeper.id());
        until("a network namespace", PATIENCE, || {
            if let Ok(Some(status)) = self.keeper.try_wait() {
                return Some(Err(format!("namespaces are not allowed here (unshare: {status})")));
            }
            let name = std::fs::read_to_string(&comm).unwrap_or_default();
            (name.trim() == "sleep").then_some(Ok(()))
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
