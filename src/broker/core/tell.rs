//! The broker's own words on the bus: refusals and presence. They go out like any publish; what of them
//! is retained stays in RAM.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Core, Effects, Timer};
use crate::broker::acl::Denied;
use crate::broker::message::{Incoming, Message};
use crate::broker::notice;
use crate::broker::principal::Principal;
use crate::broker::slots::Key;
use crate::bus::Qos;
use crate::storage::Window;

/// The last word of the topic of drops.
const DROPPED: &str = "dropped";
/// Drops are gathered this long before they are told; refusals are counted by it.
const SECOND: Duration = Duration::from_secs(1);

impl Core {
    /// Tells a refusal to its author and to operators, and counts it.
    pub(super) fn tell_denied(
        &mut self,
        (client, from): (&str, &Principal),
        topic: &str,
        denied: &Denied,
        fx: &mut Effects,
    ) {
        let refused = notice::Refused {
            code: denied.code.to_string(),
            message: denied.message.clone(),
            topic: Some(topic.to_string()),
            principal: from.name.clone(),
            stamp: self.setting.stamper.stamp(),
        };
        self.tell_refused(client, &refused, Some(from), fx);
    }

    /// The same for whoever has no session: nobody but operators is told.
    pub(super) fn tell_refused(
        &mut self,
        client: &str,
        refused: &notice::Refused,
        author: Option<&Principal>,
        fx: &mut Effects,
    ) {
        self.counters.refused += 1;
        self.spent += 50;
        if !self.telling.allows(fx.now.at, client, self.setting.limits.told_per_second) {
            return;
        }
        let object = crate::topic::encode(client);
        let topic = self.setting.root.join(&format!("event/broker/{object}/refused"));
        let payload = serde_json::to_vec(refused).unwrap_or_default();
        let mut message = self.own(topic, payload);
        message.audience = author.map(|author| author.name.as_str().into());
        self.fan_out(&Incoming::of(&Arc::new(message), false), None, Window::Background, fx);
    }

    /// Counts what a session did not get; it is told within a second.
    pub(super) fn note_drops(&mut self, key: Key, why: notice::Drop, count: usize, fx: &Effects) {
        self.counters.dropped(why, count);
        if let Some(session) = self.sessions.get_mut(key)
            && session.drops.note(why, count)
        {
            self.due_at(fx.now.at + SECOND, Timer::Dropped(key));
        }
    }

    /// The same for a shared subscription.
    pub(super) fn note_group_drops(
        &mut self,
        key: Key,
        why: notice::Drop,
        count: usize,
        fx: &Effects,
    ) {
        self.counters.dropped(why, count);
        if let Some(group) = self.groups.get_mut(key)
            && group.drops.note(why, count)
        {
            self.due_at(fx.now.at + SECOND, Timer::GroupDropped(key));
        }
    }

    pub(super) fn drops_due(&mut self, key: Key, fx: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let (drops, client, name) =
            (session.drops.take(), session.client.clone(), session.name.clone());
        for (reason, count) in drops {
            self.tell_dropped(&client, Some(&name), (reason, count), fx);
        }
    }

    pub(super) fn group_drops_due(&mut self, key: Key, fx: &mut Effects) {
        let Some(group) = self.groups.get_mut(key) else { return };
        let (drops, filter) = (group.drops.take(), group.filter.clone());
        for (reason, count) in drops {
            self.tell_dropped(&filter, None, (reason, count), fx);
        }
    }

    fn tell_dropped(
        &mut self,
        object: &str,
        principal: Option<&Arc<str>>,
        (reason, count): (notice::Drop, u32),
        fx: &mut Effects,
    ) {
        let dropped = notice::Dropped {
            reason,
            count,
            principal: principal.map(|name| name.to_string()),
            stamp: self.setting.stamper.stamp(),
        };
        let object = crate::topic::encode(object);
        let topic = self.setting.root.join(&format!("event/broker/{object}/{DROPPED}"));
        let payload = serde_json::to_vec(&dropped).unwrap_or_default();
        let mut message = self.own(topic, payload);
        message.audience = principal.cloned();
        self.fan_out(&Incoming::of(&Arc::new(message), false), None, Window::Background, fx);
    }

    /// Whether this is news of drops: that it was dropped itself is not told, or it would never end.
    pub(super) fn is_of_drops(&self, message: &Message) -> bool {
        Arc::ptr_eq(&message.from, &self.own_name) && message.topic.ends_with(DROPPED)
    }

    /// Presence of a client; `None` clears it.
    pub(super) fn tell_presence(
        &mut self,
        client: &str,
        presence: Option<&notice::Presence>,
        fx: &mut Effects,
    ) {
        let object = crate::topic::encode(client);
        let topic = self.setting.root.join(&format!("client/{object}"));
        let payload = match presence {
            Some(presence) => serde_json::to_vec(presence).unwrap_or_default(),
            None if self.retained.has(&topic) => Vec::new(),
            None => return,
        };
        let message = Arc::new(self.own(topic, payload));
        self.retained.keep(message.clone());
        self.fan_out(&Incoming::of(&message, true), None, Window::Background, fx);
    }

    pub(super) fn own(&self, topic: String, payload: Vec<u8>) -> Message {
        Message {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtLeastOnce,
            properties: Box::default(),
            expires: None,
            from: self.own_name.clone(),
            client: None,
            audience: None,
        }
    }
}

/// How often refusals are told on the bus: a flood of them must not become a second flood.
#[derive(Debug, Default)]
pub(super) struct Telling {
    since: Option<Instant>,
    told: HashMap<String, u32>,
}

impl Telling {
    /// Clients whose refusals are told in one second.
    const CLIENTS: usize = 64;

    fn allows(&mut self, now: Instant, client: &str, per_second: u32) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= SECOND) {
            self.since = Some(now);
            self.told.clear();
        }
        if !self.told.contains_key(client) {
            if self.told.len() >= Telling::CLIENTS {
                return false;
            }
            self.told.insert(client.to_string(), 0);
        }
        self.told.get_mut(client).is_some_and(|told| {
            *told += 1;
            *told <= per_second
        })
    }
}
