//! One message inside the broker: shared by everyone who gets it, stored in the same form.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message as _;

use super::wire::Properties;
use crate::bus::Qos;

/// The moment of a decision: one clock for waiting, one for the calendar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) at: Instant,
    pub(crate) wall: SystemTime,
}

impl Now {
    /// Milliseconds since 1970, for what must outlive this boot.
    pub(crate) fn wall_ms(self) -> u64 {
        let since = self.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A published message. What of it travels, travels unchanged.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    /// The quality it was published with; nobody gets more.
    pub(crate) qos: Qos,
    /// The PUBLISH properties a receiver must get unaltered (§3.3.2.3), encoded.
    pub(crate) properties: Box<[u8]>,
    /// Nobody gets it after this.
    pub(crate) expires: Option<Instant>,
    /// The name of the principal that published it.
    pub(crate) from: Arc<str>,
    /// The client that published it, if it was to be kept: what has no-local does not get it later either.
    pub(crate) client: Option<Arc<str>>,
    /// A principal that may read it whatever its role says.
    pub(crate) audience: Option<Arc<str>>,
}

impl Message {
    /// What it weighs in a queue, bytes.
    pub(crate) fn weight(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len() + 64
    }

    /// Seconds it has left, to be sent along; `None` when it never expires.
    pub(crate) fn expiry_s(&self, now: Now) -> Option<u32> {
        Some(left_s(self.expires?, now))
    }

    pub(crate) fn expired(&self, now: Now) -> bool {
        self.expires.is_some_and(|expires| expires <= now.at)
    }

    /// The form on disk. A deadline is stored by the calendar: the box may be off meanwhile.
    pub(crate) fn encode(&self, now: Now) -> Vec<u8> {
        Stored {
            topic: self.topic.to_string(),
            payload: self.payload.clone(),
            qos: self.qos as u32,
            properties: self.properties.to_vec(),
            expires_ms: self.expires.map(|expires| {
                let left = expires.saturating_duration_since(now.at);
                now.wall_ms() + u64::try_from(left.as_millis()).unwrap_or(u64::MAX / 2)
            }),
            from: self.from.to_string(),
            audience: self.audience.as_deref().map(str::to_string),
            client: self.client.as_deref().map(str::to_string),
        }
        .encode_to_vec()
    }

    /// The reverse of [`Message::encode`]; `None` when the bytes are not a message.
    pub(crate) fn decode(bytes: &[u8], now: Now) -> Option<Message> {
        let stored = Stored::decode(bytes).ok()?;
        let expires = stored
            .expires_ms
            .map(|at_ms| now.at + Duration::from_millis(at_ms.saturating_sub(now.wall_ms())));
        Some(Message {
            topic: stored.topic.into(),
            payload: stored.payload,
            qos: qos(stored.qos)?,
            properties: stored.properties.into(),
            expires,
            from: stored.from.into(),
            client: stored.client.map(Into::into),
            audience: stored.audience.map(Into::into),
        })
    }
}

#[cfg(test)]
impl Message {
    /// One like any other, for tests: QoS 1, for ever, from nobody in particular.
    pub(crate) fn any(topic: &str, payload: impl Into<Bytes>) -> Message {
        Message {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtLeastOnce,
            properties: Box::default(),
            expires: None,
            from: "test".into(),
            client: None,
            audience: None,
        }
    }
}

/// The quality of a number.
pub(crate) fn qos(number: u32) -> Option<Qos> {
    match number {
        0 => Some(Qos::AtMostOnce),
        1 => Some(Qos::AtLeastOnce),
        2 => Some(Qos::ExactlyOnce),
        _ => None,
    }
}

/// The row of a message. Field numbers are on disk: never reuse one.
#[derive(Clone, PartialEq, prost::Message)]
struct Stored {
    #[prost(string, tag = "1")]
    topic: String,
    #[prost(bytes = "bytes", tag = "2")]
    payload: Bytes,
    #[prost(uint32, tag = "3")]
    qos: u32,
    #[prost(bytes = "vec", tag = "4")]
    properties: Vec<u8>,
    #[prost(uint64, optional, tag = "5")]
    expires_ms: Option<u64>,
    #[prost(string, tag = "6")]
    from: String,
    #[prost(string, optional, tag = "7")]
    audience: Option<String>,
    #[prost(string, optional, tag = "8")]
    client: Option<String>,
}

/// A message on its way in. Its bytes still lie in a read buffer; they are copied once, and only when
/// somebody has to keep them.
#[derive(Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
    /// The properties to pass on, encoded.
    pub(crate) properties: &'a [u8],
    pub(crate) expires: Option<Instant>,
    pub(crate) from: &'a Arc<str>,
    /// The client that publishes it, if it is to be kept.
    pub(crate) client: Option<&'a Arc<str>>,
    pub(crate) audience: Option<&'a Arc<str>>,
    /// It is a will: whoever would remember it after a crash gets it when it is on disk that it was
    /// published, or it would come a second time.
    pub(crate) will: bool,
    /// Its packet identifier goes to disk: with QoS 2 nobody gets it before, or it would come to them a
    /// second time when that fails and its publisher sends it again.
    pub(crate) noted: bool,
    pub(crate) shared: OnceCell<Arc<Message>>,
}

