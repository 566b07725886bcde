//! Frames of a WebSocket, in pieces and at once: the same MQTT, the same end, and what the standard says
//! when it is read plainly, a whole frame at a time.
//!
//! The first byte of the input is the size of the pieces.

use maestro::broker::websocket::{Frames, Status};

const LIMIT: u64 = 1 << 16;

pub(super) fn trial(input: &[u8]) {
    let Some((&piece, stream)) = input.split_first() else { return };
    let mut whole = stream.to_vec();
    let mut at_once = Frames::new(LIMIT);
    let count = at_once.decode(&mut whole);
    assert!(count <= stream.len());

    let (mut in_pieces, mut taken) = (Frames::new(LIMIT), Vec::new());
    for chunk in stream.chunks(usize::from(piece).max(1)) {
        let mut chunk = chunk.to_vec();
        let count = in_pieces.decode(&mut chunk);
        taken.extend_from_slice(&chunk[..count]);
    }
    assert_eq!(taken, &whole[..count]);
    assert_eq!(in_pieces.ended(), at_once.ended());

    let plain = plainly(stream);
    assert_eq!(taken, plain.mqtt);
    assert_eq!(at_once.ended(), plain.ended);

    let mut out = taken;
    let ready = at_once.frame(&mut out);
    assert_eq!(ready, out.len());
    assert!(out.starts_with(&plain.pong), "the last ping is answered");
    assert!(out.ends_with(&plain.mqtt));
    at_once.sent(ready);
    at_once.close(&mut out);
}

/// What a stream of frames means (RFC 6455 §5).
#[derive(Default)]
struct Plain {
    mqtt: Vec<u8>,
    /// The answer to the last ping (§5.5.3).
    pong: Vec<u8>,
    ended: Option<Status>,
}

fn plainly(mut rest: &[u8]) -> Plain {
    let mut plain = Plain::default();
    let mut in_message = false;
    while !rest.is_empty() && plain.ended.is_none() {
        let (head, behind) = match look(rest, in_message) {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(status) => return Plain { ended: Some(status), ..plain },
        };
        let there = behind.len().min(head.length);
        let masked = behind[..there].iter().enumerate();
        let payload: Vec<u8> = masked.map(|(at, byte)| byte ^ head.mask[at % 4]).collect();
        rest = &behind[there..];
        match head.first & 0x0F {
            0x0 | 0x2 => {
                in_message = !is_last(head.first);
                plain.mqtt.extend(payload);
            }
            _ if there < head.length => break,
            0x9 => plain.pong = [&[0x8A, head.short], &payload[..]].concat(),
            0x8 => plain.ended = Some(said(&payload)),
            _ => {}
        }
    }
    plain
}

struct Head {
    first: u8,
    /// The length, where it is 125 at most.
    short: u8,
    length: usize,
    mask: [u8; 4],
}

fn is_last(first: u8) -> bool {
    first & 0x80 != 0
}

/// The head of the next frame, if it is whole, and what is behind it.
fn look(bytes: &[u8], in_message: bool) -> Result<Option<(Head, &[u8])>, Status> {
    let first = bytes[0];
    let (opcode, control) = (first & 0x0F, first & 0x08 != 0);
    if first & 0x70 != 0 {
        return Err(Status::PROTOCOL_ERROR);
    }
    match opcode {
        0x1 => return Err(Status::NOT_BINARY),
        0x0 if in_message => {}
        0x2 if !in_message => {}
        0x8..=0xA if is_last(first) => {}
        _ => return Err(Status::PROTOCOL_ERROR),
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    let short = second & 0x7F;
    if second & 0x80 == 0 || (control && short > 125) {
        return Err(Status::PROTOCOL_ERROR);
    }
    let size = [2, 4, 10][usize::from(short.saturating_sub(125))];
    let (Some(head), Some(mask)) = (bytes.get(..size), bytes.get(size..size + 4)) else {
        return Ok(None);
    };
    let mut length = u64::from(short);
    if size > 2 {
        length = head[2..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let least = if size == 4 { 126 } else { 0x1_0000 };
        if length < least || length >> 63 != 0 {
            return Err(Status::PROTOCOL_ERROR);
        }
    }
    if length > LIMIT {
        return Err(Status::TOO_BIG);
    }
    let mask = [mask[0], mask[1], mask[2], mask[3]];
    let length = usize::try_from(length).unwrap();
    Ok(Some((Head { first, short, length, mask }, &bytes[size + 4..])))
}

/// What a close frame says (§7.4).
fn said(payload: &[u8]) -> Status {
    if payload.is_empty() {
        return Status::NORMAL;
    }
    let Some(code) = payload.get(..2) else { return Status::PROTOCOL_ERROR };
    let code = u16::from(code[0]) << 8 | u16::from(code[1]);
    let known = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011].contains(&code);
    if known || (3000..5000).contains(&code) { Status(code) } else { Status::PROTOCOL_ERROR }
}
