//! Commands: held until the gate has decided, then published or refused.

use std::sync::Arc;

use super::publish::{Publisher, Taken, bus_message, contract_code, reason_of};
use super::settle::Failure;
use super::{Core, Effects, Held};
use crate::broker::acl::Denied;
use crate::broker::intake::Ticket;
use crate::broker::limits::Limit;
use crate::broker::message::Incoming;
use crate::broker::principal::Principal;
use crate::contract;

/// What all commands that wait for the gate may weigh.
const HELD_BYTES: usize = 4 << 20;

impl Core {
    pub(super) fn is_command(&self, topic: &str) -> bool {
        self.setting.root.tail(topic).is_some_and(|tail| tail.starts_with("cmd/"))
    }

    pub(super) fn hold(
        &mut self,
        incoming: &Incoming<'_>,
        (client, from): (&Arc<str>, &Arc<Principal>),
        publisher: Option<Publisher>,
        fx: &mut Effects,
    ) -> Result<Taken, Denied> {
        let bytes: usize = self.held.values().map(|held| held.message.weight()).sum();
        if self.held.len() >= self.setting.limits.held || bytes > HELD_BYTES {
            self.counters.limits.count(Limit::Commands);
            let message = "too many commands wait; send them slower".to_string();
            return Err(Denied { code: "command.busy", message });
        }
        let ticket = self.ticket();
        let message = bus_message(incoming.shared(), incoming.retain, fx.now);
        let response_allowed = match &message.response_topic {
            Some(topic) => self.setting.acl.may_respond(from, topic),
            None => false,
        };
        if !response_allowed && let Some(topic) = &message.response_topic {
            let message = format!("answers may not go to {topic}; they are on reply/ only");
            return Err(Denied { code: "broker.response_topic", message });
        }
        let held = Held { message: incoming.shared().clone(), publisher };
        let beside = self.receipt(publisher);
        self.held.insert(ticket, held);
        fx.hold.push(super::Hold {
            ticket,
            message,
            client: client.clone(),
            from: from.clone(),
            response_allowed,
            beside,
        });
        Ok(Taken::Held(ticket))
    }

    /// The gate decided about a held publish.
    pub(super) fn released(
        &mut self,
        ticket: Ticket,
        verdict: Result<(), contract::Error>,
        fx: &mut Effects,
    ) {
        let Some(held) = self.held.remove(&ticket) else { return };
        match verdict {
            Ok(()) => {
                // Watchers of cmd/# see it; nothing of that has to be safe: the record is.
                let incoming = Incoming::of(&held.message, false);
                self.publish(&incoming, held.publisher.map(|publisher| publisher.session), fx);
                let receipt = held.publisher.and_then(|publisher| {
                    self.store_received(publisher.session, publisher.receipt?, fx)
                });
                match receipt {
                    Some(stored) => self.wait_on(ticket, stored),
                    None => self.settle(ticket, &Ok(()), fx),
                }
            }
            Err(error) => {
                let publisher = held.publisher.map(|publisher| publisher.session);
                if let Some(session) = publisher.and_then(|key| self.sessions.get(key)) {
                    let (client, from) = (session.client.clone(), session.principal.clone());
                    let code = contract_code(&error.code);
                    let denied = Denied { code, message: error.message.clone() };
                    self.tell_denied((&client, &from), &held.message.topic, &denied, fx);
                }
                let reason = reason_of(&error.code);
                let failure = Failure { reason, code: error.code, text: error.message };
                self.settle(ticket, &Err(failure), fx);
            }
        }
    }
}
