//! Which sessions live, certainly or perhaps, and what they asked for.

use std::collections::{BTreeMap, HashMap};

use super::message::{Arrival, Before, Sent};
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
    /// What is retained was asked for with it.
    replayed: bool,
    /// What a SUBSCRIBE before this one found retained need not come any more.
    since: u32,
}

/// What a SUBACK will mean.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Pending {
    asked: u32,
    /// The next message that anyone sends.
    next: Number,
    /// Retained messages that must follow.
    due: Vec<Number>,
}

/// What an UNSUBSCRIBE ends, if it is not refused.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Parting {
    asked: u32,
    held: bool,
    /// What must have come by that filter alone.
    due: Vec<Number>,
    of_group: Vec<(Number, Before)>,
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
            let own = |message: &&mut Sent| message.by.is_some_and(|(author, _)| author == client);
            self.messages.iter_mut().filter(own).for_each(|message| message.astray = true);
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
        let replayed = wish.kept;
        let (held, low, high, no_local_is, since) = (false, qos, qos, own, 0);
        let new = Subscription { held, low, high, no_local: no_local_is, asked, replayed, since };
        let subscription = life.filters.entry(filter).or_insert(new);
        subscription.asked = asked;
        subscription.replayed |= replayed;
        subscription.low = subscription.low.min(qos);
        subscription.high = subscription.high.max(qos);
        let (certain, perhaps) = subscription.no_local;
        subscription.no_local = (certain && no_local, perhaps || no_local);
        if self.house.goes_piece_by_piece() {
            // What is still to be sent for it goes on as it is asked for now (MQTT-3.8.4-4).
            if no_local || qos == Qos::AtMostOnce {
                subscription.since = asked;
                life.kept_due.retain(|(_, of)| *of != filter);
            }
            for message in
                self.messages.iter_mut().filter(|one| plain_match(filter, one.offer.topic))
            {
                message.asked_again(life.name(), qos);
            }
        }
        if let Some(shared) = Shared::parse(filter) {
            self.joined(client, shared.filter, wish);
            return Pending { asked, next: self.messages.len(), due: Vec::new() };
        }
        let due = if wish.kept { self.offer_kept(client, wish) } else { Vec::new() };
        Pending { asked, next: self.messages.len(), due }
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
        // Piece by piece, it goes on as what was there before when this is refused.
        let before = life.filters.get(wish.filter).filter(|_| self.house.goes_piece_by_piece());
        let high = before.map_or(wish.qos, |one| one.high);
        for (_, kept) in self.topics.iter().filter(|(topic, _)| matches(wish.filter, topic)) {
            let candidates = kept.candidates();
            for &number in candidates.iter().flatten() {
                let message = &mut self.messages[number];
                // Piece by piece, another SUBSCRIBE may change that before it is its turn.
                let sure = !self.house.goes_piece_by_piece();
                if sure && wish.no_local && message.by.is_some_and(|(author, _)| author == client) {
                    continue; // MQTT-3.8.3-3, by any session of that client
                }
                let permit = message.permit(life);
                permit.kept += 1;
                permit.qos = permit.qos.max(high);
                let certain = candidates.len() == 1 && !message.expired(self.now);
                let own = wish.no_local && message.by.is_some_and(|(author, _)| author == client);
                if certain && !own && message.offer.qos.min(wish.qos) > Qos::AtMostOnce {
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
        let last = subscription.asked == pending.asked;
        if last {
            subscription.held = true;
            (subscription.low, subscription.high) = (qos, qos);
            subscription.no_local = (wish.no_local, wish.no_local);
        }
        if pending.asked >= subscription.since {
            life.kept_due.extend(pending.due.iter().map(|&number| (number, wish.filter)));
            self.kept_may_be_another();
        }
        if !last {
            return;
        }
        self.offer_what_followed(client, wish, pending.next);
    }

    /// What anyone sends behind a SUBSCRIBE comes under it, though the SUBACK was not there yet.
    fn offer_what_followed(&mut self, client: usize, wish: Wish, next: Number) {
        let life = &self.lives[client];
        let once = |message: &&mut Sent| message.ordered && message.sends == 1;
        for message in self.messages[next..].iter_mut().filter(once) {
            let own = message.by == Some(life.name());
            if wish.no_local && own || wish.qos == Qos::AtMostOnce {
                continue;
            }
            if plain_match(wish.filter, message.offer.topic) {
                message.permit(life).must = true;
            } else if message.has_share(wish.filter) {
                message.share(wish.filter).hold(life.name());
            }
        }
    }

    /// UNSUBSCRIBE goes to the broker: what has not come by this filter alone need not come.
    pub(in super::super) fn unsubscribing(
        &mut self,
        client: usize,
        filter: &'static str,
    ) -> Parting {
        let life = &mut self.lives[client];
        life.asked += 1;
        let mut parting = Parting { asked: life.asked, ..Parting::default() };
        if let Some(subscription) = life.filters.get_mut(filter) {
            parting.held = std::mem::take(&mut subscription.held);
            subscription.since = parting.asked;
            subscription.asked = parting.asked;
        }
        life.kept_due.retain(|(_, of)| *of != filter);
        for (number, message) in self.messages.iter_mut().enumerate() {
            let topic = message.offer.topic;
            let own = message.by == Some(life.name());
            let still = || life.wanted(topic, own).is_some_and(|one| one.held);
            if plain_match(filter, topic) && !still() && message.let_go(life.name()) {
                parting.due.push(number);
            }
            if message.has_share(filter) {
                parting.of_group.push((number, message.share(filter).before()));
                message.leave(life.name(), Some(filter));
            }
        }
        parting
    }

    /// UNSUBACK: gone, or refused.
    pub(in super::super) fn unsubscribed(
        &mut self,
        client: usize,
        filter: &'static str,
        parting: Parting,
        gone: bool,
    ) {
        let life = &mut self.lives[client];
        let asked = |subscription: &&mut Subscription| subscription.asked == parting.asked;
        let Some(subscription) = life.filters.get_mut(filter).filter(asked) else { return };
        if gone {
            life.filters.remove(filter);
            return;
        }
        subscription.held = parting.held;
        for number in parting.due {
            self.messages[number].permit(life).must = true;
        }
        for (number, before) in parting.of_group {
            self.messages[number].share(filter).restore(before);
        }
        self.doubted.push((life.name(), filter));
    }

    /// Each UNSUBSCRIBE that was refused may have reached the disk.
    pub(super) fn part_with_doubted(&mut self) {
        for (name, filter) in std::mem::take(&mut self.doubted) {
            if self.lives[name.0].name() == name {
                self.unsubscribing(name.0, filter);
            }
        }
    }

    /// What is retained now may be among what a subscription has still to be sent; what was retained
    /// before is not any more.
    pub(super) fn offer_to_replays(&mut self, number: Number) {
        if !self.house.goes_piece_by_piece() {
            return;
        }
        let topic = self.messages[number].offer.topic;
        for life in &mut self.lives {
            life.kept_due.retain(|(due, _)| self.messages[*due].offer.topic != topic);
            let message = &mut self.messages[number];
            let wanted = life.filters.iter();
            let wanted = wanted.filter(|(filter, one)| one.replayed && plain_match(filter, topic));
            for (_, subscription) in wanted {
                let permit = message.permit(life);
                permit.kept += 1;
                permit.qos = permit.qos.max(subscription.high);
            }
        }
    }

    /// After a kill a topic may hold something else than what is still to be sent of it.
    pub(super) fn kept_may_be_another(&mut self) {
        if self.house.goes_piece_by_piece() {
            let Oracle { lives, messages, topics, .. } = self;
            let sure = |number: Number| {
                let topic = topics.get(messages[number].offer.topic);
                topic.is_some_and(|topic| topic.candidates() == [Some(number)])
            };
            lives.iter_mut().for_each(|life| life.kept_due.retain(|(number, _)| sure(*number)));
        }
    }
}
