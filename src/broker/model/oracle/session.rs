//! Which sessions live, certainly or perhaps, and what they asked for.

use std::collections::{BTreeMap, HashMap};

use super::message::Arrival;
use super::{Number, Oracle, plain_match};
use crate::broker::model::script::Bye;
use crate::broker::wire::Qos;
use crate::topic::{Shared, matches};

/// A client and the number of its session.
pub(super) type Name = (usize, u32);

/// A SUBSCRIBE of one filter.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Wish {
    pub(in super::super) filter: &'static str,
    pub(in super::super) qos: Qos,
    pub(in super::super) no_local: bool,
    /// It wants what is retained.
    pub(in super::super) kept: bool,
}

/// A filter as far as its client knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    /// The SUBACK came, and no UNSUBSCRIBE went since.
    pub(super) held: bool,
    /// The qualities it may have at the broker.
    pub(super) low: Qos,
    pub(super) high: Qos,
    /// Its own messages: certainly not, and perhaps not.
    no_local: (bool, bool),
    /// The last SUBSCRIBE or UNSUBSCRIBE of it: only its answer counts.
    asked: u32,
}

/// What a SUBACK will mean.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Pending {
    asked: u32,
    /// Retained messages that must follow.
    due: Vec<Number>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Ending {
    /// Without DISCONNECT, or with the wish for the will.
    Broken,
    Polite,
    /// Together with the broker.
    Crash,
}

/// Longer than it takes until the disk knows what nobody waits for.
const FRESH_MS: u64 = 50;

