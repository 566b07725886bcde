//! The door's hands: one thread, one epoll.

use std::io;
use std::net::{IpAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::sync::watch;

use super::certificate;
use super::config::{CertificateRule, Listener};
use super::credentials::Credentials;
use super::guest::{Guest, Next, Why};
use super::queue;
use super::{Arrived, Parts, Shared, Troubles};
use crate::broker::core::Origin;
use crate::broker::crowd::{Crowd, Standing};
use crate::broker::identity::Transport;
use crate::broker::intake::{Intake, Op};
use crate::broker::listener::OpenListener;
use crate::broker::slots::{Key, Slots};
use crate::broker::socket::Layers;
use crate::broker::tls::Tls;
use crate::broker::users::Checker;
use crate::broker::websocket::Frames;
use crate::linux;

const BELL: u64 = u64::MAX;
const LISTENERS: u64 = u64::MAX - 1024;
/// Connections taken from one listener before those that are here go on.
const ACCEPTS: usize = 16;
/// Pause of the listeners when the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(200);
/// A third of the weight of the broker's thread: enough to come in on a busy box, too little to be in
/// its way.
const NICE: i32 = 5;

/// Everything the thread owns.
pub(super) struct Room {
    shared: Arc<Shared>,
    intake: Arc<Intake>,
    epoll: Epoll,
    entrances: Vec<Entrance>,
    guests: Slots<Guest>,
    rules: Vec<CertificateRule>,
    checker: Checker,
    patience: Duration,
    frame: u64,
    told: watch::Sender<Troubles>,
    listen_again: Option<Instant>,
    /// When a failed handshake was last logged, and how many have failed since.
    logged: (Option<Instant>, u64),
    buffer: Box<[u8]>,
}

/// A listener with what it shows.
struct Entrance {
    listener: OpenListener,
    settings: Listener,
    credentials: Option<Credentials>,
}

impl Entrance {
    fn new(listener: OpenListener) -> Entrance {
        let settings = listener.settings().clone();
        // RFC 7301: a browser offers http/1.1 for the request, everyone else mqtt or nothing.
        let protocols: &[&[u8]] = match settings.web {
            None => &[b"mqtt"],
            Some(_) => &[b"http/1.1", b"mqtt"],
        };
        let credentials = settings.tls.clone().map(|files| Credentials::new(files, protocols));
        Entrance { listener, settings, credentials }
    }
}

impl Room {
    pub(super) fn new(
        parts: Parts,
        shared: Arc<Shared>,
        told: watch::Sender<Troubles>,
    ) -> io::Result<Room> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&shared.bell, EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        let entrances: Vec<Entrance> = parts.listeners.into_iter().map(Entrance::new).collect();
        let buffer = if entrances.is_empty() { 0 } else { 18 << 10 }; // a TLS record and some
        let mut room = Room {
            shared,
            intake: parts.intake,
            epoll,
            entrances,
            guests: Slots::default(),
            rules: parts.certificates,
            checker: Checker::new(parts.users),
            patience: parts.patience,
            frame: parts.frame,
            told,
            listen_again: None,
            logged: (None, 0),
            buffer: vec![0; buffer].into(),
        };
        let now = now();
        for index in 0..room.entrances.len() {
            room.listen(index)?;
            room.refresh(index, now);
        }
        Ok(room)
    }

    fn listen(&self, index: usize) -> nix::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, LISTENERS + index as u64);
        self.epoll.add(self.entrances[index].listener.as_fd(), event)
    }

    pub(super) fn run(&mut self) {
        linux::thread::yield_to_others(NICE);
        while !self.shared.stop.load(Ordering::Acquire) {
            if catch_unwind(AssertUnwindSafe(|| self.turns())).is_err() {
                // The broker and all who are in it go on; those who were at the door come again.
                tracing::error!("the door panicked; those who were at it are gone");
                self.guests = Slots::default();
            }
        }
    }

    fn turns(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        while !self.shared.stop.load(Ordering::Acquire) {
            let count = match self.epoll.wait(&mut events, self.timeout(now())) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => 0,
                Err(errno) => panic!("epoll_wait: {errno}"),
            };
            let now = now();
            for event in &events[..count] {
                match event.data() {
                    BELL => self.answer_bell(now),
                    listener if listener >= LISTENERS => self.accept(listener, now),
                    key => self.go_on(Key::from_bits(key), now),
                }
            }
            self.end_the_slow(now);
            self.listen_again(now);
            self.check_one(now);
        }
    }

    fn timeout(&self, now: Instant) -> EpollTimeout {
        if !self.shared.attempts().is_empty() {
            return EpollTimeout::ZERO;
        }
        let oldest = self.guests.iter().map(|(_, guest)| guest.since + self.patience).min();
        let Some(due) = oldest.into_iter().chain(self.listen_again).min() else {
            return EpollTimeout::NONE;
        };
        let left_ms = due.saturating_duration_since(now).as_millis();
        let left_ms = u32::try_from(left_ms).unwrap_or(u32::MAX / 2).saturating_add(1);
        EpollTimeout::try_from(left_ms).unwrap_or(EpollTimeout::MAX)
    }

    fn answer_bell(&mut self, now: Instant) {
        let _ = self.shared.bell.read(); // empty means it was answered
        if self.shared.reload.swap(false, Ordering::AcqRel) {
            for index in 0..self.entrances.len() {
                if let Some(credentials) = &mut self.entrances[index].credentials {
                    credentials.forget();
                }
                self.refresh(index, now);
            }
        }
    }

    /// Loads what has changed of a listener's files, and says what is wrong with them.
    fn refresh(&mut self, index: usize, now: Instant) {
        let Entrance { settings, credentials, .. } = &mut self.entrances[index];
        let Some(news) = credentials.as_mut().and_then(|known| known.refresh(now)) else { return };
        let place = format!("{} {}", settings.kind(), settings.on);
        match news {
            Ok(()) => {
                tracing::debug!(listener = %place, "certificate loaded");
                self.told.send_if_modified(|troubles| troubles.remove(&place).is_some());
            }
            Err(mut trouble) => {
                let serving = credentials.as_ref().is_some_and(|known| known.current().is_some());
                let until = if serving { "the old one serves on" } else { "nobody comes in there" };
                trouble.message = format!("{place}: {}; {until}", trouble.message);
                tracing::warn!(cause = %trouble.message, "certificate not loaded");
                self.told.send_modify(|troubles| drop(troubles.insert(place, trouble)));
            }
        }
    }

    fn accept(&mut self, listener: u64, now: Instant) {
        let index = usize::try_from(listener - LISTENERS).unwrap_or(usize::MAX);
        for _ in 0..ACCEPTS {
            let Some(entrance) = self.entrances.get(index) else { return };
            match entrance.listener.accept_stranger() {
                Ok(Some((stream, address))) => self.receive(stream, address, index, now),
                Ok(None) => {}
                Err(error) => match error.raw_os_error() {
                    Some(nix::libc::EMFILE | nix::libc::ENFILE | nix::libc::ENOMEM) => {
                        let _ = self.epoll.delete(entrance.listener.as_fd());
                        self.listen_again = Some(now + PAUSE);
                        return;
                    }
                    _ => return, // EAGAIN, mostly; anything else is asked again
                },
            }
        }
    }

    fn listen_again(&mut self, now: Instant) {
        if self.listen_again.is_some_and(|at| at <= now) {
            self.listen_again = None;
            for index in 0..self.entrances.len() {
                let _ = self.listen(index); // those that were never out say EEXIST
            }
        }
    }

    /// Somebody came to the door.
    fn receive(&mut self, stream: TcpStream, address: IpAddr, index: usize, now: Instant) {
        self.refresh(index, now);
        let config = match &self.entrances[index].credentials {
            None => None,
            Some(credentials) => match credentials.current() {
                Some(config) => Some(config),
                None => return, // there is nothing to show: closed
            },
        };
        let Ok(tls) = config.map(Tls::new).transpose() else { return };
        let standing: Vec<Standing<Key>> = self.guests.iter().map(standing).collect();
        if let Some(key) = queue::pushed_out(&standing, Crowd::at(address)) {
            self.intake.refuse();
            self.guests.remove(key);
        }
        let key = self.guests.insert(Guest::new(stream, tls, address, index, now));
        let Some(guest) = self.guests.get(key) else { return };
        let event = EpollEvent::new(EpollFlags::EPOLLIN, key.to_bits());
        if self.epoll.add(guest.as_fd(), event).is_err() {
            self.guests.remove(key);
            return;
        }
        self.go_on(key, now); // what it has to say may be here already
    }

    fn go_on(&mut self, key: Key, now: Instant) {
        let Some(guest) = self.guests.get_mut(key) else { return };
        let web = self.entrances[guest.listener].settings.web.as_ref();
        match guest.go_on(&mut self.buffer, web) {
            Next::Wait(unheard) if unheard == guest.unheard => {}
            Next::Wait(unheard) => {
                guest.unheard = unheard;
                let mut interest = EpollFlags::EPOLLIN;
                interest.set(EpollFlags::EPOLLOUT, unheard);
                let mut event = EpollEvent::new(interest, key.to_bits());
                let _ = self.epoll.modify(guest.as_fd(), &mut event);
            }
            Next::Enter => self.enter(key),
            Next::Leave(why) => {
                let Some(guest) = self.guests.remove(key) else { return };
                self.log(&guest, &why, now);
                self.intake.refuse();
                guest.leave(&mut self.buffer);
            }
        }
    }

    fn enter(&mut self, key: Key) {
        let Some(guest) = self.guests.remove(key) else { return };
        let _ = self.epoll.delete(guest.as_fd());
        let (address, settings) = (guest.address, &self.entrances[guest.listener].settings);
        let shown = guest.tls.as_ref().and_then(Tls::certificate);
        let transport = match shown.and_then(|shown| certificate::bearer(shown, &self.rules)) {
            Some(bearer) => Transport::Certificate(bearer),
            None => Transport::Remote,
        };
        let origin = Origin {
            transport,
            address: Some(address),
            listener: settings.kind(),
            max_role: settings.max_role,
        };
        let frames = settings.web.as_ref().map(|_| Frames::new(self.frame));
        let (stream, tls, said) = guest.enter();
        let layers = Layers { tls, frames, broken: false };
        self.intake.push(Op::Arrived(Box::new(Arrived { stream, layers, origin, said })));
    }

    /// A failed handshake is told, for whoever sets one up; a flood of them is one line a second.
    fn log(&mut self, guest: &Guest, why: &Why, now: Instant) {
        let Why::Tls(error) = why else { return };
        let (last, more) = &mut self.logged;
        if last.is_some_and(|last| now.saturating_duration_since(last) < Duration::from_secs(1)) {
            *more += 1;
            return;
        }
        let (listener, address) = (self.entrances[guest.listener].settings.kind(), guest.address);
        tracing::info!(listener, %address, %error, more_since = *more, "TLS handshake failed");
        self.logged = (Some(now), 0);
    }

    fn end_the_slow(&mut self, now: Instant) {
        let due = |guest: &Guest| guest.since + self.patience <= now;
        let slow: Vec<Key> =
            self.guests.iter().filter(|(_, guest)| due(guest)).map(|(key, _)| key).collect();
        for key in slow {
            self.intake.refuse();
            self.guests.remove(key);
        }
    }

    /// Checks one password, so that handshakes wait for no more than that.
    fn check_one(&mut self, now: Instant) {
        let Some(attempt) = self.shared.attempts().pop_front() else { return };
        let connection = Key::from_bits(attempt.token);
        let password = self.checker.check(attempt, now);
        self.intake.push(Op::Verified { connection, password });
    }
}

fn standing((key, guest): (Key, &Guest)) -> Standing<Key> {
    Standing { key, crowd: Crowd::at(guest.address), since: guest.since, spoke: guest.spoke }
}

/// The one place where the door reads the clock.
#[expect(clippy::disallowed_methods, reason = "a loop of its own, where time enters")]
fn now() -> Instant {
    Instant::now()
}
