//! Nothing can stop the broker: whatever ordinary clients do, a healthy pair is served throughout.
//!
//! ```text
//!   this process                         the daemon           itself again, nice 19, another user
//!   healthy pair: QoS 1, 200/s, timed ──> broker <── attack: killers, mutants, slow, door,
//!   newcomers: let in?                ──>                     crowds, floods
//! ```
//! Asserted here: every round trip ends in time, none is lost, in order; newcomers are let in; the
//! daemon is alive and serves afterwards. How much slower it gets is a figure: `tests/attack` prints the
//! percentiles, quiet and attacked, of each attack on a release build.

mod crowds;
mod door;
pub(crate) mod field;
mod floods;
mod healthy;
mod killers;
mod launch;
mod mutants;
pub(crate) mod packet;
mod slow;

use std::io::Write as _;
use std::time::Duration;

use crate::door::House;
use crate::support::long::count;
use healthy::{Healthy, Report};

/// How long it is quiet before.
const QUIET: Duration = Duration::from_millis(500);

/// Attacks a daemon, one after the other, each while a healthy pair is at work.
fn withstands(house: &mut House, names: &[&str], listener: &str) {
    eprintln!("{HEADING}");
    for attack in launch::those(names).into_iter().filter(|attack| is_wanted(attack.name)) {
        let healthy = Healthy::start(&house.daemon.socket());
        std::thread::sleep(QUIET * u32::try_from(count(1, 5)).expect("small"));
        healthy.attacked();
        let done = launch::launch(attack, house, listener).wait();
        assert!(healthy.is_well(), "{}: a healthy client was not served", attack.name);
        tell(attack.name, done, &healthy.finish());
        assert_eq!(house.daemon.process().ended(), None, "{} ended the daemon", attack.name);
    }
    let mut after = house.daemon.client("after");
    assert_eq!(after.subscribe("after/#", 1), 1);
    assert_eq!(after.publish("after/t", "served").code, 0);
    assert_eq!(after.on("after/t").text(), "served");
}

/// `MAESTRO_ATTACKS` names those to run, by parts of their names; all without it.
fn is_wanted(name: &str) -> bool {
    let Ok(words) = std::env::var("MAESTRO_ATTACKS") else { return true };
    words.split_whitespace().any(|word| name.contains(word))
}

/// Above the lines of [`tell`]; `tests/attack` prints it again above all of them.
const HEADING: &str = "attack                                       done    quiet attacked  bound  \
                       longest   let in  (p99 and longest, ms)";

/// What a healthy client may wait longer under attack than before it, ms.
const MORE: f64 = 5.0;

/// One line of the table, also to the file `MAESTRO_ATTACK_TABLE`.
fn tell(name: &str, done: usize, report: &Report) {
    assert!(report.attacked.count() > 0, "{name}: nothing was timed");
    let [calm, storm] = [&report.quiet, &report.attacked].map(|times| times.percent(99));
    let (longest, let_in) = (report.attacked.percent(100), report.let_in[1].percent(99));
    let kept = if storm <= (2.0 * calm).max(calm + MORE) { "ok" } else { "BEYOND" };
    let line = format!(
        "{name:<40} {done:>8} {calm:>8.2} {storm:>8.2} {kept:>6} {longest:>8.2} {let_in:>8.2}"
    );
    eprintln!("{line}");
    if let Some(path) = std::env::var_os("MAESTRO_ATTACK_TABLE") {
        let table = std::fs::OpenOptions::new().append(true).create(true).open(path);
        writeln!(table.expect("the file of the table"), "{line}").expect("a line written");
    }
}

/// A daemon with a listener of each kind.
fn house() -> House {
    let (builder, authority, [tls, ws, wss]) = House::plan("", "");
    let builder = builder.unwatched();
    // For attackers who are another user.
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(builder.dir(), open).expect("a directory of ours");
    House { daemon: builder.start(), authority, tls, ws, wss }
}

fn names_of(table: &[launch::Attack]) -> Vec<&'static str> {
    table.iter().map(|attack| attack.name).collect()
}

/// Started again with an order, this is the attacker.
#[test]
fn every_attack_has_a_name_of_its_own() {
    if launch::was_ordered() {
        return;
    }
    let mut names: Vec<_> = launch::all().map(|attack| attack.name).collect();
    assert!(names.iter().all(|name| !name.contains(' ')));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn the_killers_of_other_brokers_are_not_even_noticed() {
    withstands(&mut house(), &names_of(killers::ALL), "tcp");
}

#[test]
fn packets_with_something_wrong_end_at_most_their_own_connection() {
    withstands(&mut house(), &names_of(mutants::ALL), "unix");
}

#[test]
fn the_slow_wait_alone() {
    withstands(&mut house(), &names_of(slow::ALL), "tcp");
}

#[test]
fn who_stays_in_the_door_is_in_nobodys_way() {
    withstands(&mut house(), &names_of(door::ALL), "tcp");
}

#[test]
fn crowds_at_the_door_keep_nobody_out_who_may_come_in() {
    withstands(&mut house(), &names_of(crowds::ALL), "tcp");
}

#[test]
fn who_asks_for_too_much_waits_for_it_himself() {
    withstands(&mut house(), &names_of(floods::ALL), "unix");
}
