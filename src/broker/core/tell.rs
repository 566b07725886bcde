//! The broker's own words on the bus: refusals and presence. They go out like any publish; what of them
//! is retained stays in RAM.

use std::sync::Arc;

use super::{Core, Effects};
use crate::broker::acl::Denied;
use crate::broker::message::{Incoming, Message};
use crate::broker::notice;
use crate::broker::principal::Principal;
use crate::bus::Qos;
use crate::storage::Window;

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
            audience: None,
        }
    }
}
