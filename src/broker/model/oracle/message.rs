//! One message, and to whom it may, must, and did go.

use super::Number;
use super::session::{Life, Name};
use crate::broker::model::script::Keep;
use crate::broker::wire::Qos;

/// A message as its publisher offers it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Offer {
    pub(in super::super) topic: &'static str,
    pub(in super::super) qos: Qos,
    pub(in super::super) keep: Keep,
    /// 0 is none.
    pub(in super::super) expiry_s: u32,
}

/// A PUBLISH as a client gets it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Arrival {
    pub(in super::super) number: Number,
    pub(in super::super) topic_is: &'static str,
    pub(in super::super) qos: Qos,
    pub(in super::super) retain: bool,
    pub(in super::super) dup: bool,
    pub(in super::super) packet_id: u16,
}

/// What the publisher knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Unknown,
    Acknowledged,
    Refused,
}

/// What one session may get of a message, and got.
#[derive(Clone, Debug)]
pub(super) struct Permit {
    of: Name,
    /// It came while the session asked for it.
    pub(super) live: bool,
    /// By a subscription of its own, not a shared one, when it was first sent.
    pub(super) first: bool,
    /// It must come, at least once.
    pub(super) must: bool,
    /// Subscriptions that may have found it retained.
    pub(super) kept: u32,
    /// The highest quality it may have.
    pub(super) qos: Qos,
    /// It was on its way, perhaps not in the socket yet.
    pub(super) begun: bool,
    /// Times the broker sent it; those of them without DUP; of these, with QoS 2.
    sent: u32,
    fresh: u32,
    fresh_once: u32,
    /// Times the application had it, and those of them with QoS 2.
    pub(super) got: u32,
    pub(super) once: u32,
    /// Sent with this quality, and the broker knows that: it gives way to nothing.
    stays: Qos,
    /// Copies that were released, which only the broker's RAM knows; how many a kill made it forget.
    pub(super) in_ram: u32,
    forgotten: u32,
    /// Connections the session had lost when it was first allowed.
    losses: u32,
}

/// What one group of a shared subscription may get.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) filter: &'static str,
    /// Who may get it.
    pub(super) members: Vec<Name>,
    /// Those of them for whose sake it must not be lost.
    pub(super) stay: Vec<Name>,
    pub(super) must: bool,
    /// A member may have it with QoS 0.
    weak: bool,
    /// Somebody left.
    pub(super) broken_up: bool,
    /// How often somebody came or left.
    changes: u32,
}

/// What was promised to a group before somebody left.
#[derive(Clone, Debug)]
pub(super) struct Before {
    must: bool,
    stay: Vec<Name>,
    changes: u32,
}

/// A message and its ways.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) offer: Offer,
    /// Its publisher's session.
    pub(super) by: Option<Name>,
    /// It has its place among its publisher's others: it is no will.
    pub(super) ordered: bool,
    pub(super) fate: Fate,
    pub(super) sends: u32,
    /// Doubts before it was sent; how often it was sent again after a newer one.
    pub(super) doubts: u32,
    pub(super) doubtful: u32,
    /// It may have been sent again in another session than the first time, which nobody could know.
    pub(super) astray: bool,
    /// A disk in trouble may have refused what was sent first.
    pub(super) troubled: bool,
    /// When its first copy expires, and when its last.
    expires: Option<u64>,
    expires_last: Option<u64>,
    permits: Vec<Permit>,
    pub(super) shares: Vec<Share>,
}

impl Sent {
    pub(super) fn new(offer: Offer, by: Option<Name>, now: u64) -> Sent {
        let expires = (offer.expiry_s > 0).then(|| now + u64::from(offer.expiry_s) * 1000);
        Sent {
            offer,
            by,
            ordered: true,
            fate: Fate::Unknown,
            sends: 1,
            doubts: 0,
            doubtful: 0,
            astray: false,
            troubled: false,
            expires,
            expires_last: expires,
            permits: Vec::new(),
            shares: Vec::new(),
        }
    }

    pub(super) fn will(offer: Offer, now: u64) -> Sent {
        Sent { ordered: false, ..Sent::new(offer, None, now) }
    }

    /// It is sent again: its time begins anew.
    pub(super) fn again(&mut self, now: u64, doubts: u32) {
        self.sends += 1;
        self.doubtful += u32::from(doubts > self.doubts);
        self.expires_last = self.expires.map(|_| now + u64::from(self.offer.expiry_s) * 1000);
    }

    pub(super) fn has_share(&self, filter: &str) -> bool {
        self.shares.iter().any(|share| share.filter == filter)
    }

