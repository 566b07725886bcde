//! Who comes in, who stays, who is shown out.

use super::*;

#[test]
fn a_client_id_belongs_to_the_principal_that_made_the_session() {
    let mut world = World::new();
    let (_, _) = world.lasting(1, "mine");
    let (_, got) = world.connected(2, connect("mine"));
    assert_eq!(got[0], Got::ConnAck { present: false, reason: Reason::ClientIdentifierNotValid });
    for ours in ["maestro:stats", "bridge:cloud"] {
        let (_, got) = world.connected(0, connect(ours));
        let reason = Reason::ClientIdentifierNotValid;
        assert_eq!(got[0], Got::ConnAck { present: false, reason }, "{ours}");
    }
}

#[test]
fn a_link_never_shares_a_session_with_a_connection_of_the_same_name() {
    let mut world = World::new();
    let squatter = world.client(1, "plain");
    let link = Principal::new("plain", Role::Admin);
    world.core.attach(1, link, &mut world.fx);
    assert_eq!(world.got(squatter), [Got::Disconnect(Reason::SessionTakenOver)]);
    let session = world.core.session_of(1).expect("attached");
    assert_eq!(world.core.sessions.get(session).expect("its own").peer, Peer::Link);
    assert_eq!(world.core.open_session(squatter), None);
}

#[test]
fn the_same_principal_takes_its_client_id_over() {
    let mut world = World::new();
    let old = world.client(1, "mine");
    let (_, got) = world.connected(1, connect("mine"));
    assert_eq!(got[0], Got::ConnAck { present: false, reason: Reason::Success });
    assert_eq!(world.got(old), [Got::Disconnect(Reason::SessionTakenOver)]);
    assert_eq!(world.fx.close, [old]);
}

#[test]
fn silence_for_one_and_a_half_keep_alives_ends_a_connection() {
    let mut world = World::new();
    let (key, _) = world.connected(1, Connect { keep_alive_s: 10, ..connect("quiet") });
    world.pass(14);
    world.send(key, &Packet::PingReq);
    world.pass(14);
    assert_eq!(world.got(key), [Got::Other(wire::PacketType::PingResp)]);
    world.pass(1);
    assert_eq!(world.got(key), [Got::Disconnect(Reason::KeepAliveTimeout)]);
}

#[test]
fn whoever_says_nothing_or_too_much_before_connect_is_closed() {
    let mut world = World::new();
    let silent = world.raw(1);
    world.pass(10);
    assert_eq!(world.fx.close, [silent]);
    world.fx.close.clear();
    let loud = world.raw(1);
    let huge = [0x10, 0xFF, 0xFF, 0x7F]; // a CONNECT of 2 MiB
    world.core.received(loud, &huge, &mut world.fx);
    assert_eq!(world.fx.close, [loud]);
}

#[test]
fn a_second_connect_is_a_protocol_error_whatever_it_holds() {
    for second in
        [&b"\x10\x0D\0\x04MQTT\x05\x02\0\0\0\0\0"[..], b"\x10\x0C\0\x04MQTT\x03\x02\0\0\0\0"]
    {
        let mut world = World::new();
        let key = world.client(1, "c");
        world.core.received(key, second, &mut world.fx);
        assert_eq!(world.got(key), [Got::Disconnect(Reason::ProtocolError)]);
    }
}

#[test]
fn the_daemons_own_links_take_no_clients_session() {
    let mut world = World::with(Limits { sessions: 2, ..limits() }, &Store::in_memory());
    for (link, name) in [(1, "maestro:stats"), (2, "maestro:daemon")] {
        world.core.attach(link, Principal::new(name, Role::Admin), &mut world.fx);
    }
    world.core.attach(3, Principal::bridge("cloud", Role::App, vec![]), &mut world.fx);
    world.client(1, "a");
    world.client(1, "b");
    let (_, got) = world.connected(1, connect("c"));
    assert_eq!(got, [Got::ConnAck { present: false, reason: Reason::QuotaExceeded }]);
}

