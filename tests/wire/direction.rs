//! Who may send what.

use maestro::broker::wire::{Malformed, Version};

use crate::bytes::{packet, read};

fn verdicts(text: &str) -> (Result<(), Malformed>, Result<(), Malformed>) {
    let bytes = packet(text);
    let packet = read(Version::V5, &bytes).unwrap_or_else(|refused| panic!("{text}: {refused}"));
    (packet.from_client(), packet.from_server())
}

#[test]
fn some_packets_come_from_one_side_only() {
    for text in ["10 <MQTT> 05 02 0000 [] <>", "82 0001 [] <a> 00", "A2 0001 [] <a>", "C0"] {
        assert_eq!(verdicts(text), (Ok(()), Err(Malformed::NotFromServer)), "{text}");
    }
    for text in ["20 00 00 []", "90 0001 [] 00", "B0 0001 [] 00", "D0"] {
        assert_eq!(verdicts(text), (Err(Malformed::NotFromClient), Ok(())), "{text}");
    }
    for text in ["30 <a> []", "40 0001", "50 0001", "62 0001", "70 0001", "E0", "F0 18 [15 <m>]"] {
        assert_eq!(verdicts(text), (Ok(()), Ok(())), "{text}");
    }
}

#[test]
fn a_client_names_no_subscription_identifier_when_it_publishes() {
    let refused = Err(Malformed::SubscriptionIdentifierFromClient);
    assert_eq!(verdicts("30 <a> [0B 01]"), (refused, Ok(())));
}

#[test]
fn reasons_to_disconnect_are_the_sender_s_own() {
    // 5.0 Table 3-10, column "Sent by".
    for code in ["80", "81", "82", "83", "90", "93", "94", "95", "96", "97", "98", "99"] {
        assert_eq!(verdicts(&format!("E0 {code} []")), (Ok(()), Ok(())), "{code}");
    }
    for code in [
        "87", "89", "8B", "8C", "8D", "8E", "8F", "9A", "9B", "9C", "9D", "9E", "9F", "A0", "A1",
        "A2",
    ] {
        let refused = Err(Malformed::ReasonFromClient);
        assert_eq!(verdicts(&format!("E0 {code} []")), (refused, Ok(())), "{code}");
    }
    assert_eq!(verdicts("E0 04 []"), (Ok(()), Err(Malformed::ReasonFromServer)));
}

#[test]
fn a_server_ends_no_session_of_its_client() {
    let refused = Err(Malformed::SessionExpiryFromServer);
    assert_eq!(verdicts("E0 00 [11 00000001]"), (Ok(()), refused));
}

#[test]
fn authentication_is_asked_for_by_the_client_and_granted_by_the_server() {
    assert_eq!(verdicts("F0 19 [15 <m>]"), (Ok(()), Err(Malformed::AuthReasonFromServer)));
    assert_eq!(verdicts("F0 00 [15 <m>]"), (Err(Malformed::AuthReasonFromClient), Ok(())));
}
