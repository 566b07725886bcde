//! The running broker, for those in the same process: started from its parts, asked, and stopped.
//!
//! ```text
//!   Parts ──> Broker::start ──> thread: turn      Handle ── operations ──> intake
//! ```

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};

use super::config;
use super::core::Counters;
use super::door::Troubles;
use super::gate::Gate;
use super::intake::{Intake, Op};
use super::listener::OpenListener;
use super::principal::Principal;
use super::turn::Turn;
use crate::bus::Link;
use crate::service::Stamper;
use crate::storage::Store;
use crate::topic::Root;

/// What the broker is made from.
pub struct Parts {
    /// Its section of the configuration.
    pub config: config::Config,
    /// The root of the topic tree.
    pub root: Root,
    /// Where it keeps what must outlive it.
    pub store: Store,
    /// Stamps its own messages.
    pub stamper: Stamper,
    /// Already bound, so that what cannot be bound was told before.
    pub listeners: Vec<OpenListener>,
    /// The daemon's uid: admin by Unix socket.
    pub own_uid: u32,
}

/// The broker's thread.
pub struct Broker {
    handle: Handle,
    thread: JoinHandle<()>,
}

/// The running broker, for those in the same process.
#[derive(Clone, Debug)]
pub struct Handle {
    intake: Arc<Intake>,
    troubles: watch::Receiver<Troubles>,
}

impl Handle {
    /// A link with a principal of the daemon (`maestro:<name>`, admin).
    pub fn attach(&self, name: &str) -> Link {
        Link::attach(&self.intake, Principal::daemon(name))
    }

    /// A link for a bridge: everything it publishes is judged by this principal's role.
    pub fn attach_as(&self, principal: Principal) -> Link {
        Link::attach(&self.intake, principal)
    }

    /// What the broker has done and holds; `None` when it is gone.
    pub async fn counters(&self) -> Option<Counters> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.intake.push(Op::Count { reply });
        answer.await.ok()
    }

    /// Ends a client's connection; false when there is none.
    pub async fn disconnect(&self, client: &str) -> bool {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.intake.push(Op::Disconnect { client: client.to_string(), reply });
        answer.await.unwrap_or(false)
    }

    /// Reads certificates again, whether they seem changed or not.
    pub fn reload(&self) {
        self.intake.push(Op::Reload);
    }

    /// What is wrong with listeners that are open.
    pub fn troubles(&self) -> watch::Receiver<Troubles> {
        self.troubles.clone()
    }

    /// Rehearses a panic of the core, for the test that the process ends with a message.
    #[doc(hidden)]
    pub fn panic(&self) {
        self.intake.push(Op::Panic);
    }
}

impl Broker {
    /// Restores what is on disk and begins to turn.
    ///
    /// # Errors
    /// When the kernel gives no epoll, no eventfd or no thread.
    pub fn start(parts: Parts) -> io::Result<(Broker, Gate)> {
        let intake = Intake::new()?;
        let (gate_in, held) = mpsc::unbounded_channel();
        let mut turn = Turn::new(parts, intake.clone(), gate_in)?;
        let troubles = turn.troubles();
        let thread = std::thread::Builder::new().name("broker".into()).spawn(move || {
            let run = std::panic::AssertUnwindSafe(|| turn.run());
            if std::panic::catch_unwind(run).is_err() {
                // A daemon without a broker must never look alive: init starts it again.
                eprintln!(
                    "maestro: the broker panicked; the process ends so that init restarts it"
                );
                std::process::exit(70); // EX_SOFTWARE
            }
        })?;
        Ok((Broker { handle: Handle { intake, troubles }, thread }, Gate { held }))
    }

    /// For those who attach.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Tells every client that the server goes down, and ends the thread.
    pub fn stop(self) {
        self.handle.intake.push(Op::Stop);
        let _ = self.thread.join();
    }
}