#[test]
fn presence_tells_who_is_there_and_clears_when_the_session_is_gone() {
    let mut world = World::new();
    let root = world.client(0, "root");
    world.subscribe(root, "maestro/client/+", Qos::AtMostOnce);
    let a = world.client(1, "a");
    let got = world.got(root);
    assert!(
        matches!(&got[0], Got::Publish { topic, payload, .. }
        if topic == "maestro/client/a" && payload.contains(r#""state":"online""#)),
        "{got:?}"
    );
    world.core.closed(a, &mut world.fx);
    assert_eq!(world.got(root), [message("maestro/client/a", "")]);
}

#[test]
fn a_password_is_waited_for_and_a_wrong_one_is_refused() {
    let mut world = World::new();
    for (right, reason) in [(true, Reason::Success), (false, Reason::BadUserNameOrPassword)] {
        let key = world.raw(1);
        let asked = Connect { username: Some("bob"), password: Some(b"pw"), ..connect("a") };
        world.send(key, &Packet::Connect(asked));
        let verify = world.fx.verify.pop().expect("asked");
        assert_eq!((verify.username.as_deref(), &verify.password[..]), (Some("bob"), &b"pw"[..]));
        assert!(!world.core.reading(key));
        let password = if right {
            Password::Right { name: "bob".into(), role: Role::Operator }
        } else {
            Password::Wrong
        };
        let op = Op::Verified { connection: key, password };
        world.core.operation(op, &mut world.fx);
        assert!(matches!(world.got(key)[0], Got::ConnAck { reason: got, .. } if got == reason));
    }
}

#[test]
fn attempts_at_a_password_are_counted_by_place_whatever_the_listener() {
    let mut world = World::new();
    let mut source = |origin: Origin| {
        let key = world.core.accept(origin, &mut world.fx).expect("room");
        let asked = Connect { username: Some("bob"), password: Some(b"pw"), ..connect("a") };
        world.send(key, &Packet::Connect(asked));
        world.fx.verify.pop().expect("asked").source
    };
    let mut stranger = |listener, address: &str| {
        let address = Some(address.parse().expect("an address"));
        let transport = Transport::Remote;
        source(Origin { transport, address, listener, max_role: Role::Operator })
    };
    assert_eq!(stranger("ws", "127.0.0.1"), stranger("tls", "127.5.0.3"));
    assert_eq!(stranger("wss", "2001:db8::1"), stranger("tcp", "2001:db8::ffff:1"));
    assert_ne!(stranger("ws", "10.0.0.1"), stranger("ws", "10.0.0.2"));
    let by_unix = origin(1);
    let Transport::Unix(owner) = by_unix.transport.clone() else { unreachable!("by Unix") };
    let transport = Transport::Loopback(Some(owner));
    let by_tcp = Origin { transport, listener: "tcp", ..by_unix.clone() };
    assert_eq!(source(by_unix), source(by_tcp));
    assert_ne!(source(origin(1)), source(origin(2)), "nobody locks another user of the box out");
}

#[test]
fn any_bytes_are_survived_and_another_client_is_served_meanwhile() {
    let mut world = World::new();
    let (reader, writer) = (world.client(1, "reader"), world.client(2, "writer"));
    world.subscribe(reader, "t", Qos::AtMostOnce);
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..3000 {
        let key = if round % 2 == 0 { world.raw(3) } else { world.client(3, "fuzz") };
        let bytes: Vec<u8> = (0..64)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                seed.to_le_bytes()[0]
            })
            .collect();
        world.core.received(key, &bytes, &mut world.fx);
        world.core.closed(key, &mut world.fx);
        world.fx = Effects::at(world.now);
        world.publish(writer, "t", "x", Qos::AtMostOnce);
        assert_eq!(world.got(reader), [message("t", "x")]);
    }
    assert_eq!(world.core.connections.len(), 2);
}
