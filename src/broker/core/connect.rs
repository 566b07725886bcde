//! CONNECT (§3.1): identity, client id, session, will, and the CONNACK (§3.2).

use std::sync::Arc;

use super::connack::Entered;
use super::connection::State;
use super::{Core, Effects};
use crate::broker::acl;
use crate::broker::identity::{self, Facts, Password, Rules};
use crate::broker::limits::Limit;
use crate::broker::message::Message;
use crate::broker::notice;
use crate::broker::principal::Principal;
use crate::broker::session::{Peer, Session, Will};
use crate::broker::slots::Key;
use crate::broker::wire::{
    self, ConnAck, Connect, Frame, Malformed, Packet, PropertyBuffer, Reason, Version,
};

/// What the client ids of this process begin with: nobody else may use those.
const RESERVED: [&str; 2] = ["maestro:", "bridge:"];
/// Longest client id, bytes: it becomes part of topics and rows.
const LONGEST_CLIENT_ID: usize = 256;

/// Why nobody is let in.
struct Unwelcome {
    reason: Reason,
    code: &'static str,
    text: String,
    limit: Option<Limit>,
}

impl Core {
    /// A CONNECT came. With a password it waits until that is checked.
    pub(super) fn connect(
        &mut self,
        key: Key,
        connect: &Connect<'_>,
        frame: &Frame<'_>,
        fx: &mut Effects,
    ) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.version = connect.version;
        let properties = connect.properties;
        connection.wants_reasons = properties.request_problem_information().unwrap_or(true);
        if let Some(max) = properties.maximum_packet_size() {
            connection.max_packet = usize::try_from(max).unwrap_or(usize::MAX);
        }
        if let Some(text) = connection.surplus {
            let (reason, text) = (Reason::QuotaExceeded, text.to_string());
            let unwelcome = Unwelcome { reason, code: "broker.quota", text, limit: None }; // counted at the door
            return self.refuse_connect(key, connect.client_id, &unwelcome, fx);
        }
        if properties.authentication_method().is_some() {
            let text = "extended authentication is not supported".to_string();
            let reason = Reason::BadAuthenticationMethod;
            let unwelcome =
                Unwelcome { reason, code: "broker.authentication_method", text, limit: None };
            return self.refuse_connect(key, connect.client_id, &unwelcome, fx);
        }
        let Some(password) = connect.password else {
            return self.admit(key, connect, Password::None, fx);
        };
        let username = connect.username.map(str::to_string);
        let source = connection.origin.crowd();
        let mut whole = vec![frame.header];
        whole.extend_from_slice(frame.body); // decoded again when the password is checked
        connection.state = State::Verifying(whole.into());
        let password = password.to_vec();
        fx.verify.push(super::effects::Verify { connection: key, source, username, password });
    }

    /// The password was checked.
    pub(super) fn verified(&mut self, key: Key, password: Password, fx: &mut Effects) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let State::Verifying(whole) = &mut connection.state else { return };
        let whole = std::mem::take(whole);
        connection.state = State::Greeting;
        let Some((&header, body)) = whole.split_first() else { return };
        let frame = Frame { header, body, size: whole.len() };
        match wire::decode_connect(&frame) {
            Ok(connect) => self.admit(key, &connect, password, fx),
            Err(malformed) => self.malformed_greeting(key, malformed, fx),
        }
        // It may have sent more while it waited: the loop looks again.
        if let Some(connection) = self.connections.get_mut(key) {
            super::touch(connection, key, fx);
        }
    }

    fn admit(&mut self, key: Key, connect: &Connect<'_>, password: Password, fx: &mut Effects) {
        match self.welcome(key, connect, password) {
            Ok(principal) => self.open(key, connect, principal, fx),
            Err(unwelcome) => self.refuse_connect(key, connect.client_id, &unwelcome, fx),
        }
    }

    /// Everything that can speak against a client, before anything changes.
    fn welcome(
        &self,
        key: Key,
        connect: &Connect<'_>,
        password: Password,
    ) -> Result<Arc<Principal>, Unwelcome> {
        let no = |reason, code, text: &str| Unwelcome {
            reason,
            code,
            text: text.to_string(),
            limit: None,
        };
        let Some(connection) = self.connections.get(key) else {
            return Err(no(Reason::UnspecifiedError, "broker.gone", "the connection is gone"));
        };
        let origin = &connection.origin;
        let facts = Facts { transport: origin.transport.clone(), password };
        let rules = Rules {
            own_uid: self.setting.own_uid,
            operators: self.setting.operators,
            max_role: origin.max_role,
        };
        let principal = identity::establish(&facts, &rules)
            .map_err(|refusal| no(refusal.reason(), refusal.code(), refusal.message()))?;
        let id = connect.client_id;
        if id.len() > LONGEST_CLIENT_ID || RESERVED.iter().any(|prefix| id.starts_with(prefix)) {
            let text =
                "a client id has at most 256 bytes and does not begin with maestro: or bridge:";
            return Err(no(Reason::ClientIdentifierNotValid, "broker.client_id", text));
        }
        let known = self.clients.get(id).and_then(|&session| self.sessions.get(session));
        if known.is_some_and(|session| session.principal.name != principal.name) {
            let text = "this client id belongs to another principal; choose another";
            return Err(no(Reason::ClientIdentifierNotValid, "broker.client_id_taken", text));
        }
        let kept = self.kept_for(origin);
        if known.is_none() && self.are_enough(kept) {
            let text = "there are as many sessions as broker.limits.max_sessions allows";
            let unwelcome = no(Reason::QuotaExceeded, "broker.quota", text);
            return Err(Unwelcome { limit: Some(Limit::Sessions), ..unwelcome });
        }
        if known.is_none() && self.has_its_share(&principal, kept) {
            let text = "you have as many sessions as broker.limits.max_connections_per_uid allows";
            let unwelcome = no(Reason::QuotaExceeded, "broker.quota", text);
            return Err(Unwelcome { limit: Some(Limit::ConnectionsPerUid), ..unwelcome });
        }
        if let Some(will) = &connect.will {
            let publish =
                acl::Publish { topic: will.topic, retain: will.retain, payload: will.payload };
            self.setting
                .acl
                .may_will(&principal, &publish)
                .map_err(|denied| no(Reason::NotAuthorized, denied.code, &denied.message))?;
        }
        Ok(Arc::new(principal))
    }

    /// Whether clients have as many sessions as they may; the daemon's own are not among them.
    fn are_enough(&self, kept: usize) -> bool {
        let most = self.setting.limits.sessions.saturating_add(kept);
        let of_client = |session: &Session| !session.principal.is_link();
        self.sessions.len() >= most
            && self.sessions.iter().filter(|(_, session)| of_client(session)).count() >= most
    }

    /// Nobody leaves so many sessions behind that there is no room for others.
    fn has_its_share(&self, principal: &Principal, kept: usize) -> bool {
        let share = usize::try_from(self.setting.limits.connections_per_uid).unwrap_or(usize::MAX);
        let share = share.saturating_add(kept);
        let own = |session: &Session| session.principal.name == principal.name;
        self.sessions.len() >= share
            && self.sessions.iter().filter(|(_, session)| own(session)).count() >= share
    }

    fn refuse_connect(&mut self, key: Key, client: &str, unwelcome: &Unwelcome, fx: &mut Effects) {
        let Some(connection) = self.connections.get(key) else { return };
        if let Some(limit) = unwelcome.limit {
            self.counters.limits.count(limit);
        }
        let refused = notice::Refused {
            code: unwelcome.code.to_string(),
            message: unwelcome.text.clone(),
            topic: None,
            principal: connection.origin.to_string(),
            stamp: self.setting.stamper.stamp(),
        };
        let mut properties = PropertyBuffer::new();
        properties.reason_string(&unwelcome.text);
        let properties = properties.as_properties();
        let ack = ConnAck { session_present: false, reason: unwelcome.reason, properties };
        self.send(key, &Packet::ConnAck(ack), fx);
        self.cut(key, fx);
        let client = if client.is_empty() { "-" } else { client };
        self.tell_refused(client, &refused, None, fx);
    }

    /// A first packet that is no CONNECT, or a bad one (§3.1.4): answered only when it says what it is.
    pub(super) fn malformed_greeting(&mut self, key: Key, malformed: Malformed, fx: &mut Effects) {
        // Anything else is not even MQTT, or a lie about it: closed without a word.
        let answered = [
            (Malformed::OlderProtocol, Version::V311),
            (Malformed::NewerProtocol, Version::V5),
            (Malformed::ClientIdentifierEmpty, Version::V311),
        ];
        let version =
            answered.iter().find(|(rule, _)| *rule == malformed).map(|(_, version)| *version);
        if let (Some(version), Some(connection)) = (version, self.connections.get_mut(key)) {
            connection.version = version;
            let reason = malformed.reason();
            let ack = ConnAck { session_present: false, reason, properties: super::NONE };
            self.send(key, &Packet::ConnAck(ack), fx);
        }
        self.counters.refused += 1;
        self.cut(key, fx);
    }

    /// The session begins, or goes on.
    fn open(
        &mut self,
        key: Key,
        connect: &Connect<'_>,
        principal: Arc<Principal>,
        fx: &mut Effects,
    ) {
        let assigned = connect.client_id.is_empty();
        let client: Arc<str> =
            if assigned { self.unused_client_id() } else { connect.client_id.into() };
        let mut stale = None;
        if let Some(&old) = self.clients.get(&client) {
            let told = self.sessions.get(old).is_some_and(|old| old.is_told(connect.clean_start));
            stale = told.then(|| self.promise(fx));
            self.take_over(old, connect.clean_start, fx);
        }
        let stale = stale.or_else(|| self.endings.get(&client).copied());
        let at = match self.clients.get(&client) {
            Some(&session) => Entered { session, present: true, stale },
            None => {
                let session = Session::new(
                    client.clone(),
                    principal.clone(),
                    self.setting.limits.queue,
                    (&self.queued, &self.sent, &self.subscribed),
                );
                let session = self.sessions.insert(session);
                self.clients.insert(client.clone(), session);
                Entered { session, present: false, stale }
            }
        };
        let expiry_s = self.session_expiry(connect);
        let will = will(connect, &principal, &client);
        let window = connect.properties.receive_maximum().unwrap_or(u16::MAX);
        let Some(session) = self.sessions.get_mut(at.session) else { return };
        session.principal = principal;
        session.peer = Peer::Wire(key);
        session.expiry_s = expiry_s;
        session.window = usize::from(window).min(self.setting.limits.in_flight);
        session.will = will;
        session.will_at = None;
        session.ends_at = None;
        if (expiry_s > 0 || session.will.is_some()) && session.row.is_none() {
            session.row = Some(self.next_row);
            self.next_row += 1;
        }
        session.durable |= expiry_s > 0;
        self.store_session(at.session, fx);
        self.acknowledge_connect(key, at, connect, fx);
        self.announce(key, at.session, fx);
        self.pump(at.session, fx);
        self.watch_sys(at.session, fx);
    }

    /// MQTT-3.2.2-16: somebody may have chosen, or kept, what we would give.
    fn unused_client_id(&mut self) -> Arc<str> {
        loop {
            let number = self.ticket();
            let id = format!("auto-{}-{number}", self.setting.stamper.boot());
            if !self.clients.contains_key(&*id) {
                return id.into();
            }
        }
    }

    /// §3.1.2.11.2, and CleanSession of 3.1.1.
    fn session_expiry(&self, connect: &Connect<'_>) -> u32 {
        let asked = match connect.version {
            Version::V311 if connect.clean_start => 0,
            Version::V311 => u32::MAX,
            Version::V5 => connect.properties.session_expiry_interval().unwrap_or(0),
        };
        asked.min(self.setting.limits.session_expiry_s)
    }

    /// Presence of a client that chose its id: retained, in RAM.
    fn announce(&mut self, key: Key, session: Key, fx: &mut Effects) {
        let (Some(connection), Some(session)) =
            (self.connections.get(key), self.sessions.get(session))
        else {
            return;
        };
        if !connection.id_is_chosen {
            return;
        }
        let stamp = self.setting.stamper.stamp();
        let presence = notice::Presence {
            state: notice::Presences::Online,
            principal: session.principal.name.clone(),
            role: session.principal.role,
            listener: connection.origin.listener.to_string(),
            protocol: match connection.version {
                Version::V311 => 4,
                Version::V5 => 5,
            },
            since: stamp.time.clone(),
            stamp,
        };
        let client = session.client.clone();
        self.tell_presence(&client, Some(&presence), fx);
    }
}

/// The will of a CONNECT (§3.1.2.5).
fn will(connect: &Connect<'_>, principal: &Principal, client: &Arc<str>) -> Option<Will> {
    let will = connect.will.as_ref()?;
    let mut properties = PropertyBuffer::new();
    properties.forward(will.properties);
    let message = Message {
        topic: will.topic.into(),
        payload: bytes::Bytes::copy_from_slice(will.payload),
        qos: will.qos,
        properties: properties.as_properties().raw().into(),
        expires: None,
        from: principal.name.as_str().into(),
        client: will.retain.then(|| client.clone()),
        audience: None,
    };
    Some(Will {
        message: Arc::new(message),
        retain: will.retain,
        delay_s: will.properties.will_delay_interval().unwrap_or(0),
        expiry_s: will.properties.message_expiry_interval(),
    })
}
