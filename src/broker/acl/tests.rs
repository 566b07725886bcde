//! The whole table: role by place by read and write.

use super::*;
use proptest::prelude::*;

const ROLES: [Role; 4] = [Role::Observer, Role::App, Role::Operator, Role::Admin];

/// A principal of each role; the app is `thermo`.
fn one(role: Role) -> Principal {
    match role {
        Role::App => Principal { app: Some("thermo".into()), ..Principal::new("app:thermo", role) },
        Role::Observer => Principal::new("user:eve", role),
        Role::Operator => Principal::new("operator:olga", role),
        Role::Admin => Principal::new("root", role),
    }
}

fn publish(topic: &str) -> Publish<'_> {
    Publish { topic, retain: false, payload: b"" }
}

/// `w` may write, `r` may read; for observer, app, operator, admin.
const TABLE: [(&str, [&str; 4]); 36] = [
    ("maestro/info", ["r", "r", "r", "r"]),
    ("maestro/status", ["r", "r", "r", "r"]),
    ("maestro/status/stats", ["r", "r", "r", "r"]),
    ("maestro/state/stats/memory", ["r", "r", "r", "r"]),
    ("maestro/desired/jobs/thermo", ["", "", "r", "r"]),
    ("maestro/cmd/system/ping", ["w", "w", "rw", "rw"]),
    ("maestro/cmd/stats/sample", ["w", "w", "rw", "rw"]),
    ("maestro/cmd/system/reboot", ["", "", "r", "rw"]),
    ("maestro/cmd/system/shutdown", ["", "", "r", "rw"]),
    ("maestro/cmd/system/dance", ["", "", "r", "r"]),
    ("maestro/cmd/ballet/dance", ["", "", "r", "r"]),
    ("maestro/reply/system/ping", ["", "", "r", "r"]),
    ("maestro/task/01JD", ["", "", "r", "r"]),
    ("maestro/event/bridge/cloud/connected", ["r", "r", "r", "r"]),
    ("maestro/event/broker/eve/refused", ["", "", "r", "r"]),
    ("maestro/log/info/sshd", ["", "", "r", "r"]),
    ("maestro/metric/memory", ["r", "r", "r", "r"]),
    ("maestro/client/eve", ["r", "r", "r", "r"]),
    ("maestro/app/thermo/state/hall", ["", "rw", "r", "r"]),
    ("maestro/app/thermo/cmd/heat", ["", "rw", "rw", "rw"]),
    ("maestro/app/thermo/secret/x", ["", "rw", "r", "r"]),
    ("maestro/app/hub/state/hall", ["", "r", "r", "r"]),
    ("maestro/app/hub/event/x", ["", "r", "r", "r"]),
    ("maestro/app/hub/metric/x", ["", "r", "r", "r"]),
    ("maestro/app/hub/cmd/x", ["", "", "rw", "rw"]),
    ("maestro/app/hub/reply/x", ["", "", "r", "r"]),
    ("maestro/app/hub/log", ["", "", "r", "r"]),
    ("maestro/app/hub", ["", "", "", ""]),
    ("maestro/sensors/hall", ["", "", "", ""]),
    ("maestro", ["", "", "", ""]),
    ("$maestro/api/asyncapi", ["r", "r", "r", "r"]),
    ("$maestro/batch/stats/main", ["", "", "r", "r"]),
    ("$maestro/other", ["", "", "", ""]),
    ("$SYS/broker/uptime", ["r", "r", "r", "r"]),
    ("$other/x", ["", "", "", ""]),
    ("zigbee2mqtt/lamp", ["", "rw", "rw", "rw"]),
];

#[test]
fn every_role_may_do_in_every_place_what_the_table_says() {
    let acl = Acl::default();
    for (topic, expected) in TABLE {
        for (role, expected) in ROLES.into_iter().zip(expected) {
            let who = one(role);
            let read = if acl.may_read(&who, topic, None) { "r" } else { "" };
            let write = if acl.may_publish(&who, &publish(topic)).is_ok() { "w" } else { "" };
            assert_eq!(format!("{read}{write}"), expected, "{role:?} {topic}");
        }
    }
}

