//! SUBSCRIBE and UNSUBSCRIBE (§3.8 to §3.11).

use super::connection::{Answer, Filters, Owed, Undo};
use super::{Core, Effects};
use crate::broker::acl::Denied;
use crate::broker::filters;
use crate::broker::intake::Ticket;
use crate::broker::limits::Limit;
use crate::broker::session::Options;
use crate::broker::slots::Key;
use crate::broker::tree::Subscriber;
use crate::broker::wire::{Reason, RetainHandling, Subscribe, Subscription, Unsubscribe, Version};
use crate::topic::Shared;

impl Core {
    /// A client subscribes: one code for each filter, then the retained messages.
    pub(super) fn subscribe(&mut self, key: Key, subscribe: &Subscribe<'_>, fx: &mut Effects) {
        let Some(session) = self.open_session(key) else { return };
        let Some(version) = self.connections.get(key).map(|connection| connection.version) else {
            return;
        };
        let identifier = subscribe.properties.subscription_identifiers().next().unwrap_or(0);
        let (mut codes, mut undo, mut fresh) = (Vec::new(), Vec::new(), Vec::new());
        let mut why = None;
        for one in subscribe.subscriptions.iter() {
            let options = Options {
                qos: one.options.qos,
                no_local: one.options.no_local,
                retain_as_published: one.options.retain_as_published,
                identifier,
            };
            let code = match self.add_filter(session, one.filter, options, fx) {
                Ok(before) => {
                    if wants_kept(&one, before.is_none()) {
                        fresh.push((one.filter, Subscriber { session, options }));
                    }
                    undo.push(Undo { filter: one.filter.into(), before, group: None });
                    one.options.qos as u8
                }
                Err(denied) => {
                    let code = self.filter_denied(session, one.filter, &denied, fx);
                    why.get_or_insert(denied.message); // the first one's
                    code
                }
            };
            // 3.1.1 knows one refusal only (§3.9.3).
            codes.push(if version == Version::V311 && code > 2 { 0x80 } else { code });
        }
        let ticket = self.store_filters(session, fx);
        let filters = Filters { packet_id: subscribe.packet_id, codes, undo };
        let owed = Owed::success(Answer::SubAck(Box::new(filters)), ticket);
        self.owe(key, Owed { text: why.unwrap_or_default(), ..owed }, fx);
        for (filter, subscriber) in fresh {
            self.replay(subscriber, filter, fx);
            self.tell_sys(subscriber, filter, fx);
        }
        self.pump(session, fx); // a shared subscription may have something for it
        self.watch_sys(session, fx);
    }

    /// The filters of a durable session are safe when this ticket is settled.
    fn store_filters(&mut self, key: Key, fx: &mut Effects) -> Option<Ticket> {
        self.sessions.get(key)?.durable_row()?;
        self.store_session(key, fx);
        Some(self.promise(fx))
    }

    fn filter_denied(
        &mut self,
        session: Key,
        filter: &str,
        denied: &Denied,
        fx: &mut Effects,
    ) -> u8 {
        if let Some(session) = self.sessions.get(session) {
            let (client, from) = (session.client.clone(), session.principal.clone());
            self.tell_denied((&client, &from), filter, denied, fx);
        }
        match denied.code {
            "topic.invalid" => Reason::TopicFilterInvalid as u8,
            "broker.quota" => Reason::QuotaExceeded as u8,
            _ => Reason::NotAuthorized as u8,
        }
    }

