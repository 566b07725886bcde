//! One accepted stream: what of a packet has come so far, and whether it takes more.
//!
//! ```text
//!   unix, tcp        socket ───────────────────────────────────────── bytes of MQTT
//!   tls              socket ── records ── Tls ────────────────────────── "
//!   ws               socket ───────────────────────── frames ── Frames ── "
//!   wss              socket ── records ── Tls ─────── frames ── Frames ── "
//! ```
//! What a stream without layers pays for those that have some is one comparison.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::sys::epoll::EpollFlags;

use super::tls::Tls;
use super::websocket::Frames;

/// Buffers above this are given back when they are empty, bytes.
const KEPT: usize = 2048;
/// Written at once, bytes: what the kernel copies in a tenth of a millisecond.
const WRITE: usize = 256 << 10;
/// Sealed at once: bounds what waits beside the outbox when the kernel takes no more.
const PIECE: usize = 64 << 10;

/// A stream of either kind.
#[derive(Debug)]
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// What lies between the stream and MQTT.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) tls: Option<Tls>,
    pub(super) frames: Option<Frames>,
    /// TLS was broken: what was said before holds, and nothing comes after.
    pub(super) broken: bool,
}

/// The loop's buffers, shared by all its sockets.
#[derive(Debug)]
pub(super) struct Room {
    read: Box<[u8]>,
    /// Empty until the first connection with TLS.
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

impl Room {
    pub(super) fn new() -> Room {
        Room { read: vec![0; 64 << 10].into(), plain: Vec::new(), sealed: Vec::new() }
    }
}

/// A stream with its half packet.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    layers: Option<Box<Layers>>,
    partial: Vec<u8>,
    /// The kernel took less than we had.
    pub(super) blocked: bool,
    /// It waits for the rest of a turn.
    pub(super) later: bool,
    /// Whole packets of it are here already.
    pub(super) rest: bool,
    /// It had more to do than a slice.
    pub(super) dear: bool,
    /// It was told why it ends.
    pub(super) told: bool,
    /// What the kernel was last told to watch.
    pub(super) interest: EpollFlags,
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Unix(stream) => stream.as_fd(),
            Stream::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }

    /// As much as the kernel takes now, which may be nothing.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            result => result,
        }
    }
}

impl Socket {
    pub(super) fn new(stream: Stream) -> Socket {
        Socket {
            stream,
            layers: None,
            partial: Vec::new(),
            blocked: false,
            later: false,
            rest: false,
            dear: false,
            told: false,
            interest: EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP,
        }
    }

    /// A stream that came by the door, and what of MQTT it has said already.
    pub(super) fn layered(stream: TcpStream, layers: Layers, said: Vec<u8>) -> Socket {
        let layers = Some(Box::new(layers));
        Socket { layers, partial: said, rest: true, ..Socket::new(Stream::Tcp(stream)) }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What of MQTT came; it may be nothing yet.
    ///
    /// # Errors
    /// The end of the stream is one.
    pub(super) fn read<'r>(&mut self, room: &'r mut Room) -> io::Result<&'r [u8]> {
        let count = self.stream.read(&mut room.read)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(match &mut self.layers {
            None => &room.read[..count],
            Some(layers) => layers.open(count, room),
        })
    }

    pub(super) fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Whether the other side has ended it, or broken it, in a layer below MQTT.
    pub(super) fn ended(&self) -> bool {
        self.layers.as_ref().is_some_and(|layers| layers.ended())
    }

    /// Whether a layer has something to say by itself.
    pub(super) fn owes(&self) -> bool {
        self.layers.as_ref().is_some_and(|layers| layers.owes())
    }

    /// Gives new bytes to `taken`, behind what was left over, and keeps what it leaves.
    pub(super) fn feed(&mut self, bytes: &[u8], taken: impl FnOnce(&[u8]) -> usize) {
        if self.partial.is_empty() {
            let done = taken(bytes);
            self.partial.extend_from_slice(&bytes[done..]);
            return;
        }
        self.partial.extend_from_slice(bytes);
        let done = taken(&self.partial);
        self.partial.drain(..done);
        if self.partial.is_empty() && self.partial.capacity() > KEPT {
            self.partial = Vec::new();
        }
    }

    /// Writes what the kernel takes now, a piece at most, and removes it from `out`.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, room: &mut Room) -> io::Result<()> {
        if self.blocked {
            return Ok(());
        }
        if let Some(layers) = &mut self.layers {
            self.blocked = !layers.write(&mut self.stream, out, room)?;
        } else if !out.is_empty() {
            let piece = &out[..out.len().min(WRITE)];
            let count = self.stream.write(piece)?;
            self.blocked = count < piece.len();
            out.drain(..count);
        }
        if out.is_empty() && out.capacity() > KEPT {
            *out = Vec::new();
        }
        Ok(())
    }

    /// Ends it so that the last words arrive: bytes left unread would make the kernel send a reset. The
    /// stream, when the other side has not ended it and so may be writing.
    pub(super) fn close(mut self, room: &mut Room) -> Option<Stream> {
        if let Some(layers) = &mut self.layers
            && !self.blocked
        {
            layers.close(&mut self.stream);
        }
        let _ = match &self.stream {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
        };
        match self.stream.read(&mut room.read) {
            Ok(0) => None,
            Ok(_) => Some(self.stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(self.stream),
            Err(_) => None,
        }
    }
}

