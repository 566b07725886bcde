//! The door for everyone in the same process: operations queue up here, and the broker's loop is woken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::{mpsc, oneshot};

use super::core::Counters;
use super::door::Arrived;
use super::identity;
use super::principal::Principal;
use super::slots::Key;
use crate::bus::{Delivery, Message, Qos, Refused};
use crate::{contract, storage};

/// Names a link; never reused.
pub(crate) type LinkId = u64;
/// Names a wait for the disk or the gate; never reused.
pub(crate) type Ticket = u64;
/// Where the answer of an operation goes.
pub(crate) type Reply = oneshot::Sender<Result<(), Refused>>;

/// Operations that may wait. What does not fit is QoS 0 and dropped, or the poster's own doing.
const LONGEST: usize = 16_384;

/// Something for the broker to do.
#[derive(Debug)]
pub(crate) enum Op {
    /// A link begins: its session is taken up or made.
    Attach { link: LinkId, principal: Principal, deliveries: mpsc::UnboundedSender<Delivery> },
    /// The link's owner is gone.
    Detach { link: LinkId },
    /// Publish; without a reply nobody waits for the acknowledgement.
    Publish { link: LinkId, message: Box<Message>, reply: Option<Reply> },
    /// Subscribe; retained messages follow.
    Subscribe { link: LinkId, filter: String, qos: Qos, reply: Reply },
    /// End a subscription.
    Unsubscribe { link: LinkId, filter: String },
    /// A delivery is safe with the link's owner.
    Acknowledge { link: LinkId, token: u64 },
    /// The gate decided.
    Released { ticket: Ticket, verdict: Result<(), contract::Error> },
    /// The storage writer committed, or could not.
    Stored { ticket: Ticket, result: Result<(), storage::Unsafe> },
    /// Somebody came through the door.
    Arrived(Box<Arrived>),
    /// Certificates are to be read again.
    Reload,
    /// A password was checked.
    Verified { connection: Key, password: identity::Password },
    /// The daemon goes down.
    Stop,
    /// Somebody wants the counters.
    Count { reply: oneshot::Sender<Counters> },
    /// An operator ends a client's connection; whether there was one.
    Disconnect { client: String, reply: oneshot::Sender<bool> },
    /// A rehearsed panic.
    Panic,
}

/// The queue of operations and the bell.
#[derive(Debug)]
pub(crate) struct Intake {
    queue: Mutex<VecDeque<Op>>,
    bell: EventFd,
    rung: AtomicBool,
    links: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
}

impl Intake {
    pub(crate) fn new() -> nix::Result<Arc<Intake>> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Arc::new(Intake {
            queue: Mutex::default(),
            bell,
            rung: AtomicBool::new(false),
            links: AtomicU64::new(1),
            dropped: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }))
    }

    /// A number for a new link.
    pub(crate) fn next_link(&self) -> LinkId {
        self.links.fetch_add(1, Ordering::Relaxed)
    }

    /// Puts an operation in and rings once per turn of the loop.
    pub(crate) fn push(&self, op: Op) {
        self.push_all(std::iter::once(op));
    }

    /// Puts operations in that belong together, so that the loop wakes once for all of them. They must
    /// be at hand: the queue is locked meanwhile.
    pub(crate) fn push_all(&self, ops: impl Iterator<Item = Op>) {
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            for op in ops {
                if queue.len() >= LONGEST && matches!(op, Op::Publish { reply: None, .. }) {
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                queue.push_back(op);
            }
        }
        if !self.rung.swap(true, Ordering::AcqRel) {
            let _ = self.bell.write(1); // full means it rings already
        }
    }

    /// Takes everything out, and lets the bell ring again.
    pub(crate) fn take(&self, into: &mut VecDeque<Op>) {
        // In this order: a push after the read and before the swap does not ring, and is taken below.
        // The other way round its ring would be read away, and no later push would ring again.
        if self.rung.load(Ordering::Acquire) {
            let _ = self.bell.read(); // empty means nobody rang
            self.rung.swap(false, Ordering::AcqRel);
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *queue, into);
    }

    /// Posts that were dropped because the broker was too far behind.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts a connection that ended at the door.
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Connections that ended at the door.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// What the loop waits on.
    pub(crate) fn bell(&self) -> &EventFd {
        &self.bell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;

    #[test]
    fn no_operation_waits_unheard_however_pushes_and_turns_meet() {
        const EACH: usize = 20_000;
        let intake = Intake::new().unwrap();
        let pushers: Vec<_> = (0..2)
            .map(|_| {
                let intake = intake.clone();
                std::thread::spawn(move || {
                    (0..EACH).for_each(|_| {
                        intake.push(Op::Stop);
                        std::thread::yield_now();
                    })
                })
            })
            .collect();
        let (mut taken, mut operations) = (0, VecDeque::new());
        while taken < 2 * EACH {
            let mut bell = [PollFd::new(intake.bell().as_fd(), PollFlags::POLLIN)];
            let rang = poll(&mut bell, PollTimeout::from(5000u16)).unwrap();
            assert_eq!(rang, 1, "{taken} taken, the others wait unheard");
            intake.take(&mut operations);
            taken += operations.drain(..).count();
        }
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
    }
}