    /// Adds a filter to a session; gives what it was there before.
    pub(super) fn add_filter(
        &mut self,
        key: Key,
        filter: &str,
        options: Options,
        fx: &mut Effects,
    ) -> Result<Option<Options>, Denied> {
        let limits = &self.setting.limits;
        let denied = |code, message: &str| Err(Denied { code, message: message.to_string() });
        let Some(session) = self.sessions.get_mut(key) else {
            return denied("broker.gone", "the session is gone");
        };
        let inner = Shared::inner(filter);
        if inner.split('/').count() > limits.levels {
            self.counters.limits.count(Limit::TopicLevels);
            let message = "the filter has more levels than broker.limits.max_topic_levels allows";
            return denied("topic.invalid", message);
        }
        if !self.setting.acl.filter_readable(&session.principal, inner) {
            let role = session.principal.role;
            let message = format!("nothing under {inner} is readable for role {role}");
            return denied("broker.not_authorized", &message);
        }
        if session.filters.len() >= limits.subscriptions && !session.filters.has(filter) {
            self.counters.limits.count(Limit::Subscriptions);
            let message =
                "there are as many subscriptions as broker.limits.max_subscriptions allows";
            return denied("broker.quota", message);
        }
        if !self.may_subscribe_to_more(key, filter) {
            self.counters.limits.count(Limit::SubscriptionsSize);
            let message = "the filters of all clients, or a quarter of that for your own, take up as much as \
                           broker.limits.max_subscriptions_size allows";
            return denied("broker.quota", message);
        }
        let Some(session) = self.sessions.get_mut(key) else {
            return denied("broker.gone", "the session is gone");
        };
        let before = session.filters.insert(filter, options);
        self.replays.change(key, filter, Some(options));
        self.place_filter(filter, Subscriber { session: key, options }, fx);
        Ok(before)
    }

    /// Whether there is room for one more filter, of all clients and in the quarter that one principal may
    /// have of it. The daemon's own links are bounded by themselves.
    fn may_subscribe_to_more(&self, key: Key, filter: &str) -> bool {
        let Some(session) = self.sessions.get(key) else { return false };
        if session.principal.is_link() || session.filters.has(filter) {
            return true;
        }
        let (more, most) = (filters::weight(filter), self.setting.limits.subscriptions_size);
        let own = || -> usize {
            let name = &session.principal.name;
            let own = self.sessions.iter().filter(|(_, other)| other.principal.name == *name);
            own.map(|(_, other)| other.filters.bytes()).sum()
        };
        let all = self.subscribed.bytes() + more;
        all <= most / 4 || all <= most && own() + more <= most / 4
    }

    /// Takes a filter off a session; gives how to take that back.
    pub(super) fn drop_filter(&mut self, key: Key, filter: &str, fx: &mut Effects) -> Option<Undo> {
        let before = Some(self.sessions.get_mut(key)?.filters.remove(filter)?);
        self.replays.change(key, filter, None);
        let group = self.displace_filter(filter, key, fx).map(Box::new);
        Some(Undo { filter: filter.into(), before, group })
    }

    /// A client takes filters back.
    pub(super) fn unsubscribe(
        &mut self,
        key: Key,
        unsubscribe: &Unsubscribe<'_>,
        fx: &mut Effects,
    ) {
        let Some(session) = self.open_session(key) else { return };
        let (mut codes, mut undo) = (Vec::new(), Vec::new());
        for filter in unsubscribe.filters.iter() {
            let dropped = self.drop_filter(session, filter, fx);
            codes.push(match dropped {
                Some(_) => Reason::Success as u8,
                None => Reason::NoSubscriptionExisted as u8,
            });
            undo.extend(dropped);
        }
        // Also of a filter that is not there: what a disk in trouble refused, it may have all the same.
        let ticket = self.store_filters(session, fx);
        let filters = Filters { packet_id: unsubscribe.packet_id, codes, undo };
        self.owe(key, Owed::success(Answer::UnsubAck(Box::new(filters)), ticket), fx);
    }
}

/// §3.8.3.1: not for shared subscriptions, and as the client asked.
fn wants_kept(one: &Subscription<'_>, new: bool) -> bool {
    !one.filter.starts_with("$share/")
        && match one.options.retain_handling {
            RetainHandling::Send => true,
            RetainHandling::SendIfNew => new,
            RetainHandling::DoNotSend => false,
        }
}