/// The session of one client.
#[derive(Debug)]
pub(super) struct Life {
    client: usize,
    number: u32,
    expiry_s: u32,
    /// The longest it was ever to outlive a connection.
    longest_s: u32,
    asked: u32,
    filters: BTreeMap<&'static str, Subscription>,
    /// The SUBACK of a filter came: it must outlive the broker.
    acknowledged: bool,
    /// The next CONNACK may say that it is there, or that it is not.
    may_be_there: bool,
    pub(super) may_be_gone: bool,
    /// What the CONNACK that is on its way may say.
    expected: (bool, bool),
    /// That CONNACK has not come yet.
    asking: bool,
    /// An earlier one never came: it may have told of a new session.
    replaced: bool,
    /// When its connection ended; `None` while there is one.
    pub(super) left: Option<u64>,
    /// The same as far as the broker certainly knows: before a CONNECT whose CONNACK never came.
    left_early: Option<u64>,
    /// When it ended for good, in the broker's RAM.
    ended: Option<u64>,
    /// When an older session was discarded, which the disk may not know yet.
    discarded: Option<u64>,
    /// The CONNECT that is on its way discards it.
    cleaned: bool,
    /// An older session may have come back with a crash: whatever it brings was said to be gone.
    ghost: bool,
    /// Connections lost so far.
    pub(super) losses: u32,
    /// The last message by publisher, topic and qualities.
    pub(super) order: HashMap<(Name, &'static str, u8, u8), Number>,
    /// Retained messages that must follow a SUBACK.
    pub(super) kept_due: Vec<(Number, &'static str)>,
}

impl Life {
    pub(super) fn new(client: usize) -> Life {
        Life {
            client,
            number: 0,
            expiry_s: 0,
            longest_s: 0,
            asked: 0,
            filters: BTreeMap::new(),
            acknowledged: false,
            may_be_there: false,
            may_be_gone: true,
            expected: (false, true),
            asking: false,
            replaced: false,
            left: Some(0),
            left_early: Some(0),
            ended: None,
            discarded: None,
            cleaned: false,
            ghost: false,
            losses: 0,
            order: HashMap::new(),
            kept_due: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> Name {
        (self.client, self.number)
    }

    /// What the plain filters say together about a topic.
    pub(super) fn wanted(&self, topic: &str, own: bool) -> Option<Subscription> {
        let matching = self.filters.iter().filter(|(filter, _)| plain_match(filter, topic));
        let mut all = matching
            .filter(|(_, one)| !(own && one.no_local.0))
            .map(|(_, one)| Subscription { held: one.held && !(own && one.no_local.1), ..*one });
        let mut together = all.next()?;
        for one in all {
            // As much as the best of those that are certain, and perhaps as much as any.
            together.low = match (together.held, one.held) {
                (true, true) => together.low.max(one.low),
                (false, true) => one.low,
                (_, false) => together.low,
            };
            together.held |= one.held;
            together.high = together.high.max(one.high);
        }
        Some(together)
    }

    /// The groups it is in that get a topic.
    pub(super) fn groups_of(
        &self,
        topic: &str,
    ) -> impl Iterator<Item = (&'static str, Subscription)> {
        self.filters
            .iter()
            .filter(move |(filter, _)| {
                Shared::parse(filter).is_some_and(|shared| matches(shared.filter, topic))
            })
            .map(|(filter, subscription)| (*filter, *subscription))
    }

    /// A retained message came.
    pub(super) fn kept_came(&mut self, arrival: &Arrival) {
        if arrival.retain {
            self.kept_due.retain(|(number, _)| *number != arrival.number);
        }
    }

    /// The disk took what it was given since.
    pub(super) fn on_disk(&mut self) {
        if self.left.is_none() {
            self.left_early = None;
        }
    }

    pub(super) fn may_have_expired(&self, now: u64) -> bool {
        self.left.is_some() && self.left_early.is_some_and(|left| self.over(left, now))
    }

    fn over(&self, since: u64, now: u64) -> bool {
        self.expiry_s < u32::MAX && since + u64::from(self.expiry_s) * 1000 <= now
    }

    pub(super) fn expiry_ms(&self) -> u64 {
        if self.expiry_s == u32::MAX { u64::MAX / 2 } else { u64::from(self.expiry_s) * 1000 }
    }

    /// After a crash, what ended a moment ago may be there again: nobody was told that it is gone
    /// (DISCONNECT has no answer). Until `known` the disk took what it was given.
    pub(super) fn crashed(&mut self, went: u64, known: u64) {
        self.losses += 1;
        self.ghost |= self.discarded.is_some_and(|at| at + FRESH_MS > known);
        let ended = self.ended.is_some_and(|ended| self.longest_s > 0 && ended + FRESH_MS > known);
        if ended || self.ghost {
            // Another may have begun whose CONNACK never came.
            self.owe_nothing();
            self.may_be_there = true;
            self.expiry_s = self.longest_s;
            (self.left, self.left_early) = (Some(went), Some(went));
        }
        if !self.acknowledged {
            self.may_be_gone = true;
        }
    }

    /// Of a session that ended nothing is owed.
    fn owe_nothing(&mut self) {
        self.filters.values_mut().for_each(|subscription| subscription.held = false);
    }

    /// Another session begins.
    fn begin(&mut self) {
        self.number += 1;
        self.filters.clear();
        self.order.clear();
        self.acknowledged = false;
        self.ghost = false;
    }

    /// Nothing can be said about what it gets.
    pub(super) fn is_ghost(&self) -> bool {
        self.ghost
    }
}

impl Oracle {
    /// A CONNECT goes to the broker.
    pub(in super::super) fn connecting(&mut self, client: usize, clean: bool, expiry_s: u32) {
        if self.lives[client].left.is_none() {
            self.connection_ended(client, Ending::Broken); // taken over
        }
        let (now, up_since) = (self.now, self.up_since);
        let life = &mut self.lives[client];
        let last_seen = life.left.unwrap_or(now).max(up_since);
        let gone = clean || life.may_be_gone || life.may_have_expired(now);
        let there = !clean && life.may_be_there && !life.over(last_seen, now);
        life.replaced |= life.asking && life.expected.1;
        life.asking = true;
        life.expected = (there, gone);
        life.left = None;
        life.cleaned = clean || life.ended.is_some();
        life.discarded = life.ended.take().or(life.discarded);
        life.expiry_s = expiry_s;
        life.longest_s = life.longest_s.max(expiry_s);
        life.may_be_there = expiry_s > 0;
        life.may_be_gone = gone || expiry_s == 0;
        if clean {
            life.discarded = Some(now);
            self.let_go(client);
        }
        self.wills_of_returning(client, clean);
    }

    /// CONNACK with success.
    pub(in super::super) fn connected(&mut self, client: usize, present: bool) {
        let life = &mut self.lives[client];
        let (there, gone) = life.expected;
        life.asking = false;
        if self.trouble.is_none() {
            life.left_early = life.left; // the disk knows that it is here
        }
        let replaced = std::mem::take(&mut life.replaced);
        if present && !there {
            return self.breaks(format!("client {client}: session present, though there is none"));
        }
        if !present && !gone {
            return self.breaks(format!("client {client}: its session is lost"));
        }
        if !present {
            self.let_go(client);
            self.lives[client].begin();
        } else if replaced {
            self.let_go(client);
            self.lives[client].owe_nothing();
        }
        // While it is connected it is there. What was before it is gone from the disk, too, unless that
        // takes nothing (design §6: the daemon runs on from RAM).
        let (trouble, now) = (self.trouble.is_some(), self.now);
        let life = &mut self.lives[client];
        life.may_be_gone = false;
        if life.cleaned && !trouble {
            (life.discarded, life.cleaned) = (None, false);
        }
        if !present && trouble && life.longest_s > 0 {
            life.discarded = Some(now); // it expired, perhaps
        }
    }

    /// The connection is gone, for whatever reason.
    pub(in super::super) fn connection_ended(&mut self, client: usize, ending: Ending) {
        let now = self.now;
        let life = &mut self.lives[client];
        if life.left.is_some() {
            return;
        }
        life.left = Some(now);
        life.left_early.get_or_insert(now);
        life.losses += 1;
        if life.expiry_s == 0 {
            life.may_be_there = false;
            life.may_be_gone = true;
            life.ended = Some(now);
            self.let_go(client);
        }
        match ending {
            Ending::Broken => self.will_waits(client),
            Ending::Polite => self.will_forgotten(client),
            Ending::Crash => {}
        }
    }

    /// DISCONNECT goes to the broker.
    pub(in super::super) fn disconnecting(&mut self, client: usize, bye: Bye) {
        if bye == Bye::Forget {
            self.lives[client].expiry_s = 0;
        }
        let ending = if bye == Bye::WithWill { Ending::Broken } else { Ending::Polite };
        self.connection_ended(client, ending);
    }

    /// SUBSCRIBE goes to the broker. Gives what must be found retained once it is acknowledged.
    pub(in super::super) fn subscribing(&mut self, client: usize, wish: Wish) -> Pending {
        let life = &mut self.lives[client];
        let Wish { filter, qos, no_local, .. } = wish;
        life.asked += 1;
        let asked = life.asked;
        let own = (no_local, no_local);
        let new = Subscription { held: false, low: qos, high: qos, no_local: own, asked };
        let subscription = life.filters.entry(filter).or_insert(new);
        subscription.asked = asked;
        subscription.low = subscription.low.min(qos);
        subscription.high = subscription.high.max(qos);
        let (certain, perhaps) = subscription.no_local;
        subscription.no_local = (certain && no_local, perhaps || no_local);
        if let Some(shared) = Shared::parse(filter) {
            self.joined(client, shared.filter, wish);
            return Pending { asked, due: Vec::new() };
        }
        let due = if wish.kept { self.offer_kept(client, wish) } else { Vec::new() };
        Pending { asked, due }
    }

    /// Whoever joins a group may get what waits for it.
    fn joined(&mut self, client: usize, inner: &str, wish: Wish) {
        let life = &self.lives[client];
        for message in &mut self.messages {
            if matches(inner, message.offer.topic) && message.has_share(wish.filter) {
                let permit = message.permit(life);
                permit.live = true;
                permit.qos = permit.qos.max(wish.qos);
                message.share(wish.filter).join(life.name(), wish.qos);
            }
        }
    }

    fn offer_kept(&mut self, client: usize, wish: Wish) -> Vec<Number> {
        let mut due = Vec::new();
        let life = &self.lives[client];
        for (_, kept) in self.topics.iter().filter(|(topic, _)| matches(wish.filter, topic)) {
            let candidates = kept.candidates();
            for &number in candidates.iter().flatten() {
                let message = &mut self.messages[number];
                if wish.no_local && message.by.is_some_and(|(author, _)| author == client) {
                    continue; // MQTT-3.8.3-3, by any session of that client
                }
                let permit = message.permit(life);
                permit.kept += 1;
                permit.qos = permit.qos.max(wish.qos);
                let certain = candidates.len() == 1 && !message.expired(self.now);
                if certain && message.offer.qos.min(wish.qos) > Qos::AtMostOnce {
                    due.push(number);
                }
            }
        }
        due
    }

    /// SUBACK: `granted` or refused.
    pub(in super::super) fn subscribed(
        &mut self,
        client: usize,
        wish: Wish,
        granted: Option<Qos>,
        pending: &Pending,
    ) {
        let life = &mut self.lives[client];
        let Some(qos) = granted else { return };
        life.acknowledged = true;
        if life.expiry_s > 0 {
            life.discarded = None; // its row has replaced the older one
        }
        let Some(subscription) = life.filters.get_mut(wish.filter) else { return };
        if subscription.asked != pending.asked {
            return;
        }
        subscription.held = true;
        (subscription.low, subscription.high) = (qos, qos);
        subscription.no_local = (wish.no_local, wish.no_local);
        life.kept_due.extend(pending.due.iter().map(|&number| (number, wish.filter)));
    }

    /// UNSUBSCRIBE goes to the broker: what has not come by this filter alone need not come.
    pub(in super::super) fn unsubscribing(&mut self, client: usize, filter: &'static str) -> u32 {
        let life = &mut self.lives[client];
        life.asked += 1;
        let asked = life.asked;
        if let Some(subscription) = life.filters.get_mut(filter) {
            subscription.held = false;
            subscription.asked = asked;
        }
        life.kept_due.retain(|(_, of)| *of != filter);
        for message in &mut self.messages {
            let topic = message.offer.topic;
            let own = message.by == Some(life.name());
            if plain_match(filter, topic) && !life.wanted(topic, own).is_some_and(|one| one.held) {
                message.let_go(life.name(), |_| true);
            }
            message.leave(life.name(), Some(filter));
        }
        asked
    }

    /// UNSUBACK.
    pub(in super::super) fn unsubscribed(
        &mut self,
        client: usize,
        filter: &'static str,
        asked: u32,
    ) {
        let life = &mut self.lives[client];
        if life.filters.get(filter).is_some_and(|subscription| subscription.asked == asked) {
            life.filters.remove(filter);
        }
    }
}
