//! CONNACK (§3.2): what a client is told of its session and of the limits here, and when.

use std::time::Duration;

use super::connection::{Answer, Owed, State};
use super::{Core, Effects, Timer, alias};
use crate::broker::intake::Ticket;
use crate::broker::limits::Limits;
use crate::broker::principal::Principal;
use crate::broker::slots::Key;
use crate::broker::wire::{self, ConnAck, Connect, Packet, PropertyBuffer, Reason, Version};
use crate::contract::Role;

/// The session a connection came to, and whether it had been there.
#[derive(Clone, Copy)]
pub(super) struct Entered {
    pub(super) session: Key,
    pub(super) present: bool,
    /// The disk tells of it, or of another before it, what is not so any more, until this is settled.
    pub(super) stale: Option<Ticket>,
}

impl Core {
    /// The connection is open, and its client told so; what it had released goes on.
    pub(super) fn acknowledge_connect(
        &mut self,
        key: Key,
        at: Entered,
        connect: &Connect<'_>,
        fx: &mut Effects,
    ) {
        let limits = &self.setting.limits;
        let Some(open) = self.sessions.get(at.session) else { return };
        let mut properties = PropertyBuffer::new();
        properties
            .receive_maximum(limits.receive_maximum)
            .maximum_packet_size(u32::try_from(limits.packet_size).unwrap_or(u32::MAX));
        if connect.client_id.is_empty() {
            properties.assigned_client_identifier(&open.client);
        }
        if connect.properties.session_expiry_interval().unwrap_or(0) != open.expiry_s {
            properties.session_expiry_interval(open.expiry_s);
        }
        if limits.topic_alias > 0 {
            properties.topic_alias_maximum(limits.topic_alias);
        }
        let keep_alive_s = keep_alive_s(connect, limits);
        if keep_alive_s != connect.keep_alive_s {
            properties.server_keep_alive(keep_alive_s);
        }
        if connect.properties.request_response_information() == Some(true)
            && let Some(prefix) = self.response_information(&open.principal)
        {
            properties.response_information(&prefix);
        }
        let aliases = connect.properties.topic_alias_maximum().unwrap_or(0).min(limits.topic_alias);
        let released: Vec<_> = open.flight.released().collect();
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.state = State::Open(at.session);
        self.sys.entered();
        connection.id_is_chosen = !connect.client_id.is_empty();
        connection.aliases_out = alias::Outbound::new(aliases);
        let patience = Duration::from_millis(1500) * u32::from(keep_alive_s);
        if !patience.is_zero() {
            connection.patience = Some(patience);
            self.due_at(fx.now.at + patience, Timer::Alive(key));
        }
        let properties = properties.as_properties();
        let ack = ConnAck { session_present: at.present, reason: Reason::Success, properties };
        self.welcome_when_safe(key, at.stale, ack, fx);
        for (seq, packet_id) in released {
            // Written again: that they were released may still be on its way to the disk.
            let ticket = self.store_released(at.session, seq, fx);
            self.owe(key, Owed::success(Answer::PubRel(packet_id), ticket), fx);
        }
    }

    /// CONNACK, when the disk has nothing left that says otherwise.
    fn welcome_when_safe(
        &mut self,
        key: Key,
        stale: Option<Ticket>,
        ack: ConnAck<'_>,
        fx: &mut Effects,
    ) {
        let packet = Packet::ConnAck(ack);
        if stale.is_none() {
            return self.send(key, &packet, fx);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        let (version, max, mut bytes) = (connection.version, connection.max_packet, Vec::new());
        connection.unsayable |= wire::encode_within(version, &packet, max, &mut bytes).is_err();
        self.owe(key, Owed::success(Answer::ConnAck(bytes.into()), stale), fx);
    }

    /// §3.2.2.3.15: below what a client may make its response topics, `maestro/app/<name>/reply/`.
    /// `None` for who has no place of its own; such a client is free outside the root.
    fn response_information(&self, principal: &Principal) -> Option<String> {
        let app = principal.app.as_ref().filter(|_| principal.role >= Role::App)?;
        Some(self.setting.root.join(&format!("app/{}/reply/", crate::topic::encode(app))))
    }
}

/// §3.2.2.3.14. A 3.1.1 client cannot be told another one than it asked for.
fn keep_alive_s(connect: &Connect<'_>, limits: &Limits) -> u16 {
    match (connect.version, limits.keep_alive_s) {
        (Version::V5, Some(max)) if connect.keep_alive_s == 0 => max.get(),
        (Version::V5, Some(max)) => connect.keep_alive_s.min(max.get()),
        (Version::V5, None) | (Version::V311, _) => connect.keep_alive_s,
    }
}
