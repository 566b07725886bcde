//! What was promised, written down from what clients send and get, and compared with what comes. Knows
//! nothing of the broker.
//!
//! ```text
//!   SUBACK read, PUBLISH sent, acknowledged ──> must reach that session (QoS 1: once or more, QoS 2: once)
//!   anything less certain                   ──> may reach it
//!   everything else                         ──> must not
//! ```
//!
//! | file | writes down |
//! |---|---|
//! | `session` | which sessions live, certainly or perhaps, and what they asked for |
//! | `message` | each message, and to whom it may, must, and did go |
//! | `retained` | what each topic may hold |
//! | `will` | which wills fire, and when |

mod message;
mod retained;
mod session;
mod will;

use std::collections::BTreeMap;

pub(super) use message::{Arrival, Offer};
use message::{Fate, Sent};
use retained::Topic;
pub(super) use session::{Ending, Parting, Pending, Wish};
use session::{Life, Name};
use will::Legacy;

use super::script::{House, Keep};
use crate::broker::wire::Qos;
use crate::topic::{Shared, matches};

/// The number of a message: its payload.
pub(super) type Number = usize;

/// Everything that was promised.
pub(super) struct Oracle {
    now: u64,
    messages: Vec<Sent>,
    lives: Vec<Life>,
    topics: BTreeMap<&'static str, Topic>,
    wills: Vec<Legacy>,
    /// When the broker last came up.
    up_since: u64,
    /// Since when the disk perhaps takes nothing: what happens from then on is not on it.
    trouble: Option<u64>,
    /// Crashes and troubles so far: what was on its way then may count twice.
    doubts: u32,
    /// A session that was said to be gone may be a member of a group again.
    haunted: bool,
    house: House,
    /// Filters that an UNSUBSCRIBE was to take away which a disk in trouble refused: a kill may show
    /// that it has it all the same.
    doubted: Vec<(Name, &'static str)>,
    /// The first promise that was broken.
    broken: Option<String>,
}

impl Oracle {
    pub(super) fn new(clients: usize, house: House) -> Oracle {
        Oracle {
            now: 0,
            messages: Vec::new(),
            lives: (0..clients).map(Life::new).collect(),
            topics: BTreeMap::new(),
            wills: Vec::new(),
            up_since: 0,
            trouble: None,
            doubts: 0,
            haunted: false,
            house,
            doubted: Vec::new(),
            broken: None,
        }
    }

    /// The first broken promise, if there is one.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// A promise is broken.
    pub(super) fn breaks(&mut self, what: impl Into<String>) {
        let (now, what) = (self.now, what.into());
        self.broken.get_or_insert_with(|| format!("at {now} ms: {what}"));
    }

    /// Time passed: sessions and wills come to their end.
    pub(super) fn advance(&mut self, now: u64) {
        self.now = now;
        for client in 0..self.lives.len() {
            if self.lives[client].may_have_expired(now) && !self.lives[client].may_be_gone {
                self.lives[client].may_be_gone = true;
                self.let_go(client);
            }
        }
        self.wills_due();
    }

    /// A message goes to the broker for the first time.
    pub(super) fn publishing(&mut self, client: usize, offer: Offer) -> Number {
        let number = self.messages.len();
        let by = Some(self.lives[client].name());
        let doubts = if self.trouble.is_some() { 0 } else { self.doubts };
        let mut message = Sent::new(offer, by, self.now);
        message.doubts = doubts;
        message.troubled = self.trouble.is_some();
        self.messages.push(message);
        self.keep(number);
        self.offer(number, true);
        number
    }

    /// The same message again, after a reconnect.
    pub(super) fn publishing_again(&mut self, number: Number) {
        let doubt = self.doubts;
        self.messages[number].again(self.now, doubt);
        self.keep(number);
        self.offer(number, false);
    }

    /// A topic may hold it.
    fn keep(&mut self, number: Number) {
        let Offer { topic, keep, .. } = self.messages[number].offer;
        if keep != Keep::Not {
            let kept = (keep == Keep::Retain).then_some(number);
            self.topics.entry(topic).or_default().publishing(number, kept, self.now);
            self.offer_to_replays(number);
        }
    }

    /// The broker has certainly looked at it. What waits for the disk may still be refused.
    pub(super) fn taken(&mut self, number: Number) {
        let offer = self.messages[number].offer;
        if offer.keep != Keep::Not && offer.qos == Qos::AtMostOnce {
            self.topics.entry(offer.topic).or_default().taken();
        }
    }

    /// PUBACK or PUBREC with success.
    pub(super) fn acknowledged(&mut self, number: Number) {
        let message = &mut self.messages[number];
        message.fate = Fate::Acknowledged;
        let offer = message.offer;
        if offer.keep != Keep::Not {
            self.topics.entry(offer.topic).or_default().safe(number, offer.qos);
        }
    }

