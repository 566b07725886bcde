//! SUBSCRIBE and UNSUBSCRIBE (§3.8 to §3.11).

use super::{Core, Effects};
use crate::broker::acl::Denied;
use crate::broker::session::Options;
use crate::broker::slots::Key;
use crate::broker::tree::Subscriber;
use crate::broker::wire::{
    Packet, Reason, RetainHandling, SubAck, Subscribe, Subscription, Unsubscribe, Version,
};
use crate::topic::Shared;

impl Core {
    /// A client subscribes: one code for each filter, then the retained messages.
    pub(super) fn subscribe(&mut self, key: Key, subscribe: &Subscribe<'_>, fx: &mut Effects) {
        let Some(session) = self.open_session(key) else { return };
        let Some(version) = self.connections.get(key).map(|connection| connection.version) else {
            return;
        };
        let identifier = subscribe.properties.subscription_identifiers().next().unwrap_or(0);
        let mut codes = Vec::new();
        let mut fresh = Vec::new();
        for one in subscribe.subscriptions.iter() {
            let options = Options {
                qos: one.options.qos,
                no_local: one.options.no_local,
                retain_as_published: one.options.retain_as_published,
                identifier,
            };
            let code = match self.add_filter(session, one.filter, options) {
                Ok(new) => {
                    if wants_kept(&one, new) {
                        fresh.push((one.filter, Subscriber { session, options }));
                    }
                    one.options.qos as u8
                }
                Err(denied) => self.filter_denied(session, one.filter, &denied, fx),
            };
            // 3.1.1 knows one refusal only (§3.9.3).
            codes.push(if version == Version::V311 && code > 2 { 0x80 } else { code });
        }
        self.store_session(session, fx);
        let packet_id = subscribe.packet_id;
        let ack = SubAck { packet_id, properties: super::NONE, codes: &codes };
        self.send(key, &Packet::SubAck(ack), fx);
        for (filter, subscriber) in fresh {
            let kept = self.retained.matching(filter, fx.now);
            self.deliver_kept(subscriber, &kept, fx);
        }
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

    /// Adds a filter to a session; true when it is new there.
    pub(super) fn add_filter(
        &mut self,
        key: Key,
        filter: &str,
        options: Options,
    ) -> Result<bool, Denied> {
        let limits = &self.setting.limits;
        let denied = |code, message: &str| Err(Denied { code, message: message.to_string() });
        let Some(session) = self.sessions.get_mut(key) else {
            return denied("broker.gone", "the session is gone");
        };
        let inner = Shared::inner(filter);
        if inner.split('/').count() > limits.levels {
            return denied("topic.invalid", "a filter has at most 128 levels");
        }
        if !self.setting.acl.filter_readable(&session.principal, inner) {
            let role = session.principal.role;
            let message = format!("nothing under {inner} is readable for role {role}");
            return denied("broker.not_authorized", &message);
        }
        if session.filters.len() >= limits.subscriptions && !session.filters.contains_key(filter) {
            let message =
                "there are as many subscriptions as broker.limits.max_subscriptions allows";
            return denied("broker.quota", message);
        }
        let new = session.filters.insert(filter.into(), options).is_none();
        self.tree.insert(filter, Subscriber { session: key, options });
        Ok(new)
    }

    /// Takes a filter off a session; false when it had none such.
    pub(super) fn drop_filter(&mut self, key: Key, filter: &str) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if session.filters.remove(filter).is_none() {
            return false;
        }
        self.tree.remove(filter, key);
        true
    }

    /// A client takes filters back.
    pub(super) fn unsubscribe(
        &mut self,
        key: Key,
        unsubscribe: &Unsubscribe<'_>,
        fx: &mut Effects,
    ) {
        let Some(session) = self.open_session(key) else { return };
        let codes: Vec<u8> = unsubscribe
            .filters
            .iter()
            .map(|filter| match self.drop_filter(session, filter) {
                true => Reason::Success as u8,
                false => Reason::NoSubscriptionExisted as u8,
            })
            .collect();
        self.store_session(session, fx);
        let packet_id = unsubscribe.packet_id;
        let ack = SubAck { packet_id, properties: super::NONE, codes: &codes };
        self.send(key, &Packet::UnsubAck(ack), fx);
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
