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

mod frame;
#[cfg(test)]
mod tests;

pub use frame::Status;
use frame::{
    BINARY, CLOSE, CONTINUATION, LONGEST_CONTROL, LONGEST_HEAD, PING, PONG, TEXT, head, told,
    unmask,
};

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
