//! One connection to the cloud: opened, then bytes both ways until either side ends it.
//!
//! ```text
//!   Machine ── Send ──> Outbox ── one write for all that is there ──> stream ──> cloud
//!      ^                                                                |
//!      └────────── packets, one turn, and no more until ReadOn ─────────┘
//! ```
//! What is not read stays with TCP, which holds the cloud back when it is much.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::Config;
use super::dial::{Stream, broken, dial};
use super::link::packet::{self, Incoming, Outgoing};
use super::link::{Input, Trouble};

/// What is to be written, filled by the one and emptied by the other.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    content: Mutex<Content>,
    changed: Notify,
    read_on: Notify,
}

#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    /// Say when all has left.
    tell: bool,
    /// Close when all has left.
    end: bool,
}

/// Time for the last words of a connection to leave.
pub(super) const FAREWELL: Duration = Duration::from_millis(500);
/// What one read takes at most, and what an idle connection keeps, in bytes.
const READ_BYTES: usize = 4096;
/// Packets of one turn at most. A turn comes on top of what may wait for our broker, and one read has
/// hundreds of small packets.
const TURN_PACKETS: usize = 64;

impl Outbox {
    /// Adds a packet.
    pub(super) fn send(&self, packet: &Outgoing) {
        self.change(|content| packet.encode(&mut content.bytes));
    }
    /// Asks for [`Input::Flushed`] when all so far has left.
    pub(super) fn tell(&self) {
        self.change(|content| content.tell = true);
    }
    /// Lets one more turn be read.
    pub(super) fn read_on(&self) {
        self.read_on.notify_one();
    }
    /// Ends the connection when all so far has left.
    pub(super) fn end(&self) {
        self.change(|content| content.end = true);
    }

    fn change(&self, change: impl FnOnce(&mut Content)) {
        change(&mut self.content.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }
    fn take(&self) -> Content {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *content)
    }
    /// Waits until the connection is to end; what was to be written is lost.
    async fn ended(&self) {
        while !self.content.lock().unwrap_or_else(PoisonError::into_inner).end {
            self.changed.notified().await;
        }
    }
}

/// Opens connection number `n` and serves it to its end.
pub(super) async fn serve(
    n: u32,
    config: Arc<Config>,
    outbox: Arc<Outbox>,
    inbox: mpsc::Sender<Input>,
) {
    let dialled = tokio::select! {
        dialled = dial(&config) => dialled,
        () = outbox.ended() => return,
    };
    let stream = match dialled {
        Ok(stream) => stream,
        Err(trouble) => {
            let _ = inbox.send(Input::Dialled(n, Err(trouble))).await; // nobody waits: stopped
            return;
        }
    };
    if inbox.send(Input::Dialled(n, Ok(()))).await.is_err() {
        return;
    }
    let (read, write) = split(stream);
    let ended = tokio::select! {
        trouble = reading(n, &config, &outbox, read, &inbox) => Some(trouble),
        written = writing(n, &outbox, write, &inbox) => {
            written.err().map(|e| broken(&config, "writing", &e))
        }
    };
    if let Some(trouble) = ended {
        let _ = inbox.send(Input::Closed(n, trouble)).await;
    }
}

/// Reads until the connection ends; why it did.
async fn reading(
    n: u32,
    config: &Config,
    outbox: &Outbox,
    mut stream: ReadHalf<Box<dyn Stream>>,
    inbox: &mpsc::Sender<Input>,
) -> Trouble {
    let mut buffer = Vec::new();
    loop {
        outbox.read_on.notified().await;
        let packets = match turn(config, &mut stream, &mut buffer).await {
            Ok(packets) => packets,
            Err(trouble) => return trouble,
        };
        if inbox.send(Input::Received(n, packets)).await.is_err() {
            return Trouble::ours("bridge.stopped", "the daemon stops");
        }
        if buffer.is_empty() && buffer.capacity() > READ_BYTES {
            buffer = Vec::new();
        }
    }
}

/// The next packets, one at least; reads only when the last read has left none.
async fn turn(
    config: &Config,
    stream: &mut ReadHalf<Box<dyn Stream>>,
    buffer: &mut Vec<u8>,
) -> Result<Vec<Incoming>, Trouble> {
    loop {
        let packets = packets(buffer).map_err(|rule| Trouble::protocol(&config.url, &rule))?;
        if !packets.is_empty() {
            return Ok(packets);
        }
        buffer.reserve(READ_BYTES);
        match stream.read_buf(&mut buffer.limit(READ_BYTES)).await {
            Ok(0) => {
                let error = io::ErrorKind::UnexpectedEof.into();
                return Err(broken(config, "reading", &error));
            }
            Ok(_) => {}
            Err(error) => return Err(broken(config, "reading", &error)),
        }
    }
}

/// Takes whole packets off the front, those of one turn.
fn packets(buffer: &mut Vec<u8>) -> Result<Vec<Incoming>, crate::broker::wire::Malformed> {
    let (mut packets, mut taken) = (Vec::new(), 0);
    while packets.len() < TURN_PACKETS
        && let Some((packet, size)) = packet::decode(&buffer[taken..])?
    {
        packets.push(packet);
        taken += size;
    }
    buffer.drain(..taken);
    Ok(packets)
}

/// Writes what comes into the outbox until it is to end.
async fn writing(
    n: u32,
    outbox: &Outbox,
    mut stream: WriteHalf<Box<dyn Stream>>,
    inbox: &mpsc::Sender<Input>,
) -> io::Result<()> {
    loop {
        let content = outbox.take();
        if content.end {
            // Whoever is gone is not told.
            let _ = timeout(FAREWELL, async {
                stream.write_all(&content.bytes).await?;
                stream.shutdown().await
            })
            .await;
            return Ok(());
        }
        if !content.bytes.is_empty() {
            stream.write_all(&content.bytes).await?;
            stream.flush().await?;
        }
        if content.tell && inbox.send(Input::Flushed(n)).await.is_err() {
            return Ok(());
        }
        outbox.changed.notified().await;
    }
}
