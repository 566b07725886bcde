//! Attackers run as this program started again, at nice 19 and, where that can be, as a user of their
//! own, so that they share neither processor time nor limits with those who are to be served.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::field::{Dice, Field};
use super::{crowds, door, floods, killers, mutants, slow};
use crate::door::House;
use crate::support::{clock, long, process};

/// How an attack is told what to do: its name, amount, seconds, seed, the directory and the listeners.
const ORDER: &str = "MAESTRO_ATTACK";
/// The user of the attackers, where there is a choice.
const NOBODY: &str = "65534";

/// One kind of attack.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// How much of it, in short and in full.
    pub(crate) amount: [usize; 2],
    /// It is broken off after so long, in short and in full.
    pub(crate) seconds: [u64; 2],
    /// Whether less than the amount is too little: it was promised to be withstood.
    pub(crate) promised: bool,
    /// Gives back how much of it was done.
    pub(crate) deed: fn(&mut Field) -> usize,
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Attack> {
    let tables = [killers::ALL, mutants::ALL, slow::ALL, door::ALL, crowds::ALL, floods::ALL];
    tables.into_iter().flatten()
}

/// Attacks by name.
pub(crate) fn those(names: &[&str]) -> Vec<&'static Attack> {
    let of =
        |name: &&str| all().find(|attack| attack.name == *name).expect("an attack of that name");
    names.iter().map(of).collect()
}

/// Whether this process was started as an attacker; then it has been one.
pub(crate) fn was_ordered() -> bool {
    let Ok(order) = std::env::var(ORDER) else { return false };
    let mut words = order.split(' ');
    let mut word = || words.next().expect("name, amount, seconds, seed");
    let attack = those(&[word()])[0];
    let mut number = || word().parse::<u64>().expect("a number");
    let amount = usize::try_from(number()).expect("an amount");
    let until = clock::now() + Duration::from_secs(number());
    let dice = Dice(number().max(1));
    let dir = PathBuf::from(words.next().expect("a directory"));
    let listeners = words.map(str::to_owned).collect();
    let done = (attack.deed)(&mut Field { listeners, dir, amount, until, dice });
    println!("{}: {done} of {amount}", attack.name);
    true
}

/// An attack under way.
pub(crate) struct Running {
    process: process::Process,
    seconds: u64,
    amount: usize,
    promised: bool,
    name: &'static str,
}

impl Running {
    /// Waits for its end; how much of it was done.
    pub(crate) fn wait(mut self) -> usize {
        let status = self.process.wait(Duration::from_secs(self.seconds * 3 + 60));
        let said = self.process.output();
        let done = said.lines().find_map(|line| {
            let done = line.strip_prefix(self.name)?.strip_prefix(": ")?.split(' ').next()?;
            done.parse().ok()
        });
        let done = done.unwrap_or_else(|| panic!("{}: {status}\n{said}", self.name));
        let least = if self.promised { self.amount } else { 1 };
        assert!(done >= least, "{} did {done} of {} in time", self.name, self.amount);
        done
    }
}

/// Starts an attack on a daemon.
pub(crate) fn launch(attack: &'static Attack, house: &House, first: &str) -> Running {
    let daemon = &house.daemon;
    let full = long::count(0, 1);
    let (amount, seconds) = (attack.amount[full], attack.seconds[full]);
    let mut listeners = house.listeners();
    listeners.sort_by_key(|listener| !listener.starts_with(first));
    let me = std::env::current_exe().expect("the path of this program");
    let mut words = vec!["nice".to_owned(), "-n19".to_owned()];
    words.extend(disguise(&me));
    words.push(me.display().to_string());
    // For the tests' harness: only the test that gives itself to the order. A benchmark looks first.
    words.extend(
        ["--exact", "attack::every_attack_has_a_name_of_its_own", "--nocapture"].map(str::to_owned),
    );
    let mut command = process::command(&words[0]);
    let seed = seed();
    eprintln!("MAESTRO_SEED={seed}");
    let (name, dir, listeners) = (attack.name, daemon.dir().display(), listeners.join(" "));
    let order = format!("{name} {amount} {seconds} {seed} {dir} {listeners}");
    command.args(&words[1..]).env(ORDER, order);
    let log = daemon.dir().join(format!("attack-{}", attack.name));
    let process = process::Process::start(command, &log);
    let Attack { name, promised, .. } = *attack;
    Running { process, seconds, amount, promised, name }
}

/// `MAESTRO_SEED` repeats what was seen; without it each run is another.
fn seed() -> u64 {
    if let Some(seed) = std::env::var("MAESTRO_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return seed;
    }
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("random bytes");
    u64::from_le_bytes(bytes) >> 16
}

/// Words that make the attacker another user, if there are such words here.
fn disguise(me: &Path) -> Vec<String> {
    let words = ["setpriv", "--pdeathsig=KILL", "--clear-groups"].map(str::to_owned);
    let user = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
    let all = [words.as_slice(), user.as_slice()].concat();
    if is_another(me, &all) { all } else { words[..2].to_vec() }
}

fn is_another(me: &Path, words: &[String]) -> bool {
    let mut trial = process::command(&words[0]);
    trial.args(&words[1..]).arg("test").arg("-x").arg(PathBuf::from(me));
    nix::unistd::geteuid().is_root() && trial.status().is_ok_and(|status| status.success())
}