impl<'a> Incoming<'a> {
    /// A message that is already shared.
    pub(crate) fn of(message: &'a Arc<Message>, retain: bool) -> Incoming<'a> {
        Incoming {
            topic: &message.topic,
            payload: &message.payload,
            qos: message.qos,
            retain,
            properties: &message.properties,
            expires: message.expires,
            from: &message.from,
            client: message.client.as_ref(),
            audience: message.audience.as_ref(),
            will: false,
            noted: false,
            shared: OnceCell::from(message.clone()),
        }
    }

    /// The copy to keep; made at the first call.
    pub(crate) fn shared(&self) -> &Arc<Message> {
        self.shared.get_or_init(|| {
            Arc::new(Message {
                topic: self.topic.into(),
                payload: Bytes::copy_from_slice(self.payload),
                qos: self.qos,
                properties: self.properties.into(),
                expires: self.expires,
                from: self.from.clone(),
                client: self.client.cloned(),
                audience: self.audience.cloned(),
            })
        })
    }

    pub(crate) fn expiry_s(&self, now: Now) -> Option<u32> {
        Some(left_s(self.expires?, now))
    }
}

/// What is left, in seconds, rounded up: a message that is sent has not expired, and some clients take
/// an expiry of 0 for malformed.
fn left_s(expires: Instant, now: Now) -> u32 {
    let left_ms = expires.saturating_duration_since(now.at).as_millis();
    u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX)
}

/// When a message with these properties ends.
pub(crate) fn expires(properties: &Properties<'_>, now: Now) -> Option<Instant> {
    Some(now.at + Duration::from_secs(properties.message_expiry_interval()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::at;

    #[test]
    fn a_deadline_survives_a_restart_by_the_calendar() {
        let before = Now { at: at(100), wall: UNIX_EPOCH + Duration::from_secs(1_000_000) };
        let message = Message {
            topic: "a/b".into(),
            payload: Bytes::from_static(b"x"),
            qos: Qos::AtLeastOnce,
            properties: [38, 0, 1, b'k', 0, 1, b'v'].into(),
            expires: Some(at(160)),
            from: "app:a".into(),
            client: Some("a".into()),
            audience: Some("app:b".into()),
        };
        let row = message.encode(before);
        // 20 s later by the calendar, the new process counts its own time.
        let after = Now { at: at(5), wall: UNIX_EPOCH + Duration::from_secs(1_000_020) };
        let read = Message::decode(&row, after).expect("our own row");
        assert_eq!(read.expiry_s(after), Some(40));
        assert_eq!(Message { expires: None, ..read }, Message { expires: None, ..message });
    }
}
