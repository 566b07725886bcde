//! One frame (RFC 6455 §5.2): opcodes, head, mask, and the status a close frame carries (§7.4).

/// Why a connection ends, as §7.4.1 numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// All is said.
    pub const NORMAL: Status = Status(1000);
    /// Against the standard.
    pub const PROTOCOL_ERROR: Status = Status(1002);
    /// MQTT is in binary frames only (MQTT-6.0.0-1).
    pub const NOT_BINARY: Status = Status(1003);
    /// More than this listener takes in one frame.
    pub const TOO_BIG: Status = Status(1009);
}

pub(super) const CONTINUATION: u8 = 0x0;
pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xA;
/// The longest head of a masked frame: two bytes, eight of length, four of mask.
pub(super) const LONGEST_HEAD: usize = 14;
/// §5.5: payload of a control frame.
pub(super) const LONGEST_CONTROL: u64 = 125;

/// §5.2: the head of an unmasked frame that is a whole message.
pub(super) fn head(opcode: u8, length: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        (_, Err(_)) => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// §7.4: the status of a close frame, to be said back.
pub(super) fn told(payload: &[u8]) -> Status {
    match payload {
        [] => Status::NORMAL,
        [high, low, ..] => match u16::from_be_bytes([*high, *low]) {
            code @ (1000..=1003 | 1007..=1011 | 3000..=4999) => Status(code),
            _ => Status::PROTOCOL_ERROR,
        },
        [_] => Status::PROTOCOL_ERROR,
    }
}

/// §5.3, and turns the mask so that it fits what comes next.
pub(super) fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(word) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    mask.rotate_left(bytes.len() % 4);
}
