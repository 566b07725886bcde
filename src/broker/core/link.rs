//! The links of this process: sessions like any other, without a wire.

use std::cell::OnceCell;
use std::sync::Arc;

use super::publish::{Publisher, Taken};
use super::{Core, Effects, Waiter};
use crate::broker::flight::Flight;
use crate::broker::intake::{LinkId, Reply};
use crate::broker::message::Incoming;
use crate::broker::principal::Principal;
use crate::broker::session::{Options, Peer, Session};
use crate::broker::tree::Subscriber;
use crate::broker::wire::PropertyBuffer;
use crate::bus::{Message, Qos, Refused};
use crate::topic;

/// Messages a link has not acknowledged; the rest waits in its session.
const WINDOW: usize = 128;

/// The same for a bridge: it bounds, ages and counts what waits for its cloud itself, and of a state
/// keeps the latest only, so all of it is to be in its hands.
const BRIDGE_WINDOW: usize = u16::MAX as usize;

impl Core {
    /// A link begins; an earlier one of the same principal ends.
    pub(crate) fn attach(&mut self, link: LinkId, principal: Principal, fx: &mut Effects) {
        let client: Arc<str> = principal.name.as_str().into();
        let principal = Arc::new(principal);
        // A session of anyone else under this name must not become the link's, nor the reverse.
        if let Some(&key) = self.clients.get(&client)
            && self.sessions.get(key).is_some_and(|other| other.principal.name != principal.name)
        {
            self.take_over(key, true, fx);
        }
        let key = match self.clients.get(&client) {
            Some(&key) => {
                self.links.retain(|_, session| *session != key);
                key
            }
            None => {
                let bounds = self.setting.limits.queue;
                let mut session = Session::new(
                    client.clone(),
                    principal.clone(),
                    bounds,
                    (&self.queued, &self.sent, &self.subscribed),
                );
                session.flight = Flight::default(); // its owner's to bound
                let key = self.sessions.insert(session);
                self.clients.insert(client, key);
                key
            }
        };
        self.links.insert(link, key);
        self.land(key, fx);
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.principal = principal;
        session.peer = Peer::Link;
        let over_bridge = session.principal.bridge.is_some();
        session.window = if over_bridge { BRIDGE_WINDOW } else { WINDOW };
        // The new owner says itself what it wants.
        let filters: Vec<Box<str>> =
            session.filters.iter().map(|(filter, _)| filter.into()).collect();
        for filter in filters {
            self.drop_filter(key, &filter, fx);
        }
        self.pump(key, fx);
    }

    /// A link's owner is gone. A session with nothing in it goes too.
    pub(super) fn detach(&mut self, link: LinkId, fx: &mut Effects) {
        let Some(key) = self.links.remove(&link) else { return };
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.peer = Peer::Away;
        self.land(key, fx);
        let Some(session) = self.sessions.get(key) else { return };
        if session.queue.is_empty() && session.filters.is_empty() {
            self.finish(key, fx);
        }
    }

    pub(super) fn link_publish(
        &mut self,
        link: LinkId,
        message: &Message,
        reply: Option<Reply>,
        fx: &mut Effects,
    ) {
        let result = self.link_take(link, message, fx);
        let Some(reply) = reply else { return };
        match result {
            Ok(Taken::Safe) => fx.answers.push((reply, Ok(()))),
            Ok(Taken::When(ticket) | Taken::Held(ticket)) => {
                self.waiting.entry(ticket).or_default().push(Waiter::Link(reply));
            }
            Err(refused) => fx.answers.push((reply, Err(refused))),
        }
    }

    fn link_take(
        &mut self,
        link: LinkId,
        message: &Message,
        fx: &mut Effects,
    ) -> Result<Taken, Refused> {
        let refused = |code, message: &str| Refused { code, message: message.to_string() };
        let session = self.links.get(&link).copied();
        let Some((key, session)) = session.and_then(|key| Some((key, self.sessions.get(key)?)))
        else {
            return Err(refused("broker.gone", "this link was taken over by another"));
        };
        if !topic::is_name(&message.topic) {
            return Err(refused("topic.invalid", "that is not a topic name"));
        }
        let (client, from, name) =
            (session.client.clone(), session.principal.clone(), session.name.clone());
        let mut properties = PropertyBuffer::new();
        encode_properties(message, &mut properties);
        let audience: Option<Arc<str>> = match &message.audience {
            Some(audience) if from.is_daemon() => Some(audience.as_str().into()),
            Some(_) | None => None,
        };
        let incoming = Incoming {
            topic: &message.topic,
            payload: &message.payload,
            qos: message.qos,
            retain: message.retain,
            properties: properties.as_properties().raw(),
            expires: message.expiry_s.map(|s| fx.now.at + std::time::Duration::from_secs(s.into())),
            from: &name,
            client: None,
            audience: audience.as_ref(),
            will: false,
            noted: false,
            shared: OnceCell::new(),
        };
        self.counters.published += 1;
        let publisher = Publisher { session: key, receipt: None };
        self.take(&incoming, (&client, &from), Some(publisher), fx).map_err(|denied| {
            self.tell_denied((&client, &from), &message.topic, &denied, fx);
            Refused { code: denied.code, message: denied.message }
        })
    }

    pub(super) fn link_subscribe(
        &mut self,
        link: LinkId,
        filter: &str,
        qos: Qos,
        fx: &mut Effects,
    ) -> Result<(), Refused> {
        let Some(&key) = self.links.get(&link) else {
            let message = "this link was taken over by another".to_string();
            return Err(Refused { code: "broker.gone", message });
        };
        if !topic::is_filter(filter) {
            let message = format!("{filter} is not a topic filter");
            return Err(Refused { code: "topic.invalid", message });
        }
        let options = Options { qos, ..Options::default() };
        self.add_filter(key, filter, options, fx)
            .map_err(|denied| Refused { code: denied.code, message: denied.message })?;
        let subscriber = Subscriber { session: key, options };
        self.replay(subscriber, filter, fx);
        self.tell_sys(subscriber, filter, fx);
        self.pump(key, fx);
        self.watch_sys(key, fx);
        Ok(())
    }

    pub(super) fn link_unsubscribe(&mut self, link: LinkId, filter: &str, fx: &mut Effects) {
        if let Some(&key) = self.links.get(&link) {
            self.drop_filter(key, filter, fx);
        }
    }

    pub(super) fn link_acknowledge(&mut self, link: LinkId, token: u64, fx: &mut Effects) {
        let Some(&key) = self.links.get(&link) else { return };
        let Some(session) = self.sessions.get_mut(key) else { return };
        if let Some(waiting) = session.flight.forget(token) {
            self.done(key, token, Some(waiting), fx);
        }
    }
}

fn encode_properties(message: &Message, properties: &mut PropertyBuffer) {
    if let Some(content_type) = &message.content_type {
        properties.content_type(content_type);
    }
    if let Some(response_topic) = &message.response_topic {
        properties.response_topic(response_topic);
    }
    if let Some(correlation_data) = &message.correlation_data {
        properties.correlation_data(correlation_data);
    }
    for (name, value) in &message.user {
        properties.user_property(name, value);
    }
}
