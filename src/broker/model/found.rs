//! What the model found, one test for each: named by its seed, as short as it still showed.

use super::script::Step::{
    Connect, Crash, CrashAtWrite, Mend, Pass, Publish, Restart, Subscribe, Trouble,
};
use super::script::{Bye, Fault, House, Keep, Profile, Script, Step, Testament};
use super::world;
use crate::broker::wire::{Qos, Version};

const PROFILE: Profile = Profile {
    version: Version::V5,
    expiry_s: u32::MAX,
    receive_maximum: 100,
    room: 100_000,
    eager: true,
};

fn plays(profiles: &[Profile], steps: &[Step]) {
    let script = Script { house: House::USUAL, profiles: profiles.to_vec(), steps: steps.to_vec() };
    assert_eq!(world::play(&script).err(), None);
}

fn connect(client: usize) -> Step {
    Connect { client, clean: false, will: None }
}

fn subscribe(client: usize, filter: &'static str, qos: Qos) -> Step {
    Subscribe { client, filter, qos, no_local: false, kept: true }
}

fn publish(client: usize, topic: &'static str, qos: Qos, expiry_s: u32) -> Step {
    Publish { client, topic, qos, keep: Keep::Not, expiry_s }
}

#[test]
fn seed_262_a_message_that_expired_does_not_let_the_next_pass_the_receive_maximum() {
    let slow = Profile { receive_maximum: 1, room: 400, eager: false, ..PROFILE };
    plays(
        &[PROFILE, slow],
        &[
            connect(1),
            subscribe(1, "b/#", Qos::ExactlyOnce),
            connect(0),
            publish(0, "b/x", Qos::ExactlyOnce, 0),
            publish(0, "b/x", Qos::AtMostOnce, 2),
            publish(0, "b/y", Qos::AtLeastOnce, 50),
            Pass { ms: 6_000 },
        ],
    );
}

#[test]
fn seed_103_a_message_of_qos_0_does_not_pass_one_that_waits() {
    let slow = Profile { receive_maximum: 1, room: 60, eager: false, ..PROFILE };
    plays(
        &[slow, PROFILE],
        &[
            connect(1),
            connect(0),
            subscribe(0, "+/x", Qos::ExactlyOnce),
            publish(1, "b/x", Qos::AtLeastOnce, 0),
            subscribe(0, "a/+", Qos::AtLeastOnce),
            publish(1, "a/x", Qos::AtMostOnce, 0),
            Pass { ms: 300 },
            publish(1, "a/x", Qos::AtMostOnce, 0),
            Step::Read { client: 0, packets: 4 },
        ],
    );
}

#[test]
fn seed_48_what_was_begun_with_qos_2_is_ended_although_it_expired() {
    let narrow = Profile { receive_maximum: 1, ..PROFILE };
    plays(
        &[PROFILE, narrow],
        &[
            connect(0),
            connect(1),
            subscribe(1, "b/y", Qos::ExactlyOnce),
            publish(0, "b/y", Qos::ExactlyOnce, 0),
            CrashAtWrite {
                writes: 5,
                chance: 12_911_953_191_506_440_105,
                down_ms: 60_000,
                again: None,
            },
            publish(0, "b/y", Qos::ExactlyOnce, 50),
            Pass { ms: 300 },
            connect(1),
            Pass { ms: 6_000 },
            Crash { chance: 6_080_825_808_116_100_315, down_ms: 3_000, again: None },
            connect(1),
            publish(1, "b/y", Qos::AtLeastOnce, 0),
        ],
    );
}

#[test]
fn seed_114_a_member_with_qos_0_never_gets_dup() {
    let slow = Profile { version: Version::V311, room: 60, eager: false, ..PROFILE };
    plays(
        &[PROFILE, PROFILE, slow],
        &[
            connect(2),
            connect(0),
            subscribe(2, "$share/one/s/#", Qos::ExactlyOnce),
            Pass { ms: 6 },
            publish(0, "s/v", Qos::AtLeastOnce, 0),
            connect(1),
            subscribe(1, "$share/one/s/#", Qos::AtMostOnce),
            Pass { ms: 6 },
            Restart,
        ],
    );
}

