//! The framing against tungstenite's, and against the standard's list of what ends it.

use super::*;
use proptest::prelude::*;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::protocol::{Role, WebSocket};

const LIMIT: u64 = 1 << 20;

/// A frame as tungstenite's client sends it.
fn frame(opcode: OpCode, last: bool, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        is_final: last,
        opcode,
        mask: Some([7, 200, 3, 91]),
        ..FrameHeader::default()
    };
    let mut bytes = Vec::new();
    Frame::from_payload(header, payload.to_vec().into()).format(&mut bytes).unwrap();
    bytes
}

fn binary(payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Data(Data::Binary), true, payload)
}

fn control(kind: Control, payload: &[u8]) -> Vec<u8> {
    frame(OpCode::Control(kind), true, payload)
}

/// What comes out of bytes that come in pieces of this size.
fn taken(frames: &mut Frames, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in bytes.chunks(piece) {
        let mut chunk = chunk.to_vec();
        let count = frames.decode(&mut chunk);
        out.extend_from_slice(&chunk[..count]);
    }
    out
}

fn status_of(bytes: &[u8]) -> Option<Status> {
    let mut frames = Frames::new(LIMIT);
    taken(&mut frames, bytes, 1);
    frames.ended()
}

#[test]
fn a_fragmented_message_with_a_ping_inside_is_one_stream_and_one_pong() {
    let mut bytes = frame(OpCode::Data(Data::Binary), false, b"one ");
    bytes.extend(control(Control::Ping, b"are you there"));
    bytes.extend(frame(OpCode::Data(Data::Continue), false, b""));
    bytes.extend(control(Control::Pong, b"unasked"));
    bytes.extend(frame(OpCode::Data(Data::Continue), true, b"two "));
    bytes.extend(binary(b"three"));
    for piece in 1..bytes.len() {
        let mut frames = Frames::new(LIMIT);
        assert_eq!(taken(&mut frames, &bytes, piece), b"one two three");
        assert_eq!(frames.ended(), None);
        let mut out = b"answer".to_vec();
        assert_eq!(frames.frame(&mut out), out.len());
        assert_eq!(out, b"\x8a\x0dare you there\x82\x06answer");
    }
}

#[test]
fn what_the_standard_forbids_ends_it_with_the_standards_status() {
    let unmasked = [0x82, 0x01, b'x'];
    let text = frame(OpCode::Data(Data::Text), true, b"hello");
    let huge = [0x82, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4];
    let negative = [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    let not_shortest = [0x82, 0xFE, 0, 5, 1, 2, 3, 4];
    let mut two_begin = frame(OpCode::Data(Data::Binary), false, b"a");
    two_begin.extend(binary(b"b"));
    for (bytes, status) in [
        (&unmasked[..], Status::PROTOCOL_ERROR),
        (&text, Status::NOT_BINARY),
        (&huge, Status::TOO_BIG),
        (&negative, Status::PROTOCOL_ERROR),
        (&not_shortest, Status::PROTOCOL_ERROR),
        (&two_begin, Status::PROTOCOL_ERROR),
        (&frame(OpCode::Data(Data::Continue), true, b""), Status::PROTOCOL_ERROR),
        (&frame(OpCode::Control(Control::Ping), false, b""), Status::PROTOCOL_ERROR),
        (&[0x89, 0xFE, 0, 126], Status::PROTOCOL_ERROR),
        (&[0xC2, 0x80], Status::PROTOCOL_ERROR),
        (&[0x83, 0x80], Status::PROTOCOL_ERROR),
        (&control(Control::Close, &[]), Status::NORMAL),
        (&control(Control::Close, &[3, 0xE9]), Status(1001)),
        (&control(Control::Close, &[3]), Status::PROTOCOL_ERROR),
        (&control(Control::Close, &[0, 5]), Status::PROTOCOL_ERROR),
    ] {
        assert_eq!(status_of(bytes), Some(status), "{bytes:02x?}");
    }
}

#[test]
fn after_the_end_nothing_is_taken_and_the_last_frame_says_why() {
    let mut bytes = binary(b"before");
    bytes.extend(frame(OpCode::Data(Data::Text), true, b"x"));
    bytes.extend(binary(b"after"));
    let mut frames = Frames::new(LIMIT);
    assert_eq!(taken(&mut frames, &bytes, bytes.len()), b"before");
    assert_eq!(taken(&mut frames, &bytes, bytes.len()), b"");
    let mut out = Vec::new();
    frames.close(&mut out);
    assert_eq!(out, [0x88, 2, 0x03, 0xEB]);
}

#[test]
fn a_frame_that_is_being_sent_is_not_torn() {
    let mut frames = Frames::new(LIMIT);
    let mut out = vec![7; 300];
    assert_eq!(frames.frame(&mut out), 304);
    out.drain(..100);
    frames.sent(100);
    taken(&mut frames, &control(Control::Ping, b"?"), 100);
    out.extend_from_slice(b"later");
    assert_eq!(frames.frame(&mut out), 204, "no further than its end");
    let mut close = Vec::new();
    frames.close(&mut close);
    assert_eq!(close, b"");
    out.drain(..204);
    frames.sent(204);
    assert_eq!(frames.frame(&mut out), out.len());
    assert_eq!(out, b"\x8a\x01?\x82\x05later");
}

proptest! {
    #[test]
    fn whatever_pieces_it_comes_in_it_is_what_tungstenite_sent(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 1..6),
        piece in 1usize..900,
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|message| binary(message)).collect();
        let mut frames = Frames::new(LIMIT);
        prop_assert_eq!(taken(&mut frames, &bytes, piece), messages.concat());
    }

    #[test]
    fn tungstenite_reads_what_we_frame(size in prop_oneof![0usize..300, 65_500usize..65_600]) {
        let mut out = vec![5; size];
        Frames::new(LIMIT).frame(&mut out);
        if size > 0 {
            let stream = std::io::Cursor::new(out);
            let mut oracle = WebSocket::from_raw_socket(stream, Role::Client, None);
            prop_assert_eq!(oracle.read().unwrap().into_data().len(), size);
        }
    }

    #[test]
    fn garbage_ends_or_waits_and_never_makes_more_than_came(
        bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..40,
    ) {
        let mut frames = Frames::new(LIMIT);
        prop_assert!(taken(&mut frames, &bytes, piece).len() <= bytes.len());
    }
}