#[test]
fn every_topic_and_verb_of_the_contract_has_its_rights() {
    let acl = Acl::default();
    for spec in contract::topics() {
        let tail = spec.pattern.replace(['{', '}', '*'], "");
        let topic = if spec.kind.is_absolute() { tail } else { Root::default().join(&tail) };
        for role in ROLES {
            let who = one(role);
            if spec.kind != Kind::App {
                assert_eq!(acl.may_read(&who, &topic, None), role >= spec.role, "{role:?} {topic}");
                let may = spec.verb.is_some_and(|verb| spec.kind == Kind::Cmd && role >= verb.role);
                assert_eq!(
                    acl.may_publish(&who, &publish(&topic)).is_ok(),
                    may,
                    "{role:?} {topic}"
                );
            }
            assert!(acl.may_publish(&Principal::daemon("stats"), &publish(&topic)).is_ok());
        }
    }
}

#[test]
fn each_refusal_has_its_code() {
    let acl = Acl::default();
    let admin = one(Role::Admin);
    let code = |who: &Principal, what: Publish<'_>| acl.may_publish(who, &what).unwrap_err().code;
    let retained = |topic| Publish { retain: true, ..publish(topic) };
    assert_eq!(code(&admin, retained("maestro/cmd/system/ping")), "command.retained");
    assert_eq!(
        code(&Principal::daemon("x"), retained("maestro/cmd/system/ping")),
        "command.retained"
    );
    assert_eq!(code(&admin, publish("maestro/cmd/system/dance")), "command.unknown_verb");
    assert_eq!(code(&admin, publish("maestro/cmd/system")), "command.unknown_verb");
    assert_eq!(code(&admin, publish("maestro/cmd/system/ping/x")), "command.unknown_verb");
    assert_eq!(code(&admin, publish("maestro/desired/jobs/x")), "desired.unknown_object");
    assert_eq!(code(&one(Role::App), publish("maestro/desired/jobs/x")), "broker.not_authorized");
    assert_eq!(code(&admin, publish("maestro/sate/x")), "topic.unknown");
    assert_eq!(code(&admin, publish("maestro/state/stats/x")), "broker.not_authorized");
    assert_eq!(code(&one(Role::Observer), publish("a/b")), "broker.not_authorized");
    assert_eq!(
        acl.may_will(&admin, &publish("maestro/cmd/system/ping")).unwrap_err().code,
        "broker.will_topic"
    );
    assert!(acl.may_will(&one(Role::App), &publish("maestro/app/thermo/state/x")).is_ok());
    for code in ["command.unknown_verb", "topic.unknown", "broker.not_authorized"] {
        assert!(contract::error(code).is_some(), "{code}");
    }
}

#[test]
fn a_mistyped_topic_is_answered_with_the_nearest() {
    let acl = Acl::default();
    let told = |topic| acl.may_publish(&one(Role::Admin), &publish(topic)).unwrap_err().message;
    assert!(told("maestro/cmd/system/rebot").contains("did you mean `system/reboot`?"));
    assert!(told("maestro/cmd/sytem/reboot").contains("did you mean `system/reboot`?"));
    assert!(told("maestro/sate/x").contains("did you mean `maestro/state`?"));
    assert_eq!(told("maestro/cmd/qq\u{7}/zz"), "there is no verb qq?/zz");
}

#[test]
fn a_requester_reads_its_own_replies_whatever_its_role() {
    let acl = Acl::default();
    let eve = one(Role::Observer);
    for topic in ["maestro/reply/system/ping", "maestro/task/x", "maestro/event/broker/eve/refused"]
    {
        assert!(acl.may_read(&eve, topic, Some("user:eve")), "{topic}");
        assert!(!acl.may_read(&eve, topic, Some("user:bob")), "{topic}");
    }
}