#[test]
fn a_disk_in_trouble_acknowledges_nothing_and_loses_nothing_acknowledged() {
    for fault in [Fault::Full, Fault::Writes, Fault::Syncs, Fault::ReadOnly] {
        plays(
            &[PROFILE, PROFILE],
            &[
                connect(0),
                connect(1),
                subscribe(0, "a/#", Qos::AtLeastOnce),
                Pass { ms: 20 },
                publish(1, "a/x", Qos::AtLeastOnce, 0),
                Pass { ms: 20 },
                Trouble { fault },
                publish(1, "a/x", Qos::AtLeastOnce, 0),
                Pass { ms: 300 },
                Mend,
                publish(1, "a/x", Qos::AtLeastOnce, 0),
                Pass { ms: 20 },
                Crash { chance: 1, down_ms: 10, again: None },
            ],
        );
    }
}

#[test]
fn seed_1569_a_topic_cleared_again_is_acknowledged_when_it_is_clear_on_disk() {
    let slow = Profile { expiry_s: 300, eager: false, ..PROFILE };
    let retained = |keep| {
        let (topic, qos) = ("b/y", Qos::AtLeastOnce);
        Publish { client: 0, topic, qos, keep, expiry_s: 0 }
    };
    plays(
        &[slow],
        &[
            connect(0),
            retained(Keep::Retain),
            Pass { ms: 40_000 },
            retained(Keep::Clear),
            CrashAtWrite {
                writes: 0,
                chance: 10_019_157_147_082_408_717,
                down_ms: 60_000,
                again: None,
            },
            Step::Read { client: 0, packets: 1 },
            connect(0),
            Pass { ms: 40_000 },
        ],
    );
}

#[test]
fn seed_4185_a_will_that_fired_is_with_nobody_before_the_disk_knows() {
    let will = Testament { topic: "a/x", qos: Qos::ExactlyOnce, retain: false, delay_s: 1 };
    let subscriber = Profile { version: Version::V311, ..PROFILE };
    plays(
        &[subscriber, PROFILE],
        &[
            connect(0),
            subscribe(0, "a/x", Qos::AtLeastOnce),
            Connect { client: 1, clean: true, will: Some(will) },
            Pass { ms: 20 },
            Crash { chance: 5_992_012_557_360_743_930, down_ms: 60_000, again: None },
            connect(0),
            Pass { ms: 1_001 },
            Crash { chance: 2_298_518_280_414_997_676, down_ms: 3_000, again: None },
        ],
    );
}

#[test]
fn seed_7052_what_expired_does_not_take_the_will_with_it() {
    let will = Testament { topic: "s/w", qos: Qos::ExactlyOnce, retain: true, delay_s: 0 };
    let testator = Profile { version: Version::V311, room: 400, ..PROFILE };
    let mortal = |client| {
        let (topic, qos, keep) = ("s/w", Qos::ExactlyOnce, Keep::Retain);
        Publish { client, topic, qos, keep, expiry_s: 50 }
    };
    plays(
        &[testator, PROFILE],
        &[
            Connect { client: 0, clean: false, will: Some(will) },
            connect(1),
            mortal(1),
            Pass { ms: 300 },
            Crash { chance: 14_053_907_484_542_965_727, down_ms: 60_000, again: None },
            Pass { ms: 300 },
            Restart,
        ],
    );
}

#[test]
fn of_a_topic_published_twice_at_once_the_last_outlives_a_kill() {
    let retained = |qos| Publish { client: 0, topic: "b/y", qos, keep: Keep::Retain, expiry_s: 0 };
    plays(
        &[PROFILE],
        &[
            connect(0),
            Step::Burst { client: 0 },
            retained(Qos::AtMostOnce),
            retained(Qos::AtLeastOnce),
            Pass { ms: 300 },
            Crash { chance: 1, down_ms: 0, again: None },
        ],
    );
}

#[test]
fn seed_4113_a_session_that_was_resumed_is_away_since_it_was_left_again() {
    let brief = Profile { expiry_s: 30, ..PROFILE };
    plays(
        &[brief],
        &[
            connect(0),
            subscribe(0, "a/#", Qos::ExactlyOnce),
            Pass { ms: 20 },
            Step::Cut { client: 0 },
            Pass { ms: 6_000 },
            Pass { ms: 20_000 },
            connect(0),
            Crash { chance: 1, down_ms: 3_000, again: None },
            Pass { ms: 6_000 },
            connect(0),
        ],
    );
}

#[test]
fn seed_4710_what_expired_does_not_come_back_behind_what_followed_it() {
    let slow = Profile { receive_maximum: 1, eager: false, ..PROFILE };
    let answer = Step::Answer { client: 0, which: 0 };
    let read = Step::Read { client: 0, packets: 4 };
    plays(
        &[slow, PROFILE],
        &[
            connect(0),
            connect(1),
            subscribe(0, "b/y", Qos::ExactlyOnce),
            Pass { ms: 20 },
            publish(1, "b/y", Qos::ExactlyOnce, 0),
            publish(1, "b/y", Qos::ExactlyOnce, 2),
            publish(1, "b/y", Qos::ExactlyOnce, 0),
            Pass { ms: 6_000 },
            read,
            answer,
            Pass { ms: 20 },
            read,
            answer,
            Pass { ms: 20 },
            read,
            Crash { chance: 1, down_ms: 10, again: None },
        ],
    );
}

