//! A thousand clients of one library at once.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use tokio::task::JoinSet;

use crate::support::{clock::PATIENCE, daemon::Daemon};

const CROWD: usize = 1000;

/// Connects, subscribes to its own topic.
async fn settle(port: u16, n: usize) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(format!("crowd-{n}"), "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(120));
    let (client, mut events) = AsyncClient::new(options, 4);
    client.subscribe(format!("crowd/{n}"), QoS::AtLeastOnce).await.expect("room for a request");
    loop {
        let event = events.poll().await.unwrap_or_else(|e| panic!("client {n}: {e}"));
        if matches!(event, Event::Incoming(Packet::SubAck(_))) {
            return (client, events);
        }
    }
}

/// Greets its neighbour and hears the other one.
async fn greet(n: usize, client: AsyncClient, mut events: EventLoop) -> AsyncClient {
    let neighbour = format!("crowd/{}", (n + 1) % CROWD);
    client
        .publish(neighbour, QoS::AtLeastOnce, false, n.to_string())
        .await
        .expect("room for a request");
    let (mut heard, mut acknowledged) = (false, false);
    while !(heard && acknowledged) {
        match events.poll().await.unwrap_or_else(|e| panic!("client {n}: {e}")) {
            Event::Incoming(Packet::Publish(publish)) => {
                assert_eq!(publish.payload, ((n + CROWD - 1) % CROWD).to_string());
                heard = true;
            }
            Event::Incoming(Packet::PubAck(_)) => acknowledged = true,
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }
    client
}

#[test]
fn a_thousand_clients_at_once_hear_their_neighbours() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit of files");
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(4096).min(hard), hard).expect("more files");
    let limits =
        "limits: {max_connections: 1100, max_connections_per_uid: 1100, max_sessions: 1100}";
    let daemon = Daemon::build().unwatched().broker(limits).start();
    let port = daemon.port();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut settling = JoinSet::new();
        for n in 0..CROWD {
            settling.spawn(async move { (n, settle(port, n).await) });
        }
        let settled = tokio::time::timeout(PATIENCE * 2, settling.join_all()).await;
        let mut greeting = JoinSet::new();
        for (n, (client, events)) in settled.expect("all are connected") {
            greeting.spawn(greet(n, client, events));
        }
        let all = tokio::time::timeout(PATIENCE * 2, greeting.join_all()).await;
        assert_eq!(all.expect("all have heard").len(), CROWD);
    });
}