    /// PUBACK or PUBREC with an error.
    pub(super) fn refused(&mut self, number: Number) {
        self.messages[number].fate = Fate::Refused;
        let offer = self.messages[number].offer;
        if offer.keep != Keep::Not {
            self.topics.entry(offer.topic).or_default().refused(number);
        }
    }

    /// Notes who may, and who must, get a message now. `first` is the first time it is sent.
    fn offer(&mut self, number: Number, first: bool) {
        for client in 0..self.lives.len() {
            let message = &mut self.messages[number];
            let life = &self.lives[client];
            let own = message.by == Some(life.name());
            let wanted = life.wanted(message.offer.topic, own);
            let Some(wish) = wanted else { continue };
            let must = first && wish.held && !life.may_be_gone && wish.low > Qos::AtMostOnce;
            // Sent again before it was acknowledged: a kill may have left of it only what is sent now,
            // and with QoS 0 nothing is promised (MQTT-4.3.1).
            let weak = !first && message.fate != Fate::Acknowledged && wish.low == Qos::AtMostOnce;
            let permit = message.permit(life);
            permit.live = true;
            permit.must = (permit.must || must) && !weak;
            permit.first |= first;
            permit.qos = permit.qos.max(wish.high);
        }
        self.offer_to_groups(number, first);
    }

    /// The same for shared subscriptions: one of their members.
    fn offer_to_groups(&mut self, number: Number, first: bool) {
        let message = &mut self.messages[number];
        let offer = message.offer;
        for life in &self.lives {
            for (filter, subscription) in life.groups_of(offer.topic) {
                let permit = message.permit(life);
                permit.live = true;
                permit.qos = permit.qos.max(subscription.high);
                let share = message.share(filter);
                share.join(life.name(), subscription.low.min(offer.qos));
                if first && subscription.held && !life.may_be_gone {
                    share.must = true;
                    share.stay.push(life.name());
                }
            }
        }
    }

    /// The broker gave a PUBLISH to the client's socket, which it may have made ready at `since`.
    pub(super) fn transmitted(&mut self, client: usize, arrival: &Arrival, since: u64) {
        let Some(message) = self.messages.get_mut(arrival.number) else {
            return self.breaks(format!("client {client} gets {arrival:?}, which nobody sent"));
        };
        let life = &self.lives[client];
        let wrong = message.transmitted(life, arrival, since).err();
        let of_group = message.offer.topic.starts_with(['s', 't']);
        if let Some(what) = wrong.filter(|_| !(life.is_ghost() || of_group && self.haunted)) {
            let offer = message.offer;
            self.breaks(format!("client {client} gets {arrival:?} ({offer:?}): {what}"));
        }
    }

    /// The broker is in the process of sending a message (MQTT-4.8.2-4): with QoS 2 it is nobody else's
    /// from now on, though its client's session ends (MQTT-4.8.2-5).
    pub(super) fn sending(&mut self, client: usize, number: Number) {
        if let Some(message) = self.messages.get_mut(number) {
            message.permit(&self.lives[client]).begun = true;
        }
    }

    /// The client's application has a message.
    pub(super) fn arrived(&mut self, client: usize, arrival: &Arrival) {
        let life = &mut self.lives[client];
        life.kept_came(arrival);
        let Some(message) = self.messages.get_mut(arrival.number) else { return };
        let (offer, by) = (message.offer, message.by.filter(|_| message.ordered));
        let (sends, whole) = (message.sends, !message.expired(self.now));
        // The disk may have refused it, and have it all the same.
        let refused = message.fate == Fate::Refused;
        // What was sent first may be lost, and what is sent again come after what followed it.
        let lossy = message.troubled || self.house.is_small();
        let permit = message.permit(life);
        permit.got += 1;
        permit.once += u32::from(arrival.qos == Qos::ExactlyOnce);
        // Order is promised per topic and quality, for what is sent the first time.
        let certain = permit.first && permit.got == 1 && permit.kept == 0 && !refused;
        let (ordered, once) =
            (certain && (permit.must && whole && !lossy || sends == 1), permit.once);
        let ghost = life.is_ghost() || self.haunted && offer.topic.starts_with(['s', 't']);
        if let Some(by) = by.filter(|_| ordered) {
            let place = (by, offer.topic, offer.qos as u8, arrival.qos as u8);
            let last = life.order.insert(place, arrival.number);
            if let Some(last) = last.filter(|&last| last > arrival.number && !ghost) {
                return self.breaks(format!("client {client} has {arrival:?} after {last}"));
            }
        }
        if arrival.qos == Qos::ExactlyOnce {
            if !ghost && once > message.bound(life.name(), Qos::ExactlyOnce) {
                return self.breaks(format!("client {client} has {arrival:?} {once} times"));
            }
            self.check_groups(arrival.number);
        }
    }