#[test]
fn an_answer_goes_where_its_requester_may_publish_and_never_becomes_a_command() {
    let acl = Acl::default();
    let may = |role, topic| acl.may_respond(&one(role), topic);
    assert!(may(Role::App, "me/1") && may(Role::Admin, "me/1"));
    assert!(may(Role::App, "maestro/app/thermo/reply/x"));
    assert!(!may(Role::Observer, "me/1"), "it reads reply/# instead");
    for role in ROLES {
        for topic in [
            "maestro/cmd/system/ping",
            "maestro/cmd/system/reboot",
            "maestro/desired/jobs/x",
            "maestro/app/hub/cmd/x",
            "maestro/app/thermo/cmd/x",
            "maestro/reply/system/ping",
            "maestro/state/x/y",
            "$SYS/x",
            "me/+",
            "#",
            "",
        ] {
            assert!(!may(role, topic), "{role:?} {topic}");
        }
    }
}

#[test]
fn a_filter_is_refused_only_when_nothing_under_it_is_readable() {
    let acl = Acl::default();
    let table = [
        ("#", "oaOA"),
        ("maestro/#", "oaOA"),
        ("maestro/log/#", "OA"),
        ("maestro/+/info/sshd", "oaOA"), // state/info/sshd would be one
        ("maestro/cmd/#", "OA"),
        ("maestro/desired/#", "OA"),
        ("maestro/reply/#", "oaOA"),
        ("maestro/task/+", "oaOA"),
        ("maestro/app/thermo/log", "aOA"),
        ("maestro/app/hub/log", "OA"),
        ("maestro/app/+/state/#", "aOA"),
        ("maestro/nothing/#", ""),
        ("maestro", ""),
        ("$maestro/batch/#", "OA"),
        ("$maestro/#", "oaOA"),
        ("$SYS/#", "oaOA"),
        ("$other/#", ""),
        ("sensors/#", "aOA"),
        ("+/hall", "aOA"),
        ("$share/g/sensors/#", "aOA"),
        ("$share/g/maestro/log/#", "OA"),
    ];
    for (filter, expected) in table {
        let given: String = ROLES
            .into_iter()
            .zip("oaOA".chars())
            .filter(|(role, _)| acl.filter_readable(&one(*role), filter))
            .map(|(_, letter)| letter)
            .collect();
        assert_eq!(given, expected, "{filter}");
    }
}

#[test]
fn over_a_bridge_danger_needs_the_bridge_to_name_it_and_change_its_role() {
    let acl = Acl::default();
    let reboot = publish("maestro/cmd/system/reboot");
    let bridge = |role, unsigned: &[&str]| {
        Principal::bridge("cloud", role, unsigned.iter().map(ToString::to_string).collect())
    };
    let refused = acl.may_publish(&bridge(Role::Admin, &[]), &reboot).unwrap_err();
    assert_eq!(refused.code, "command.unsigned");
    assert!(acl.may_publish(&bridge(Role::Operator, &["system/reboot"]), &reboot).is_ok());
    assert!(acl.may_publish(&bridge(Role::Operator, &["network/*"]), &reboot).is_err());
    let ping = publish("maestro/cmd/system/ping");
    assert!(acl.may_publish(&bridge(Role::Operator, &[]), &ping).is_ok());
    // A verb of class change follows the role that the bridge has.
    let disconnect =
        Publish { topic: "maestro/cmd/broker/disconnect", retain: false, payload: b"thermo" };
    assert!(acl.may_publish(&bridge(Role::Operator, &[]), &disconnect).is_ok());
    let refused = acl.may_publish(&bridge(Role::Observer, &[]), &disconnect).unwrap_err();
    assert_eq!(refused.code, "broker.not_authorized");
}

