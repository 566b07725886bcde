//! The door: what must be done before a connection is the broker's, and takes time. TLS handshakes,
//! requests for WebSockets, passwords; in a thread of its own.
//!
//! ```text
//!   tls, ws, wss ─> accept ─> guest: handshake, request ─> Arrived ──┐
//!                               │ slow, wrong, too many ─> leaves    ├─> intake ─> broker's thread
//!   broker's thread ─ ask(Attempt) ─> password file ─> Verified ─────┘
//! ```
//! The broker's thread never sees a handshake: it is handed a stream that is ready for MQTT. The thread
//! is there when a listener needs it, or when the first password comes; it lets all others go first
//! (nice 5), and between two of its events it checks at most one password.

mod certificate;
pub mod config;
mod credentials;
mod guest;
mod queue;
mod room;
mod upgrade;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::watch;

use super::core::Origin;
use super::intake::Intake;
use super::listener::OpenListener;
use super::socket::Layers;
use super::users::Attempt;
use crate::contract::Error;
use room::Room;

/// Passwords that may wait: at 10 ms each a second's worth.
const WAITING: usize = 100;

/// What is wrong with listeners that are open, by their address.
pub type Troubles = BTreeMap<String, Error>;

/// Somebody whose handshake is done.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(super) stream: TcpStream,
    pub(super) layers: Layers,
    pub(super) origin: Origin,
    /// What of MQTT it has said already.
    pub(super) said: Vec<u8>,
}

/// What the door is made from.
pub(super) struct Parts {
    pub(super) listeners: Vec<OpenListener>,
    pub(super) certificates: Vec<config::CertificateRule>,
    pub(super) users: Option<PathBuf>,
    /// From accept to the end of handshake and request.
    pub(super) patience: Duration,
    /// The largest frame of a WebSocket, bytes.
    pub(super) frame: u64,
    pub(super) intake: Arc<Intake>,
}

/// The broker's side of it. The thread ends when this is dropped.
pub(super) struct Door {
    shared: Arc<Shared>,
    troubles: watch::Receiver<Troubles>,
    /// Until somebody needs the thread.
    room: Option<Room>,
}

/// What both sides see.
struct Shared {
    attempts: Mutex<VecDeque<Attempt>>,
    bell: EventFd,
    reload: AtomicBool,
    stop: AtomicBool,
}

impl Shared {
    fn attempts(&self) -> MutexGuard<'_, VecDeque<Attempt>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        let _ = self.bell.write(1); // full means it rings already
    }
}

impl Door {
    /// Loads the listeners' certificates; the thread begins when there are listeners.
    ///
    /// # Errors
    /// When the kernel gives no epoll, no eventfd or no thread.
    pub(super) fn new(parts: Parts) -> io::Result<Door> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let shared = Arc::new(Shared {
            attempts: Mutex::default(),
            bell,
            reload: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let needed = !parts.listeners.is_empty();
        let (told, troubles) = watch::channel(Troubles::new());
        let room = Room::new(parts, shared.clone(), told)?;
        let mut door = Door { shared, troubles, room: Some(room) };
        if needed {
            door.open()?;
        }
        Ok(door)
    }

    fn open(&mut self) -> io::Result<()> {
        let Some(mut room) = self.room.take() else { return Ok(()) };
        let thread = std::thread::Builder::new().name("door".into()).stack_size(256 << 10);
        thread.spawn(move || room.run())?;
        Ok(())
    }

    /// What is wrong with the open listeners.
    pub(super) fn troubles(&self) -> watch::Receiver<Troubles> {
        self.troubles.clone()
    }

    /// Has a password checked: [`Op::Verified`](super::intake::Op) will say. `Err` gives it back when
    /// too many wait, or there can be no thread.
    ///
    /// # Errors
    /// When it will not be checked.
    pub(super) fn ask(&mut self, attempt: Attempt) -> Result<(), Attempt> {
        if self.open().is_err() {
            return Err(attempt);
        }
        let mut attempts = self.shared.attempts();
        if attempts.len() >= WAITING {
            return Err(attempt);
        }
        attempts.push_back(attempt);
        drop(attempts);
        self.shared.ring();
        Ok(())
    }

    /// Looks at the certificates now.
    pub(super) fn reload(&self) {
        self.shared.reload.store(true, Ordering::Release);
        self.shared.ring();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.ring();
    }
}
