//! An open session: what it allows, and how much is under way.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use super::keepalive::Keepalive;
use super::packet::{RECEIVE_MAXIMUM, Welcome};

/// The most messages in flight; the cloud's receive maximum is often less.
const WINDOW: usize = 128;
/// Bytes written but not yet gone: more would delay a ping on a slow line.
const UNFLUSHED_BYTES: usize = 64 << 10;
/// Acknowledgements written but not yet gone: a cloud that waits for them as it must never has more
/// than the receive maximum of them, so here is one that does not read, and is not read either.
const UNFLUSHED_ANSWERS: usize = 64;

/// One session, from CONNACK to its end.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) since: Instant,
    pub(super) welcome: Welcome,
    pub(super) keepalive: Keepalive,
    /// The identifier of our SUBSCRIBE until it is answered.
    pub(super) subscribing: Option<NonZeroU16>,
    /// The identifier of our word on availability until it is acknowledged.
    pub(super) availability: Option<NonZeroU16>,
    /// Messages of the cloud that are not acknowledged yet.
    unacknowledged: u16,
    /// Acknowledgements given to the hands since they last said that all has left.
    answers: usize,
    /// Bytes given to the hands since they last said that all has left.
    unflushed: usize,
    /// No more is given to them until they say so.
    holding: bool,
    last_packet_id: u16,
}

impl Session {
    pub(super) fn new(welcome: Welcome, keepalive: Duration, now: Instant) -> Session {
        Session {
            since: now,
            welcome,
            keepalive: Keepalive::new(keepalive, now),
            subscribing: None,
            availability: None,
            unacknowledged: 0,
            answers: 0,
            unflushed: 0,
            holding: false,
            last_packet_id: 0,
        }
    }

    /// Whether one more message may go when `flying` are in flight; one under suspicion flies alone.
    pub(super) fn may_send(&self, flying: usize, suspicious: bool) -> bool {
        let window = if suspicious { 1 } else { WINDOW };
        // Our word on availability takes a place of the cloud's receive maximum too.
        let own = usize::from(self.availability.is_some());
        let receive_maximum = usize::from(self.welcome.receive_maximum);
        !self.holding && flying < window && flying + own < receive_maximum
    }

    /// Something is sent, `bytes` long; whether the hands must now say when all has left.
    pub(super) fn sent(&mut self, now: Instant, bytes: usize) -> bool {
        self.keepalive.spoke(now);
        self.unflushed += bytes;
        let full = self.unflushed > UNFLUSHED_BYTES && !self.holding;
        self.holding |= full;
        full
    }

    /// All has left.
    pub(super) fn flushed(&mut self) {
        self.unflushed = 0;
        self.answers = 0;
        self.holding = false;
    }

    /// A message came that is to be acknowledged; whether the cloud may still send it (MQTT-3.3.4-9).
    #[must_use]
    pub(super) fn came(&mut self) -> bool {
        let within = self.unacknowledged < RECEIVE_MAXIMUM;
        self.unacknowledged += u16::from(within);
        within
    }

    /// One of them is acknowledged; whether the hands must now say when all has left.
    pub(super) fn acknowledged(&mut self) -> bool {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        self.answers += 1;
        self.answers == UNFLUSHED_ANSWERS
    }

    /// Whether the cloud does not take its acknowledgements.
    pub(super) fn unheard(&self) -> bool {
        self.answers >= UNFLUSHED_ANSWERS
    }

    /// An identifier that is not in use, neither here nor by a message.
    pub(super) fn packet_id(&mut self, flies: impl Fn(u16) -> bool) -> NonZeroU16 {
        loop {
            self.last_packet_id = self.last_packet_id.wrapping_add(1);
            let Some(id) = NonZeroU16::new(self.last_packet_id) else { continue };
            let own = self.subscribing == Some(id) || self.availability == Some(id);
            if !own && !flies(id.get()) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    pub(crate) fn welcome(receive_maximum: u16) -> Welcome {
        Welcome {
            session_present: false,
            receive_maximum,
            max_packet_bytes: u32::MAX,
            keepalive_s: None,
            retain: true,
            acknowledges: true,
        }
    }

    fn session(receive_maximum: u16) -> Session {
        Session::new(welcome(receive_maximum), Duration::from_secs(60), at(0))
    }

    #[test]
    fn no_more_fly_than_the_cloud_takes() {
        let mut session = session(20);
        assert!(session.may_send(19, false));
        assert!(!session.may_send(20, false));
        session.availability = NonZeroU16::new(1);
        assert!(!session.may_send(19, false));
        assert!(session.may_send(0, true));
        assert!(!session.may_send(1, true), "a suspect flies alone");
    }

    #[test]
    fn what_is_written_but_has_not_left_is_bounded() {
        let mut session = session(u16::MAX);
        assert!(!session.sent(at(0), 60_000));
        assert!(session.sent(at(0), 60_000));
        assert!(!session.may_send(0, false));
        assert!(!session.sent(at(0), 2), "asked once is enough");
        session.flushed();
        assert!(session.may_send(0, false));
    }

    #[test]
    fn an_identifier_in_use_is_passed_over_also_after_the_last() {
        let mut session = session(20);
        session.last_packet_id = 65_534;
        session.subscribing = NonZeroU16::new(65_535);
        assert_eq!(session.packet_id(|id| id == 1).get(), 2);
    }
}