    /// PUBREL came for a message. A disk in trouble has not taken that step: PUBREL goes out all the same
    /// (design §6: the daemon runs on from RAM), and a kill before the disk is well sends it again.
    pub(super) fn released(&mut self, client: usize, number: Number) {
        if self.trouble.is_some()
            && let Some(message) = self.messages.get_mut(number)
        {
            message.permit(&self.lives[client]).in_ram += 1;
        }
    }

    /// Exactly one member has a message of QoS 2.
    fn check_groups(&mut self, number: Number) {
        let message = &self.messages[number];
        if message.offer.qos < Qos::ExactlyOnce || self.haunted || message.astray {
            return;
        }
        let twice = message.shares.iter().find(|share| message.had_by(share).1 > 1);
        if let Some(share) = twice.filter(|share| !share.broken_up) {
            let what = format!("{number} reached several members of {}", share.filter);
            self.breaks(what);
        }
    }

    /// What `client` was promised in its session is promised no more.
    fn let_go(&mut self, client: usize) {
        let life = &mut self.lives[client];
        life.kept_due.clear();
        for message in &mut self.messages {
            message.let_go(life.name());
            message.leave(life.name(), None);
        }
    }

    /// The power went. `now` is when it is back.
    pub(super) fn crashed(&mut self, down_ms: u64) {
        self.doubts += 1;
        let here = self.lives.iter().filter(|life| life.left.is_none()).map(Life::name);
        let here: Vec<_> = here.collect();
        self.messages.iter_mut().for_each(|message| message.crashed(&here));
        let went = self.now;
        let known = self.trouble.unwrap_or(went);
        for topic in self.topics.values_mut() {
            topic.crashed(known);
        }
        self.kept_may_be_another();
        if self.trouble.is_some() {
            self.part_with_doubted();
        }
        for client in 0..self.lives.len() {
            self.connection_ended(client, Ending::Crash);
            self.lives[client].crashed(went, known);
            if self.lives[client].is_ghost() {
                self.haunted = true;
                self.let_go(client);
            }
        }
        self.now = went + down_ms;
        self.up_since = self.now;
        self.wills_crashed(went, known);
        self.trouble = None;
    }

    /// Stopped in order: nothing is lost; the wills of those who were there are owed by the next.
    pub(super) fn restarted(&mut self) {
        for client in 0..self.lives.len() {
            self.connection_ended(client, Ending::Crash);
            self.lives[client].losses += 1; // what waits may carry DUP
        }
        self.messages.iter_mut().for_each(Sent::forgotten_at_once);
        self.up_since = self.now;
        self.wills_crashed(self.now, self.now);
    }

    /// The disk takes nothing from now on, or everything again: what it did not take, too (design §6:
    /// it is kept in RAM until the disk takes it).
    pub(super) fn trouble(&mut self, begins: bool) {
        self.doubts += u32::from(begins);
        self.trouble = begins.then(|| self.trouble.unwrap_or(self.now));
        if begins {
            let waits = |message: &&mut Sent| message.fate == Fate::Unknown;
            self.messages.iter_mut().filter(waits).for_each(|message| message.troubled = true);
        } else {
            self.messages.iter_mut().for_each(|message| message.on_disk());
            self.lives.iter_mut().for_each(Life::on_disk);
            self.doubted.clear();
        }
    }

    /// Everything is read and answered: what was promised and has not come is lost.
    pub(super) fn settle(&mut self) {
        let now = self.now;
        for (number, message) in self.messages.iter().enumerate() {
            if let Some(what) = message.lost(now, self.haunted, self.house.is_small()) {
                let what = format!("{number} ({:?}) is lost: {what}", message.offer);
                return self.breaks(what);
            }
        }
        for client in 0..self.lives.len() {
            let due = self.lives[client].kept_due.first().copied();
            if let Some((number, filter)) = due
                && !self.house.is_small()
                && !self.messages[number].expired(now)
            {
                let what = format!("client {client} subscribed to {filter} and never got {number}");
                return self.breaks(what);
            }
        }
    }

    /// What someone new found retained, topic by topic.
    pub(super) fn audit(&mut self, found: &BTreeMap<String, Number>) {
        let now = self.now;
        let messages = &self.messages;
        let expired = |number: Number| messages[number].expired(now);
        let wrong = self.topics.iter_mut().find_map(|(topic, kept)| {
            let here = found.get(*topic).copied();
            let wrong = kept.observed(here, expired).err()?;
            Some(format!("{topic} holds {here:?}, which is not among {wrong:?}"))
        });
        if let Some(wrong) = wrong {
            self.breaks(wrong);
        }
    }
}

/// Whether a filter that is not shared matches.
fn plain_match(filter: &str, topic: &str) -> bool {
    Shared::parse(filter).is_none() && matches(filter, topic)
}