#[test]
fn seed_36296_what_a_kill_leaves_with_a_member_of_a_group_ends_with_its_session() {
    for writes in 0..12 {
        plays(
            &[PROFILE, PROFILE],
            &[
                connect(0),
                connect(1),
                subscribe(1, "$share/one/s/#", Qos::ExactlyOnce),
                subscribe(0, "$share/one/s/#", Qos::AtLeastOnce),
                Pass { ms: 20 },
                CrashAtWrite {
                    writes,
                    chance: 4_445_069_102_382_817_804,
                    down_ms: 10,
                    again: None,
                },
                publish(0, "s/w", Qos::ExactlyOnce, 0),
                publish(0, "s/w", Qos::ExactlyOnce, 0),
                Pass { ms: 6_000 },
                Connect { client: 1, clean: true, will: None },
            ],
        );
    }
}

#[test]
fn seed_1498_a_publish_that_was_refused_was_with_nobody() {
    let old = Profile { version: Version::V311, ..PROFILE };
    let passing = Profile { expiry_s: 0, ..PROFILE };
    for filter in ["a/#", "$share/one/s/#"] {
        let topic = if filter == "a/#" { "a/y" } else { "s/w" };
        plays(
            &[old, passing],
            &[
                connect(1),
                subscribe(1, filter, Qos::ExactlyOnce),
                connect(0),
                Trouble { fault: Fault::ReadOnly },
                publish(0, topic, Qos::ExactlyOnce, 0),
                Pass { ms: 300 },
                connect(0),
            ],
        );
    }
}

#[test]
fn a_session_that_ended_by_itself_is_gone_once_its_client_is_greeted_again() {
    for writes in 0..12 {
        let brief = Profile { expiry_s: 30, ..PROFILE };
        plays(
            &[brief],
            &[
                connect(0),
                subscribe(0, "a/#", Qos::ExactlyOnce),
                Pass { ms: 20 },
                CrashAtWrite { writes, chance: 1, down_ms: 10, again: None },
                Step::Disconnect { client: 0, bye: Bye::Forget },
                connect(0),
                publish(0, "a/x", Qos::AtLeastOnce, 0),
                Pass { ms: 20 },
                connect(0),
                publish(0, "a/x", Qos::AtLeastOnce, 0),
            ],
        );
    }
}

#[test]
fn seed_43453_what_comes_again_under_a_subscription_of_qos_0_may_be_lost() {
    let idle = Profile { version: Version::V311, eager: false, ..PROFILE };
    plays(
        &[PROFILE, idle],
        &[
            connect(1),
            subscribe(1, "+/x", Qos::ExactlyOnce),
            Pass { ms: 6 },
            connect(0),
            publish(0, "a/x", Qos::ExactlyOnce, 0),
            Crash { chance: 1, down_ms: 10, again: None },
            connect(1),
            subscribe(1, "+/x", Qos::AtMostOnce),
            connect(0),
        ],
    );
}

#[test]
fn seed_1038_a_will_of_qos_2_is_not_lost_on_a_disk_in_trouble() {
    let will = Testament { topic: "a/x", qos: Qos::ExactlyOnce, retain: false, delay_s: 0 };
    plays(
        &[PROFILE, PROFILE],
        &[
            connect(1),
            subscribe(1, "+/x", Qos::ExactlyOnce),
            Pass { ms: 20 },
            Connect { client: 0, clean: false, will: Some(will) },
            Pass { ms: 20 },
            Trouble { fault: Fault::ReadOnly },
            Step::Cut { client: 0 },
            Pass { ms: 300 },
        ],
    );
}

#[test]
fn seed_162_what_the_disk_has_as_the_groups_is_sent_with_qos_2_to_nobody() {
    for ms in [0, 1, 2, 4, 6] {
        plays(
            &[PROFILE],
            &[
                connect(0),
                subscribe(0, "$share/two/t/v", Qos::ExactlyOnce),
                Pass { ms: 20 },
                publish(0, "t/v", Qos::ExactlyOnce, 0),
                Step::Cut { client: 0 },
                Pass { ms: 20 },
                connect(0),
                Pass { ms },
                Trouble { fault: Fault::Writes },
                Pass { ms: 300 },
                Crash { chance: 1, down_ms: 10, again: None },
            ],
        );
    }
}

