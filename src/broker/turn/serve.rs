//! Who is served, and when: connections that have little to say at once, all others in the rest of the
//! turn, one after the other.
//!
//! ```text
//!            ┌─ is in, was cheap ──> serve ─────────────── all taken ──> next time the same
//!   ready ───┤                         └─ slice over ──┐
//!            └─ new, dear, leaves ──> later ──> serve ─┴─> dear: behind the others in `later`
//! ```
//! So a thousand that come, flood or leave at once wait for each other, and whoever sends a message now
//! and then waits for none of them.

use std::io;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::meter::{LITTLE, Meter, SHARE, SLICE};
use super::{LISTENERS, Now, PAUSE, Turn, clock};
use crate::broker::core::{Core, Effects, Origin};
use crate::broker::door::Arrived;
use crate::broker::listener::Came;
use crate::broker::slots::Key;
use crate::broker::socket::Socket;

/// Connections taken from one listener in one turn.
const ACCEPTS: usize = 8;
/// The other side has ended its half, or all of it.
const LEAVES: EpollFlags =
    EpollFlags::EPOLLRDHUP.union(EpollFlags::EPOLLHUP).union(EpollFlags::EPOLLERR);
/// What is waited for while a connection is read from.
pub(super) const COMES: EpollFlags = EpollFlags::EPOLLIN.union(EpollFlags::EPOLLRDHUP);

impl Turn {
    /// Those who knock at the listeners.
    pub(super) fn accept(&mut self, fx: &mut Effects) {
        if self.knocked.is_empty() {
            return;
        }
        self.accounts.refresh();
        let meter = Meter::new(clock(), SHARE);
        for index in std::mem::take(&mut self.knocked) {
            for _ in 0..ACCEPTS {
                if !self.accept_one(index, fx) || meter.is_over(clock()) {
                    break;
                }
            }
        }
    }

    /// False when there is nobody any more, or no room.
    fn accept_one(&mut self, index: usize, fx: &mut Effects) -> bool {
        let Some(listener) = self.listeners.get(index) else { return false };
        match listener.accept(&self.accounts) {
            Came::Connection(stream, origin) => self.enter(Socket::new(stream), origin, fx),
            Came::Nobody => {}
            Came::NoMore => return false,
            Came::NoRoom => {
                let _ = self.epoll.delete(listener.as_fd());
                self.listen_again = Some(fx.now.at + PAUSE);
                tracing::warn!("no file descriptor is left for new connections");
                return false;
            }
        }
        true
    }

    pub(super) fn listen_again(&mut self, now: Now) {
        if self.listen_again.is_none_or(|at| at > now.at) {
            return;
        }
        self.listen_again = None;
        for (index, listener) in self.listeners.iter().enumerate() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENERS + index as u64);
            let _ = self.epoll.add(listener.as_fd(), event); // those that were never out say EEXIST
        }
    }

    /// Somebody came through the door.
    pub(super) fn arrived(&mut self, arrived: Arrived, fx: &mut Effects) {
        let Arrived { stream, layers, origin, said } = arrived;
        self.enter(Socket::layered(stream, layers, said), origin, fx);
    }

    fn enter(&mut self, socket: Socket, origin: Origin, fx: &mut Effects) {
        let Some(key) = self.core.accept(origin, fx) else {
            return drop(socket.close(&mut self.room));
        };
        let event = EpollEvent::new(COMES, key.to_bits());
        if self.epoll.add(socket.as_fd(), event).is_err() {
            return self.core.closed(key, fx);
        }
        let said = socket.rest;
        self.sockets.insert(key, socket);
        if said {
            self.line_up(key);
            fx.dirty.push(key); // what TLS owes it is sent
        }
    }

    /// What the kernel says of a connection.
    pub(super) fn ready(&mut self, key: Key, events: EpollFlags, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        if events.contains(EpollFlags::EPOLLOUT) && socket.blocked {
            socket.blocked = false;
            self.unwritten.push_back(key);
        }
        if !events.intersects(LEAVES | EpollFlags::EPOLLIN) {
            return;
        }
        // What came is read behind what is here, and behind those who have less to say.
        if socket.later || socket.dear || events.intersects(LEAVES) || !self.core.is_in(key) {
            self.line_up(key);
        } else {
            self.serve(key, fx);
        }
    }

    pub(super) fn line_up(&mut self, key: Key) {
        if let Some(socket) = self.sockets.get_mut(&key).filter(|socket| !socket.later) {
            socket.later = true;
            self.later.push_back(key);
        }
    }

    /// Those who wait, as far as this turn goes.
    pub(super) fn serve_later(&mut self, fx: &mut Effects) {
        let meter = Meter::new(clock(), SHARE);
        // Each once: who is not done in a slice waits for the next turn.
        for _ in 0..self.later.len() {
            let Some(key) = self.later.pop_front() else { return };
            if let Some(socket) = self.sockets.get_mut(&key) {
                socket.later = false;
                self.serve(key, fx);
            }
            if meter.is_over(clock()) {
                return;
            }
        }
    }

    /// One slice for a connection: of what is left from its last one, or of what has come.
    fn serve(&mut self, key: Key, fx: &mut Effects) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        let fresh = !socket.rest;
        if !fresh && !self.core.reading(key) {
            socket.rest = false; // what is here is looked at when it is read from again
            return self.interest(key);
        }
        let bytes = match fresh {
            true => socket.read(&mut self.room),
            false => Ok(&[][..]),
        };
        match bytes {
            Ok(bytes) => {
                self.slack.moved(bytes.len(), fx.now.at);
                let meter = Meter::new(clock(), SLICE);
                socket.rest = feed(&mut self.core, socket, (key, bytes), &meter, fx);
                if socket.rest {
                    socket.dear = true;
                } else if fresh && socket.dear {
                    socket.dear = meter.took(clock()) > LITTLE;
                }
                if socket.owes() {
                    fx.dirty.push(key);
                }
                if socket.rest {
                    self.line_up(key);
                }
                self.interest(key);
                self.close_if_over(key, fx);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.close_now(key, fx),
        }
    }

    /// Closes what the other side has ended below MQTT, once what it said before is done with.
    pub(super) fn close_if_over(&mut self, key: Key, fx: &mut Effects) {
        let over = self.sockets.get(&key).is_some_and(|socket| {
            let done = self.core.reading(key) || !socket.has_partial();
            socket.ended() && !socket.later && done
        });
        if over {
            self.close_now(key, fx);
        }
    }

    /// Tells the kernel what this connection waits for, when that has changed.
    pub(super) fn interest(&mut self, key: Key) {
        let Some(socket) = self.sockets.get_mut(&key) else { return };
        let mut interest = EpollFlags::empty();
        if self.core.reading(key) && !socket.ended() {
            interest |= COMES;
        }
        if socket.blocked {
            interest |= EpollFlags::EPOLLOUT;
        }
        if interest != socket.interest {
            socket.interest = interest;
            let mut event = EpollEvent::new(interest, key.to_bits());
            let _ = self.epoll.modify(socket.as_fd(), &mut event);
        }
    }
}

/// Gives the core what came while the slice lasts; whether whole packets are left.
fn feed(
    core: &mut Core,
    socket: &mut Socket,
    (key, bytes): (Key, &[u8]),
    meter: &Meter,
    fx: &mut Effects,
) -> bool {
    let mut left = false;
    socket.feed(bytes, |bytes| {
        let mut done = 0;
        loop {
            done += core.received(key, &bytes[done..], fx);
            left = core.sliced() && done < bytes.len();
            if !left || meter.is_over(clock()) {
                return done;
            }
        }
    });
    left
}