    pub(super) fn expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    pub(super) fn permit(&mut self, life: &Life) -> &mut Permit {
        let known = self.permits.iter().position(|permit| permit.of == life.name());
        let place = known.unwrap_or_else(|| {
            self.permits.push(Permit {
                of: life.name(),
                live: false,
                first: false,
                must: false,
                kept: 0,
                qos: Qos::AtMostOnce,
                begun: false,
                sent: 0,
                fresh: 0,
                fresh_once: 0,
                got: 0,
                once: 0,
                stays: Qos::AtMostOnce,
                in_ram: 0,
                forgotten: 0,
                losses: life.losses,
            });
            self.permits.len() - 1
        });
        &mut self.permits[place]
    }

    pub(super) fn share(&mut self, filter: &'static str) -> &mut Share {
        let known = self.shares.iter().position(|share| share.filter == filter);
        let place = known.unwrap_or_else(|| {
            let (members, stay) = (Vec::new(), Vec::new());
            self.shares.push(Share {
                filter,
                members,
                stay,
                must: false,
                weak: false,
                broken_up: false,
                changes: 0,
            });
            self.shares.len() - 1
        });
        &mut self.shares[place]
    }

    /// How often a session may have it as a new message of this quality: once for each time it was
    /// offered. Published with QoS 2, it is offered once; but a broker that lost all memory of it may
    /// have sent it on with less before.
    pub(super) fn bound(&self, of: Name, qos: Qos) -> u32 {
        let live = match (self.offer.qos, qos) {
            (Qos::ExactlyOnce, _) if self.astray => self.sends,
            (Qos::ExactlyOnce, Qos::ExactlyOnce) => self.sends.min(1),
            (Qos::ExactlyOnce, Qos::AtMostOnce | Qos::AtLeastOnce) => 1 + self.doubtful,
            (Qos::AtMostOnce | Qos::AtLeastOnce, _) => self.sends,
        };
        let permit = self.permits.iter().find(|permit| permit.of == of);
        permit.map_or(0, |one| one.kept + one.forgotten + if one.live { live } else { 0 })
    }

    /// What the broker knew of it, the disk knows now.
    pub(super) fn on_disk(&mut self) {
        self.permits.iter_mut().for_each(|permit| permit.in_ram = 0);
    }

    /// What only RAM knew is forgotten. What a group got with QoS 2 may be on disk as the message of one
    /// of those who were here, and is then on its way to nobody else (MQTT-4.8.2-5): that it was not
    /// sent is not known any more.
    pub(super) fn crashed(&mut self, here: &[Name]) {
        for permit in &mut self.permits {
            permit.forgotten += std::mem::take(&mut permit.in_ram);
            permit.begun |= here.contains(&permit.of)
                && permit.qos.min(self.offer.qos) == Qos::ExactlyOnce
                && self.shares.iter().any(|share| share.members.contains(&permit.of));
        }
        self.forgotten_at_once();
    }

    /// Another process knows that something was begun with QoS 2 only.
    pub(super) fn forgotten_at_once(&mut self) {
        let weak = |permit: &&mut Permit| permit.stays < Qos::ExactlyOnce;
        self.permits.iter_mut().filter(weak).for_each(|permit| permit.stays = Qos::AtMostOnce);
    }