#[test]
fn seed_92431_of_a_session_that_ended_nothing_is_owed_by_the_one_that_follows_unseen() {
    let old = Profile { version: Version::V311, room: 400, ..PROFILE };
    let will = |topic, qos, delay_s| Some(Testament { topic, qos, retain: false, delay_s });
    plays(
        &[PROFILE, PROFILE, old],
        &[
            Connect { client: 2, clean: false, will: will("b/y", Qos::ExactlyOnce, 60) },
            Connect { client: 2, clean: true, will: will("t/v", Qos::ExactlyOnce, 0) },
            subscribe(2, "a/+", Qos::AtLeastOnce),
            Crash { chance: 11_171_410_705_592_025_593, down_ms: 60_000, again: Some(7) },
            connect(2),
            Connect { client: 2, clean: false, will: will("a/y", Qos::AtLeastOnce, 1) },
        ],
    );
}

#[test]
fn seed_20462_a_session_that_comes_back_may_be_one_whose_connack_never_came() {
    let will = |topic, qos, delay_s| Some(Testament { topic, qos, retain: false, delay_s });
    let first = Profile { expiry_s: 30, room: 60, ..PROFILE };
    let second = Profile { expiry_s: 30, receive_maximum: 3, ..PROFILE };
    plays(
        &[first, second],
        &[
            Connect { client: 0, clean: false, will: will("s/v", Qos::AtLeastOnce, 60) },
            CrashAtWrite {
                writes: 8,
                chance: 8_127_843_485_541_577_354,
                down_ms: 60_000,
                again: Some(7),
            },
            subscribe(0, "a/x", Qos::ExactlyOnce),
            Restart,
            Connect { client: 0, clean: false, will: will("a/x", Qos::ExactlyOnce, 0) },
            connect(1),
            connect(0),
            publish(1, "a/x", Qos::AtLeastOnce, 0),
        ],
    );
}

#[test]
fn seed_39597_what_was_refused_comes_back_to_its_group_from_no_member() {
    let slow = Profile { version: Version::V311, eager: false, ..PROFILE };
    let passing = Profile { expiry_s: 0, ..PROFILE };
    plays(
        &[slow, passing],
        &[
            connect(0),
            connect(1),
            subscribe(0, "$share/one/s/#", Qos::AtLeastOnce),
            Pass { ms: 6 },
            Trouble { fault: Fault::Writes },
            publish(0, "s/w", Qos::ExactlyOnce, 0),
            Pass { ms: 20 },
            connect(0),
            subscribe(1, "$share/one/s/#", Qos::ExactlyOnce),
        ],
    );
}

#[test]
fn seed_56146_what_is_safe_with_its_group_is_not_lost_on_its_way_to_a_member() {
    let old = Profile { version: Version::V311, ..PROFILE };
    for ms in [0, 1, 2, 5] {
        plays(
            &[old, old],
            &[
                connect(0),
                subscribe(0, "$share/two/t/v", Qos::ExactlyOnce),
                Pass { ms: 300 },
                subscribe(0, "b/#", Qos::ExactlyOnce),
                publish(0, "t/v", Qos::ExactlyOnce, 0),
                connect(1),
                Pass { ms },
                Trouble { fault: Fault::ReadOnly },
                Pass { ms: 6_000 },
            ],
        );
    }
}

#[test]
fn seed_14487_a_filter_that_was_refused_and_taken_back_does_not_come_back_with_a_kill() {
    plays(
        &[PROFILE],
        &[
            connect(0),
            Pass { ms: 300 },
            Trouble { fault: Fault::Syncs },
            subscribe(0, "a/#", Qos::AtMostOnce),
            Pass { ms: 300 },
            Step::Unsubscribe { client: 0, filter: "a/#" },
            CrashAtWrite { writes: 5, chance: 2_754_150_466_046_806_368, down_ms: 10, again: None },
            Mend,
            connect(0),
            publish(0, "a/y", Qos::ExactlyOnce, 0),
        ],
    );
}