impl Layers {
    fn ended(&self) -> bool {
        self.broken
            || self.tls.as_ref().is_some_and(Tls::is_closed)
            || self.frames.as_ref().is_some_and(|frames| frames.ended().is_some())
    }

    fn owes(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.sealed.is_empty())
            || self.frames.as_ref().is_some_and(Frames::owes)
    }

    /// What of MQTT is in the first `count` bytes that were read.
    fn open<'r>(&mut self, count: usize, room: &'r mut Room) -> &'r [u8] {
        let bytes = match &mut self.tls {
            None => &mut room.read[..count],
            Some(tls) => {
                room.plain.clear();
                self.broken |= tls.open(&mut room.read[..count], &mut room.plain).is_err();
                &mut room.plain[..]
            }
        };
        match &mut self.frames {
            None => bytes,
            Some(frames) => {
                let count = frames.decode(bytes);
                &bytes[..count]
            }
        }
    }

    /// Writes what the kernel takes; false when that was not all.
    fn write(&mut self, to: &mut Stream, out: &mut Vec<u8>, room: &mut Room) -> io::Result<bool> {
        loop {
            if !self.flush(to)? {
                return Ok(false);
            }
            let ready = self.frames.as_mut().map_or(out.len(), |frames| frames.frame(out));
            if ready == 0 {
                return Ok(true);
            }
            let sent = match &mut self.tls {
                None => to.write(&out[..ready])?,
                Some(tls) => seal(tls, to, &out[..ready], &mut room.sealed)?,
            };
            out.drain(..sent);
            if let Some(frames) = &mut self.frames {
                frames.sent(sent);
            }
            if sent < ready {
                return Ok(false);
            }
        }
    }

    /// Sends what TLS has ready; false when the kernel did not take it all.
    fn flush(&mut self, to: &mut Stream) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        if !tls.sealed.is_empty() {
            let count = to.write(&tls.sealed)?;
            tls.sealed.drain(..count);
            if !tls.sealed.is_empty() {
                return Ok(false);
            }
            tls.sealed = Vec::new();
        }
        Ok(true)
    }

    /// Says the last words of each layer, if they are taken at once.
    fn close(&mut self, to: &mut Stream) {
        let mut last = Vec::new();
        if let Some(frames) = &mut self.frames {
            frames.close(&mut last);
        }
        match &mut self.tls {
            None => drop(to.write(&last)),
            Some(tls) => {
                let mut sealed = std::mem::take(&mut tls.sealed);
                if !self.broken && tls.seal(&last, &mut sealed).is_ok() {
                    tls.sealed = sealed;
                    tls.close();
                    sealed = std::mem::take(&mut tls.sealed);
                }
                let _ = to.write(&sealed);
            }
        }
    }
}

/// Seals and sends `bytes` piece by piece while the kernel takes them; how many are sealed. What is
/// sealed and not taken waits in `tls`.
fn seal(tls: &mut Tls, to: &mut Stream, bytes: &[u8], records: &mut Vec<u8>) -> io::Result<usize> {
    let mut sealed = 0;
    for piece in bytes.chunks(PIECE) {
        records.clear();
        tls.seal(piece, records).map_err(io::Error::other)?;
        sealed += piece.len();
        let count = to.write(records)?;
        if count < records.len() {
            tls.sealed.extend_from_slice(&records[count..]);
            break;
        }
    }
    Ok(sealed)
}
