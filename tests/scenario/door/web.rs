//! WebSockets: the request, the frames, and clients that others wrote.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Bytes, Message};

use super::{BOB, House, is, presence};
use crate::support::{clock::PATIENCE, net::Link, peers, ports::free_port, skip::skip};

/// A request that is accepted, with these lines more.
fn request(more: &str) -> String {
    format!(
        "GET /mqtt HTTP/1.1\r\nHost: localhost:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n{more}\r\n"
    )
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a read time-out");
    stream
}

/// All that is said until the end.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

/// A WebSocket by tungstenite, after a request of ours.
pub(super) fn upgraded(port: u16) -> WebSocket<TcpStream> {
    let mut stream = connect(port);
    stream.write_all(request("").as_bytes()).expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    WebSocket::from_raw_socket(stream, Role::Client, None)
}

/// MQTT 3.1.1 CONNECT of bob.
fn connect_packet() -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04\xC2\x00\x00\x00\x03web".to_vec();
    for text in ["bob", "secret"] {
        body.extend_from_slice(&u16::try_from(text.len()).expect("short").to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    [&[0x10, u8::try_from(body.len()).expect("short")][..], &body].concat()
}

/// The status of the close frame that comes.
fn closed_with(mut socket: WebSocket<TcpStream>) -> u16 {
    loop {
        match socket.read() {
            Ok(Message::Close(Some(frame))) => return frame.code.into(),
            Ok(_) => {}
            Err(error) => panic!("no close frame: {error}"),
        }
    }
}

#[test]
fn a_request_that_is_none_is_told_why_in_one_line_and_closed() {
    let house = House::with("", "");
    let evil = request("Origin: http://evil.example\r\n");
    for (sent, status) in [
        ("hello\r\n\r\n".to_owned(), 400),
        (request("").replace("/mqtt", "/other"), 404),
        (request("").replace("Upgrade: websocket\r\n", ""), 426),
        (evil, 403),
        (request("").replace("Protocol: mqtt", "Protocol: mqttv3.1"), 400),
        (format!("GET /{}", "x".repeat(9000)), 400),
    ] {
        let mut stream = connect(house.ws);
        stream.write_all(sent.as_bytes()).expect("sent");
        let answer = String::from_utf8(rest(stream)).expect("text");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{sent}: {answer}");
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        assert_eq!(body.lines().count(), 1, "{answer}");
        assert!(!answer.contains("evil") && !answer.contains("maestro"), "{answer}");
    }
    drop(upgraded(house.ws));
}

#[test]
fn frames_against_the_standard_are_closed_with_its_status() {
    let house = House::with("", "");
    let mut text = upgraded(house.ws);
    text.send(Message::text("hello")).expect("sent");
    assert_eq!(closed_with(text), 1003);
    for (bytes, status) in [
        (&b"\x82\xFF\x00\x00\x00\xFF\xFF\xFF\xFF\xFF\x01\x02\x03\x04"[..], 1009),
        (b"\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x02\x03\x04", 1002),
        (b"\x82\x02\x10\x00", 1002),
        (b"\x80\x80\x01\x02\x03\x04", 1002),
    ] {
        let mut socket = upgraded(house.ws);
        socket.get_mut().write_all(bytes).expect("sent");
        assert_eq!(closed_with(socket), status, "{bytes:02x?}");
    }
    let mut bye = upgraded(house.ws);
    bye.close(None).expect("sent");
    assert_eq!(closed_with(bye), 1000);
}

#[test]
fn packets_in_pieces_pings_between_and_a_goodbye_at_once_are_all_heard() {
    let house = House::with("", "");
    let mut watcher = house.daemon.client("watcher");
    watcher.subscribe("pieces", 1);
    let mut socket = upgraded(house.ws);
    let connect = connect_packet();
    for (at, &byte) in connect.iter().enumerate() {
        let opcode = if at == 0 { Data::Binary } else { Data::Continue };
        let header = FrameHeader {
            is_final: at + 1 == connect.len(),
            opcode: OpCode::Data(opcode),
            mask: Some([1, 2, 3, 4]),
            ..FrameHeader::default()
        };
        let mut bytes = Vec::new();
        let frame = Frame::from_payload(header, Bytes::from(vec![byte]));
        frame.format(&mut bytes).expect("a frame");
        socket.get_mut().write_all(&bytes).expect("sent");
        if at == 5 {
            socket.send(Message::Ping(Bytes::from_static(b"?"))).expect("sent");
        }
    }
    assert_eq!(socket.read().expect("a pong"), Message::Pong(Bytes::from_static(b"?")));
    let connack = socket.read().expect("a CONNACK").into_data();
    assert_eq!(&connack[..], b"\x20\x02\x00\x00");
    // two messages and the end of MQTT and of the WebSocket, in one go
    let message = |payload: &[u8]| [b"\x30\x09\x00\x06pieces", payload].concat();
    let all = [message(b"1"), message(b"2"), b"\xE0\x00".to_vec()].concat();
    socket.write(Message::binary(all)).expect("written");
    socket.close(None).expect("sent");
    assert_eq!(watcher.on("pieces").text(), "1");
    assert_eq!(watcher.on("pieces").text(), "2");
    assert_eq!(closed_with(socket), 1000);
}

/// paho of Python: transport, port, CA or `-`, user or `-`; a megabyte there and back, each quality.
const PAHO: &str = r#"
import queue, sys
import paho.mqtt.client as mqtt
port, ca, path, size = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
client = mqtt.Client(client_id="paho", transport="websockets", protocol=mqtt.MQTTv311)
client.ws_set_options(path=path)
client.username_pw_set("bob", "secret")
if ca != "-":
    client.tls_set(ca_certs=ca)
came, subscribed, connected = queue.Queue(), queue.Queue(), queue.Queue()
client.on_connect = lambda c, u, f, rc: connected.put(rc)
client.on_subscribe = lambda *_: subscribed.put(True)
client.on_message = lambda c, u, m: came.put(m)
client.connect("localhost", port)
client.loop_start()
assert connected.get(timeout=10) == 0
client.subscribe("big/#", 2)
subscribed.get(timeout=10)
payload = bytes(n * 7 % 251 for n in range(size))
for qos in (0, 1, 2):
    client.publish("big/%d" % qos, payload, qos=qos)
    message = came.get(timeout=20)
    assert message.payload == payload and message.qos == qos, (len(message.payload), message.qos)
client.disconnect()
client.loop_stop()
print("ok")
"#;

fn paho(port: u16, ca: &str, path: &str, size: usize) -> String {
    let mut command = peers::peer("python3");
    command.args(["-c", PAHO, &port.to_string(), ca, path, &size.to_string()]);
    let output = peers::output(command, Duration::from_secs(60));
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn paho_passes_a_megabyte_each_way_over_ws_and_wss() {
    let house = House::with("", "");
    let mut watcher = house.daemon.client("watcher");
    watcher.subscribe("maestro/client/+", 1);
    let ca = house.authority.ca().display().to_string();
    for (port, ca, listener) in [(house.ws, "-", "ws"), (house.wss, ca.as_str(), "wss")] {
        let said = paho(port, ca, "/mqtt", 1_000_000);
        assert_eq!(said.trim(), "ok", "{listener}");
        assert_eq!(presence(&mut watcher, "paho"), is("user:bob", "operator", listener));
    }
}

#[test]
fn several_listeners_of_each_kind_serve_at_once() {
    let ports: Vec<u16> = (0..5).map(|_| free_port()).collect();
    let dir = "{dir}";
    let (builder, authority, [tls, ws, wss]) = House::plan("", "");
    let dir = dir.replace("{dir}", &builder.dir().display().to_string());
    let pair = format!("cert: {dir}/server.pem, key: {dir}/server.key");
    let yaml = format!(
        "state_dir: {dir}/state\nbroker:\n  users: {dir}/users\n  listeners:\n    \
         - unix: {dir}/mqtt.sock\n    - tcp: 127.0.0.1:{{port}}\n    - tcp: 127.0.0.1:{}\n    \
         - {{tls: 127.0.0.1:{tls}, {pair}}}\n    \
         - {{tls: '127.0.0.1:{}', max_role: observer, {pair}}}\n    - ws: 127.0.0.1:{ws}\n    \
         - {{ws: '127.0.0.1:{}', path: /other}}\n    \
         - {{wss: '127.0.0.1:{wss}', {pair}}}\n    \
         - {{wss: '127.0.0.1:{}', path: /other, {pair}}}\n",
        ports[0], ports[1], ports[2], ports[3]
    );
    let daemon = builder.whole_config(&yaml).start();
    let mut house = House { daemon, authority, tls, ws, wss };
    let mut watcher = house.daemon.client("watcher");
    watcher.subscribe("maestro/client/+", 1);
    assert!(house.publishes("one", &BOB).contains("received CONNACK (0)"));
    assert_eq!(presence(&mut watcher, "one"), is("user:bob", "operator", "tls"));
    house.tls = ports[1];
    assert!(house.publishes("two", &BOB).contains("received CONNACK (0)"));
    assert_eq!(presence(&mut watcher, "two"), is("user:bob", "observer", "tls"));
    let ca = house.authority.ca().display().to_string();
    for (port, ca, path) in [
        (ws, "-", "/mqtt"),
        (ports[2], "-", "/other"),
        (wss, &ca, "/mqtt"),
        (ports[3], &ca, "/other"),
    ] {
        assert_eq!(paho(port, ca, path, 10).trim(), "ok", "{port} {path}");
    }
    let plain = std::net::SocketAddr::from(([127, 0, 0, 1], ports[0]));
    let id = crate::support::client::connect("plain");
    assert!(crate::support::client::Client::tcp(plain, id).is_ok());
}

/// paho without a word of who it is; prints what CONNACK said.
const NOBODY: &str = r#"
import sys, queue
import paho.mqtt.client as mqtt
said = queue.Queue()
client = mqtt.Client(client_id="nobody", transport="websockets", protocol=mqtt.MQTTv311)
client.ws_set_options(path="/mqtt", headers=None)
client.on_connect = lambda c, u, f, rc: said.put(rc)
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_start()
print(said.get(timeout=10))
"#;

#[test]
fn over_a_websocket_nobody_is_somebody_by_where_it_comes_from() {
    let house = House::with("", "");
    let mut command = peers::peer("python3");
    command.args(["-c", NOBODY, "127.0.0.1", &house.ws.to_string()]);
    let output = peers::output(command, PATIENCE);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "5", "not authorized, root or not");

    let link = match Link::new() {
        Ok(link) => link,
        Err(reason) => return skip(&reason),
    };
    let ws = free_port();
    let yaml = format!(
        "state_dir: {{dir}}/state\nbroker:\n  listeners:\n    - unix: {{dir}}/mqtt.sock\n    \
         - ws: 0.0.0.0:{ws}\n"
    );
    let daemon = crate::support::daemon::Daemon::build().on(&link.near).whole_config(&yaml).start();
    let mut command = link.far.peer("python3");
    command.args(["-c", NOBODY, &link.near.address().to_string(), &ws.to_string()]);
    let output = peers::output(command, PATIENCE);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "5", "nor from elsewhere");
    drop(daemon);
}