#[test]
fn seed_25_what_was_begun_gives_way_to_nothing_that_comes() {
    let slow = Profile { eager: false, ..PROFILE };
    let script = Script {
        house: House { queued: 1, ..House::USUAL },
        profiles: vec![slow, PROFILE],
        steps: vec![
            connect(0),
            subscribe(0, "b/#", Qos::AtLeastOnce),
            subscribe(0, "a/x", Qos::AtLeastOnce),
            Pass { ms: 20 },
            Step::Read { client: 0, packets: 4 },
            connect(1),
            publish(1, "b/y", Qos::ExactlyOnce, 0),
            Pass { ms: 20 },
            Step::Cut { client: 0 },
            publish(1, "a/x", Qos::ExactlyOnce, 0),
            Pass { ms: 20 },
        ],
    };
    assert_eq!(world::play(&script).err(), None);
}

#[test]
fn a_group_that_begins_anew_in_a_burst_loses_nothing_by_a_kill() {
    let slow = Profile { eager: false, ..PROFILE };
    let filter = "$share/one/s/#";
    for chance in 0..32 {
        plays(
            &[slow, PROFILE],
            &[
                connect(0),
                connect(1),
                subscribe(0, filter, Qos::AtLeastOnce),
                Pass { ms: 20 },
                publish(1, "s/v", Qos::AtLeastOnce, 0),
                Pass { ms: 20 },
                Step::Read { client: 0, packets: 2 },
                Step::Burst { client: 0 },
                Step::Answer { client: 0, which: 0 },
                Step::Unsubscribe { client: 0, filter },
                subscribe(0, filter, Qos::AtLeastOnce),
                Step::Burst { client: 1 },
                publish(1, "s/v", Qos::AtLeastOnce, 0),
                Pass { ms: 300 },
                Step::Read { client: 0, packets: 2 },
                Crash { chance, down_ms: 10, again: None },
            ],
        );
    }
}

#[test]
fn seed_36364_what_a_full_queue_dropped_does_not_come_back_behind_what_followed_it() {
    let (fleeting, small) = (Profile { expiry_s: 0, receive_maximum: 1, ..PROFILE }, 400);
    let will = |topic, qos, retain, delay_s| Some(Testament { topic, qos, retain, delay_s });
    let comes = |client, clean, will| Connect { client, clean, will };
    let keep = |client, topic, qos, keep, expiry_s| Publish { client, topic, qos, keep, expiry_s };
    let script = Script {
        house: House { queued: 4, commit_ms: 20, ..House::USUAL },
        profiles: vec![
            fleeting,
            Profile { version: Version::V311, room: small, ..PROFILE },
            Profile { room: 60, eager: false, ..fleeting },
            Profile { room: small, ..fleeting },
            Profile { receive_maximum: 3, eager: false, ..PROFILE },
        ],
        steps: vec![
            connect(1),
            comes(3, false, will("s/v", Qos::AtLeastOnce, false, 1)),
            keep(1, "b/x", Qos::ExactlyOnce, Keep::Retain, 0),
            subscribe(1, "a/#", Qos::ExactlyOnce),
            Step::Disconnect { client: 1, bye: Bye::Forget },
            connect(1),
            Crash { chance: 9_371_171_608_509_876_062, down_ms: 0, again: None },
            comes(3, true, will("s/w", Qos::AtMostOnce, true, 1)),
            comes(0, false, will("s/v", Qos::AtLeastOnce, false, 60)),
            connect(1),
            CrashAtWrite { writes: 8, chance: 11_061_595_538_492_863_639, down_ms: 0, again: None },
            connect(4),
            Mend,
            connect(3),
            publish(0, "a/x", Qos::ExactlyOnce, 0),
            keep(0, "a/z", Qos::AtLeastOnce, Keep::Clear, 0),
            publish(0, "a/x", Qos::ExactlyOnce, 0),
            publish(4, "a/x", Qos::AtLeastOnce, 0),
            Pass { ms: 6 },
            keep(4, "a/y", Qos::AtLeastOnce, Keep::Retain, 2),
            Pass { ms: 6_000 },
        ],
    };
    assert_eq!(world::play(&script).err(), None);
}

#[test]
fn seed_54724_what_is_refused_while_its_group_ends_does_not_come_back_with_the_group() {
    let filter = "$share/two/t/v";
    let script = Script {
        house: House { commit_ms: 3, ..House::USUAL },
        profiles: vec![Profile { receive_maximum: 3, room: 60, eager: false, ..PROFILE }],
        steps: vec![
            connect(0),
            subscribe(0, filter, Qos::ExactlyOnce),
            Pass { ms: 6_000 },
            Trouble { fault: Fault::Syncs },
            publish(0, "t/v", Qos::ExactlyOnce, 0),
            Step::Unsubscribe { client: 0, filter },
            Pass { ms: 300 },
        ],
    };
    assert_eq!(world::play(&script).err(), None);
}
