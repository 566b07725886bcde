//! WebSocket framing (RFC 6455 §5), the server's side, pure: bytes in place in, bytes in place out.
//!
//! ```text
//!   socket ─> [head│masked..][head│mas ─> decode ─> MQTT bytes, moved together at the front
//!   outbox ─> [MQTT bytes]             ─> frame  ─> [pong][head│MQTT bytes] ─> socket
//! ```
//! MQTT is a stream inside binary messages and knows no frames (MQTT 5 §6.0: control packets need not
//! align with them), so nothing is gathered: what a frame carries goes on as it comes, and only a
//! control frame, 125 bytes at most, waits for its end. Anything against the standard ends the
//! connection with the status that §7.4.1 has for it.

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

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
/// The longest head of a masked frame: two bytes, eight of length, four of mask.
const LONGEST_HEAD: usize = 14;
/// §5.5: payload of a control frame.
const LONGEST_CONTROL: u64 = 125;

/// Both directions of one WebSocket.
#[derive(Debug)]
pub struct Frames {
    /// Payload of one frame, bytes, at most.
    limit: u64,
    head: [u8; LONGEST_HEAD],
    have: u8,
    /// What is left of the frame whose head is done.
    left: u64,
    mask: [u8; 4],
    /// The control frame that is coming, and its payload so far.
    control: Option<(u8, Vec<u8>)>,
    /// A message has begun and its last frame has not come (§5.4).
    in_message: bool,
    ended: Option<Status>,
    /// Control frames to send at the next boundary.
    answers: Vec<u8>,
    /// Bytes at the front of the outbox that are in frames.
    framed: usize,
}

impl Frames {
    /// A WebSocket whose upgrade is done, and takes `limit` bytes in one frame.
    pub fn new(limit: u64) -> Frames {
        Frames {
            limit,
            head: [0; LONGEST_HEAD],
            have: 0,
            left: 0,
            mask: [0; 4],
            control: None,
            in_message: false,
            ended: None,
            answers: Vec::new(),
            framed: 0,
        }
    }

    /// Why nothing more is taken, once it is so: the other side's status, or what it did wrong.
    pub fn ended(&self) -> Option<Status> {
        self.ended
    }

    /// Whether a control frame waits to be sent.
    pub fn owes(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Takes bytes from the socket and moves what they carry of MQTT to the front; how many that are.
    /// After the end there are none.
    pub fn decode(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut out) = (0, 0);
        while at < bytes.len() && self.ended.is_none() {
            if self.left == 0 {
                at += self.take_head(&bytes[at..]);
                continue;
            }
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let count = left.min(bytes.len() - at);
            unmask(&mut bytes[at..at + count], &mut self.mask);
            self.left -= count as u64;
            match &mut self.control {
                Some((_, payload)) => payload.extend_from_slice(&bytes[at..at + count]),
                None => {
                    bytes.copy_within(at..at + count, out);
                    out += count;
                }
            }
            at += count;
            if self.left == 0 {
                self.end_frame();
            }
        }
        out
    }

    /// Takes what belongs to a head, byte by byte until it is whole; how many bytes that were.
    fn take_head(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for &byte in bytes {
            self.head[usize::from(self.have)] = byte;
            self.have += 1;
            taken += 1;
            if let Err(status) = self.look_at_head() {
                self.ended = Some(status);
                return taken;
            }
            if usize::from(self.have) == self.head_size() {
                self.begin_frame();
                return taken;
            }
        }
        taken
    }

    /// The size of this head, as far as it can be told.
    fn head_size(&self) -> usize {
        match (self.have, self.head[1] & 0x7F) {
            (0 | 1, _) => LONGEST_HEAD,
            (_, 126) => 2 + 2 + 4,
            (_, 127) => 2 + 8 + 4,
            (_, _) => 2 + 4,
        }
    }

    /// §5.2: refuses a head as soon as it can be seen that it is wrong.
    fn look_at_head(&self) -> Result<(), Status> {
        let (first, second) = (self.head[0], self.head[1]);
        let (last, opcode) = (first & 0x80 != 0, first & 0x0F);
        if self.have == 1 {
            return match opcode {
                _ if first & 0x70 != 0 => Err(Status::PROTOCOL_ERROR), // no extension was agreed on
                CONTINUATION if self.in_message => Ok(()),
                BINARY if !self.in_message => Ok(()),
                TEXT => Err(Status::NOT_BINARY),
                CLOSE | PING | PONG if last => Ok(()),
                _ => Err(Status::PROTOCOL_ERROR),
            };
        }
        if self.have == 2 {
            let long_control = opcode >= CLOSE && u64::from(second & 0x7F) > LONGEST_CONTROL;
            let unmasked = second & 0x80 == 0; // §5.1: a client's frames are masked
            return if unmasked || long_control { Err(Status::PROTOCOL_ERROR) } else { Ok(()) };
        }
        if usize::from(self.have) != self.head_size() {
            return Ok(());
        }
        let length = self.length();
        let shortest = match second & 0x7F {
            126 => length > 125,
            127 => length > 0xFFFF && length >> 63 == 0,
            _ => true,
        };
        match shortest {
            false => Err(Status::PROTOCOL_ERROR),
            true if length > self.limit => Err(Status::TOO_BIG),
            true => Ok(()),
        }
    }

    fn length(&self) -> u64 {
        let long = |bytes: &[u8]| bytes.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        match self.head[1] & 0x7F {
            126 => long(&self.head[2..4]),
            127 => long(&self.head[2..10]),
            short => u64::from(short),
        }
    }

    fn begin_frame(&mut self) {
        let (last, opcode) = (self.head[0] & 0x80 != 0, self.head[0] & 0x0F);
        let size = self.head_size();
        self.mask.copy_from_slice(&self.head[size - 4..size]);
        self.left = self.length();
        self.have = 0;
        if opcode >= CLOSE {
            self.control = Some((opcode, Vec::new()));
        } else {
            self.in_message = !last;
        }
        if self.left == 0 {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        let Some((opcode, payload)) = self.control.take() else { return };
        match opcode {
            PING => {
                self.answers.clear(); // §5.5.3: the most recent ping is answered
                head(PONG, payload.len(), &mut self.answers);
                self.answers.extend_from_slice(&payload);
            }
            CLOSE => self.ended = Some(told(&payload)),
            _ => {} // a pong nobody asked for is taken (§5.5.3)
        }
    }

    /// Puts what `out` holds into one frame, behind the control frames that wait, unless a frame is
    /// being sent; how many bytes of `out` may be sent.
    pub fn frame(&mut self, out: &mut Vec<u8>) -> usize {
        if self.framed == 0 && !(out.is_empty() && self.answers.is_empty()) {
            let payload = out.len();
            let mut front = std::mem::take(&mut self.answers);
            if payload > 0 {
                head(BINARY, payload, &mut front);
            }
            out.splice(0..0, front);
            self.framed = out.len();
        }
        self.framed
    }

    /// That many bytes of what [`Frames::frame`] allowed were sent.
    pub fn sent(&mut self, count: usize) {
        self.framed -= count.min(self.framed);
    }

    /// The last frame (§5.5.1); nothing when it would be in the middle of another.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.framed == 0 {
            head(CLOSE, 2, out);
            out.extend_from_slice(&self.ended.unwrap_or(Status::NORMAL).0.to_be_bytes());
        }
    }
}

/// §5.2: the head of an unmasked frame that is a whole message.
fn head(opcode: u8, length: usize, out: &mut Vec<u8>) {
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
fn told(payload: &[u8]) -> Status {
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
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
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

#[cfg(test)]
mod tests {
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
}
