//! The same clients by the other ways in: TLS, WebSocket, and both.

use serde_json::json;

use super::agent::{Agent, each_with_layers};
use crate::door::House;

#[test]
fn a_message_of_each_quality_arrives_by_tls_websocket_and_secure_websocket() {
    let house = House::with("", "");
    let ca = house.authority.ca();
    let ca = ca.to_str().expect("a path in UTF-8");
    each_with_layers(|kind| {
        let mut agent = Agent::new(kind, &house.daemon);
        for (scheme, port) in [("mqtts", house.tls), ("ws", house.ws), ("wss", house.wss)] {
            let mut way =
                json!({"scheme": scheme, "port": port, "user": "bob", "password": "secret"});
            if scheme != "ws" {
                way["ca"] = json!(ca);
            }
            agent.connect(&format!("{kind}-{scheme}"), json!({ "way": way }));
            let topic = format!("way/{kind}/{scheme}");
            agent.subscribe(&topic, 2);
            for qos in 0..3 {
                let how = json!({"qos": qos, "size": 100_000});
                agent.publish_with(&topic, "x", how);
            }
            let messages = agent.messages(3);
            assert!(messages.iter().all(|m| m["size"] == 100_000), "{scheme}");
            agent.disconnect();
        }
    });
}
