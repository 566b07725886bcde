//! The command line's MQTT client against a broker that is not ours: mosquitto, plain and with TLS.

use std::time::Duration;

use maestro::{
    broker::wire::Reason,
    bus::{Message, Qos},
    cli::client::{Address, Client, Options, Tls, Trouble},
};

use crate::support::{clock::PATIENCE, mosquitto::Mosquitto};

const NONE: Duration = Duration::from_millis(200);

fn unix(mosquitto: &Mosquitto) -> Client {
    Client::connect(&Options::to(Address::Unix(mosquitto.socket()))).expect("a connection")
}

#[test]
fn a_message_of_each_quality_arrives_once_with_all_its_properties() {
    let mosquitto = Mosquitto::plain();
    let mut reader = unix(&mosquitto);
    let mut writer =
        Client::connect(&Options::to(Address::Tcp("127.0.0.1".into(), mosquitto.port())))
            .expect("a connection");
    reader.subscribe(&["a/#"], Qos::ExactlyOnce).expect("granted");
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let sent = Message {
            topic: "a/é".into(),
            payload: vec![0, 0xFF, b'x'].into(),
            qos,
            response_topic: Some("me/1".into()),
            correlation_data: Some(vec![1, 2].into()),
            content_type: Some("text/plain".into()),
            user: vec![("k".into(), "v".into()), ("k".into(), "w".into())],
            ..Message::default()
        };
        writer.publish(&sent).expect("taken");
        assert_eq!(reader.next(PATIENCE).expect("a connection"), Some(sent));
    }
    assert_eq!(reader.next(NONE).expect("a connection"), None);
}

#[test]
fn what_is_retained_has_come_when_the_client_has_settled() {
    let mosquitto = Mosquitto::plain();
    let mut writer = unix(&mosquitto);
    for n in 0..500 {
        writer.publish(&Message::new(format!("kept/{n}"), "x").retained()).expect("taken");
    }
    let mut reader = unix(&mosquitto);
    reader.subscribe(&["kept/#"], Qos::AtMostOnce).expect("granted");
    assert_eq!(reader.settled().expect("a connection").len(), 500);
}

#[test]
fn a_quiet_connection_outlives_its_keep_alive() {
    let mosquitto = Mosquitto::plain();
    let mut options = Options::to(Address::Unix(mosquitto.socket()));
    options.keep_alive = Duration::from_secs(1);
    let mut reader = Client::connect(&options).expect("a connection");
    reader.subscribe(&["a"], Qos::AtMostOnce).expect("granted");
    assert_eq!(reader.next(Duration::from_secs(4)).expect("still there"), None);
    unix(&mosquitto).publish(&Message::new("a".into(), "x").at_least_once()).expect("taken");
    assert!(reader.next(PATIENCE).expect("still there").is_some());
}

#[test]
fn with_a_certificate_it_is_let_in_and_without_one_it_is_told_why_not() {
    let mosquitto = Mosquitto::tls();
    let identity = mosquitto.authority().issue("me", &[]);
    let mut options = Options::to(mosquitto.url().parse().expect("a url"));
    options.tls = Tls { ca: Some(mosquitto.authority().ca()), identity: Some(identity) };
    let mut client = Client::connect(&options).expect("a connection");
    client.subscribe(&["a"], Qos::AtLeastOnce).expect("granted");
    let big = vec![b'x'; 300_000];
    client.publish(&Message::new("a".into(), big.clone()).at_least_once()).expect("taken");
    let message = client.next(PATIENCE).expect("a connection").expect("a message");
    assert_eq!(message.payload, big);

    options.tls.identity = None;
    let trouble = Client::connect(&options).err().expect("not let in");
    assert!(matches!(trouble, Trouble::Unreachable { .. }), "{trouble}");

    options.tls.ca = None;
    let trouble = Client::connect(&options).err().expect("not trusted");
    assert!(trouble.to_string().contains("UnknownIssuer"), "{trouble}");
}

#[test]
fn a_broker_that_is_gone_is_told_as_such() {
    let mut mosquitto = Mosquitto::plain();
    let mut client = unix(&mosquitto);
    mosquitto.process().signal(nix::sys::signal::Signal::SIGKILL);
    mosquitto.process().wait(PATIENCE);
    assert!(matches!(client.next(PATIENCE), Err(Trouble::Lost(_))));
    let again = Client::connect(&Options::to(Address::Unix(mosquitto.socket())));
    assert!(matches!(again, Err(Trouble::Unreachable { .. })));
}

#[test]
fn a_filter_that_is_none_never_leaves_the_client() {
    let mosquitto = Mosquitto::plain();
    let refused = unix(&mosquitto).subscribe(&["a/#/b"], Qos::AtMostOnce);
    let Err(Trouble::Refused(no)) = refused else { panic!("{refused:?}") };
    assert_eq!(no.reason, Reason::TopicFilterInvalid);
}