    /// The broker sent it to a session; what is wrong with that.
    pub(super) fn transmitted(
        &mut self,
        life: &Life,
        arrival: &Arrival,
        now: u64,
    ) -> Result<(), &'static str> {
        let (offer, expired) = (self.offer, self.expires_last.is_some_and(|at| at + 1000 <= now));
        let once = self.bound(life.name(), Qos::ExactlyOnce);
        let bound = self.bound(life.name(), Qos::AtLeastOnce);
        let shared = !self.shares.is_empty(); // who had it before a crash is not known
        let permit = self.permit(life);
        permit.sent += 1;
        if !shared {
            permit.stays = permit.stays.max(arrival.qos);
        }
        // A group's message that went out with QoS 0 may do so again after a crash, without a word.
        let silent = shared && arrival.qos == Qos::AtMostOnce;
        permit.fresh += u32::from(!arrival.dup && !silent);
        permit.fresh_once += u32::from(!arrival.dup && arrival.qos == Qos::ExactlyOnce);
        let first = permit.sent == 1;
        if arrival.topic_is != offer.topic {
            return Err("under another topic");
        }
        if !permit.live && permit.kept == 0 {
            return Err("nobody asked for it");
        }
        if arrival.qos > permit.qos.min(offer.qos) {
            return Err("with more than it was asked or published with");
        }
        if arrival.retain && permit.kept == 0 {
            return Err("with RETAIN, though live");
        }
        if !arrival.retain && !permit.live {
            return Err("without RETAIN, though kept");
        }
        if permit.fresh > bound || permit.fresh_once > once {
            return Err("again, without DUP");
        }
        // What was begun is sent again (MQTT-4.4.0-1), with QoS 2 what may have been (MQTT-4.3.3-7).
        let begun = arrival.dup && (arrival.qos == Qos::ExactlyOnce || permit.begun);
        if first && expired && !begun {
            return Err("after it expired");
        }
        if first && arrival.dup && !shared && permit.losses == life.losses {
            return Err("with DUP, though for the first time");
        }
        if arrival.dup && arrival.qos == Qos::AtMostOnce {
            return Err("DUP with QoS 0");
        }
        Ok(())
    }

    /// A session that may have still to be sent it as retained asks for it in another way.
    pub(super) fn asked_again(&mut self, of: Name, qos: Qos) {
        let own = self.permits.iter_mut().find(|permit| permit.of == of && permit.kept > 0);
        if let Some(permit) = own {
            permit.qos = permit.qos.max(qos);
        }
    }

    /// A session asks for it no more; whether it must have come.
    pub(super) fn let_go(&mut self, of: Name) -> bool {
        let own = self.permits.iter_mut().find(|permit| permit.of == of);
        own.is_some_and(|permit| std::mem::take(&mut permit.must))
    }

    /// A session leaves a group (`None`: all of them).
    pub(super) fn leave(&mut self, of: Name, filter: Option<&str>) {
        let had =
            self.permits.iter().any(|permit| permit.of == of && (permit.sent > 0 || permit.begun));
        // With a member that stays in its session what was sent stays, too (MQTT-3.10.4-3).
        let its_own = self.offer.qos == Qos::ExactlyOnce || filter.is_some();
        let concerned = |share: &&mut Share| filter.is_none_or(|filter| filter == share.filter);
        for share in self.shares.iter_mut().filter(concerned) {
            share.leave(of, had && its_own);
        }
    }

    /// How many members have it, and how many of them with QoS 2.
    pub(super) fn had_by(&self, share: &Share) -> (usize, usize) {
        let member = |permit: &&Permit| share.members.contains(&permit.of);
        let members = || self.permits.iter().filter(member);
        let once = members().filter(|permit| permit.once > 0).count();
        (members().filter(|permit| permit.got > 0).count(), once)
    }

    /// Why it should have come, if it should have. Of groups nothing is known once one is `haunted`. From
    /// a `small` queue nothing is taken that was begun.
    pub(super) fn lost(&self, now: u64, haunted: bool, small: bool) -> Option<String> {
        if self.fate != Fate::Acknowledged || self.expired(now) || self.offer.keep == Keep::Clear {
            return None;
        }
        let missing = |permit: &&Permit| {
            // What a disk in trouble refused was begun, and then sent anew.
            let stays = permit.stays > Qos::AtMostOnce && !self.troubled;
            permit.must && permit.got == 0 && (!small || stays)
        };
        if let Some(permit) = self.permits.iter().find(missing) {
            return Some(format!("client {} never had it", permit.of.0));
        }
        let share = self.shares.iter().find(|share| {
            !haunted && !small && share.must && !share.weak && self.had_by(share).0 == 0
        })?;
        Some(format!("no member of {} ever had it", share.filter))
    }
}

impl Share {
    /// A member is certain to be one since before the message came.
    pub(super) fn hold(&mut self, of: Name) {
        if !self.broken_up {
            self.must = true;
            self.stay.push(of);
        }
    }

    /// What is promised now, should the next to leave not leave.
    pub(super) fn before(&self) -> Before {
        Before { must: self.must, stay: self.stay.clone(), changes: self.changes + 1 }
    }

    /// Whoever left did not, and nobody else came or left since.
    pub(super) fn restore(&mut self, before: Before) {
        if self.changes == before.changes {
            (self.must, self.stay) = (before.must, before.stay);
        }
    }

    /// Somebody may get it, with this quality.
    pub(super) fn join(&mut self, of: Name, qos: Qos) {
        self.changes += 1;
        self.members.push(of);
        self.weak |= qos == Qos::AtMostOnce;
    }

    /// A member leaves its group. What it may have had in its hands, and keeps (with QoS 2 MQTT-4.8.2-5),
    /// is nobody else's; when nobody is left that stays, nobody waits for it.
    fn leave(&mut self, of: Name, had: bool) {
        if !self.members.contains(&of) {
            return;
        }
        self.broken_up = true;
        self.changes += 1;
        self.stay.retain(|other| *other != of);
        if had || self.stay.is_empty() {
            self.must = false;
        }
    }
}