#[test]
fn anyone_who_reads_may_ask_what_a_verb_would_do() {
    let acl = Acl::default();
    let reboot = |payload| Publish { payload, ..publish("maestro/cmd/system/reboot") };
    let dry = reboot(br#"{"reason":"x","dry_run":true}"#);
    for role in ROLES {
        assert!(acl.may_publish(&one(role), &dry).is_ok(), "{role:?}");
        assert!(acl.may_publish(&Principal::bridge("cloud", role, Vec::new()), &dry).is_ok());
    }
    for payload in [
        &br#"{"dry_run":false}"#[..],
        br#"{"dry_run":"true"}"#,
        br#"{"dry_run":true,"dry_run":false}"#,
        br#"{"dry_run":true"#,
        br#"[{"dry_run":true}]"#,
        b"dry_run",
        b"",
    ] {
        let refused = acl.may_publish(&one(Role::Operator), &reboot(payload)).unwrap_err();
        assert_eq!(refused.code, "broker.not_authorized", "{}", payload.escape_ascii());
    }
}

fn rule(who: Who, effect: Effect, access: Access, filter: &str) -> Rule {
    Rule { who, effect, access, filter: filter.into() }
}

#[test]
fn a_rule_gives_up_to_max_role_and_a_deny_beats_it() {
    let bob = || Who::Principal("user:bob".into());
    let rules = vec![
        rule(bob(), Effect::Allow, Access::Write, "maestro/cmd/#"),
        rule(bob(), Effect::Allow, Access::Read, "maestro/log/#"),
        rule(bob(), Effect::Allow, Access::Write, "maestro/state/#"),
        rule(bob(), Effect::Deny, Access::Write, "maestro/cmd/system/shutdown"),
        rule(Who::Role(Role::App), Effect::Deny, Access::Write, "sensors/#"),
        rule(Who::Role(Role::App), Effect::Deny, Access::Read, "secret/#"),
        rule(Who::Role(Role::App), Effect::Allow, Access::Write, "maestro/app/hub/#"),
    ];
    let acl = Acl::new(Root::default(), rules);
    let bob = |max_role| Principal { max_role, ..Principal::new("user:bob", Role::Observer) };
    let may = |who: &Principal, topic| acl.may_publish(who, &publish(topic)).is_ok();
    assert!(may(&bob(Role::Admin), "maestro/cmd/system/reboot"));
    assert!(!may(&bob(Role::Operator), "maestro/cmd/system/reboot"), "danger past max_role");
    assert!(!may(&bob(Role::Admin), "maestro/cmd/system/shutdown"), "denied");
    assert!(!may(&bob(Role::Admin), "maestro/state/stats/memory"), "the daemon's own");
    assert!(acl.may_read(&bob(Role::Operator), "maestro/log/info/x", None));
    assert!(!acl.may_read(&bob(Role::App), "maestro/log/info/x", None));
    assert!(acl.filter_readable(&bob(Role::Operator), "maestro/log/#"));
    let app = one(Role::App);
    assert!(!may(&app, "sensors/hall") && may(&app, "lamps/hall"));
    assert!(!acl.may_read(&app, "secret/x", None) && acl.may_read(&app, "open/x", None));
    assert!(!acl.filter_readable(&app, "secret/+/x") && acl.filter_readable(&app, "#"));
    let app = Principal { max_role: Role::Operator, ..app };
    assert!(may(&app, "maestro/app/hub/state/x"));
}

proptest! {
    #[test]
    fn a_filter_under_which_something_is_readable_is_granted(
        topic in "(maestro|[$]SYS|[$]maestro/(api|batch)|x)(/(state|log|cmd|app|thermo|reply|x)){1,3}",
        holes in proptest::collection::vec(any::<bool>(), 5),
        role in prop::sample::select(ROLES.to_vec()),
    ) {
        let (acl, who) = (Acl::default(), one(role));
        let filter: Vec<&str> = topic.split('/').zip(holes)
            .map(|(level, hole)| if hole && !level.starts_with('$') { "+" } else { level }).collect();
        if acl.may_read(&who, &topic, None) {
            prop_assert!(acl.filter_readable(&who, &filter.join("/")));
            prop_assert!(acl.filter_readable(&who, &topic));
        }
    }

    #[test]
    fn a_higher_role_may_do_all_that_a_lower_one_may(
        topic in "(maestro|[$]SYS|[$]maestro|x)(/(state|log|cmd|app|hub|system|ping|reboot|x)){0,4}",
    ) {
        let acl = Acl::default();
        let may = |role| {
            let who = Principal::new("one", role);
            (acl.may_read(&who, &topic, None), acl.may_publish(&who, &publish(&topic)).is_ok())
        };
        for pair in ROLES.windows(2) {
            let (low, high) = (may(pair[0]), may(pair[1]));
            prop_assert!(high.0 >= low.0 && high.1 >= low.1);
        }
    }
}
