//! Topic aliases of one connection (5.0 §3.3.2.3.4): a number instead of a topic that was said before.
//!
//! ```text
//!  in:  the client assigns; we remember its names, as many as we announced
//!  out: first come ──> topic and number, then the number alone; another topic takes the place over
//!       when it is sent twice in a row
//! ```
//! What ends with the connection is never stored (MQTT-3.3.2-7).

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::num::NonZeroU16;

use crate::broker::wire::{PropertyBuffer, Publish, Reason, Version, publish_size};

/// Topics up to this are hardly shorter as a number with its property, bytes.
const SHORT: usize = 4;
/// Topics beyond this are not worth their memory, bytes.
const LONG: usize = 512;

/// What the client's aliases stand for.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    names: Vec<Option<Box<str>>>,
    bytes: usize,
}

/// Why a PUBLISH with an alias cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misused {
    pub(super) reason: Reason,
    pub(super) text: &'static str,
}

impl Inbound {
    /// What the names take up.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The topic of a PUBLISH: its own, which is remembered under its alias, or the remembered one.
    /// `max` is the Topic Alias Maximum that we announced.
    pub(super) fn topic<'p>(
        &'p mut self,
        topic: &'p str,
        alias: Option<u16>,
        max: u16,
    ) -> Result<&'p str, Misused> {
        let Some(alias) = alias else { return Ok(topic) };
        let misused = |reason, text| Err(Misused { reason, text });
        if alias > max {
            let text = "topic alias is above the topic alias maximum (MQTT-3.3.2-9)";
            return misused(Reason::TopicAliasInvalid, text);
        }
        let place = usize::from(alias).saturating_sub(1); // 0 is the codec's to refuse
        if topic.is_empty() {
            return match self.names.get(place) {
                Some(Some(known)) => Ok(known),
                Some(None) | None => {
                    let text = "topic alias stands for no topic yet (3.3.2.3.4)";
                    misused(Reason::ProtocolError, text)
                }
            };
        }
        if self.names.len() <= place {
            self.names.resize(place + 1, None);
        }
        let name = &mut self.names[place];
        let old = name.as_deref().map_or(0, str::len);
        if name.as_deref() != Some(topic) {
            self.bytes = self.bytes - old + topic.len();
            *name = Some(topic.into());
        }
        Ok(topic)
    }
}

/// The aliases that we assign, as many as the client takes and our own limit allows.
#[derive(Debug)]
pub(super) struct Outbound {
    places: Box<[Place]>,
    properties: PropertyBuffer,
}

/// One alias: a topic's hash chooses its place.
#[derive(Clone, Debug, Default)]
struct Place {
    /// What the client knows under this number.
    assigned: Option<Box<str>>,
    /// The hash of another topic that was here last: seen again at once, it gets the number. So what
    /// is said only once, a reply topic, takes nobody's number away.
    candidate: Option<u64>,
}

/// What to send of a topic.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    Plain,
    /// The topic, and the number it has from now on.
    Assign(NonZeroU16),
    /// The number alone.
    Alone(NonZeroU16),
}

impl Outbound {
    /// `None` when there may be no alias.
    pub(super) fn new(max: u16) -> Option<Box<Outbound>> {
        if max == 0 {
            return None;
        }
        let places = vec![Place::default(); usize::from(max)].into();
        Some(Box::new(Outbound { places, properties: PropertyBuffer::new() }))
    }

    /// The PUBLISH as it is sent: `send` says whether it was (a packet may be too large).
    pub(super) fn publish(
        &mut self,
        publish: &Publish<'_>,
        max_packet: usize,
        send: impl FnOnce(&Publish<'_>),
    ) {
        let place = self.place(publish.topic);
        let (alias, topic) = match self.form(place, publish.topic) {
            Form::Plain => return send(publish),
            Form::Assign(alias) => (alias, publish.topic),
            Form::Alone(alias) => (alias, ""),
        };
        self.properties.clear().append(publish.properties.raw()).topic_alias(alias.get());
        let short = Publish { topic, properties: self.properties.as_properties(), ..*publish };
        // What no packet holds is as large as a limit can be where addresses have 32 bits.
        let bytes = publish_size(Version::V5, &short);
        if bytes > max_packet || bytes == usize::MAX {
            return send(publish); // not even the assignment fits; perhaps it does plain
        }
        send(&short);
        let place = &mut self.places[place];
        place.candidate = None;
        if !topic.is_empty() {
            place.assigned = Some(topic.into());
        }
    }

    fn place(&self, topic: &str) -> usize {
        let places = self.places.len() as u64;
        usize::try_from(hash(topic) % places).unwrap_or(0)
    }

    fn form(&mut self, place: usize, topic: &str) -> Form {
        let number = u16::try_from(place + 1).ok().and_then(NonZeroU16::new);
        let (Some(number), Some(place)) = (number, self.places.get_mut(place)) else {
            return Form::Plain;
        };
        if topic.len() <= SHORT || topic.len() > LONG {
            return Form::Plain;
        }
        if place.assigned.as_deref() == Some(topic) {
            return Form::Alone(number);
        }
        let seen = Some(hash(topic));
        if place.assigned.is_none() || place.candidate == seen {
            return Form::Assign(number);
        }
        place.candidate = seen;
        Form::Plain
    }
}

/// Without a secret: whoever makes topics collide takes aliases from those who read him, no more.
fn hash(topic: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_means_what_it_was_last_said_to_mean() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.topic("a", Some(1), 2), Ok("a"));
        assert_eq!(inbound.topic("", Some(1), 2), Ok("a"));
        assert_eq!(inbound.topic("b", Some(1), 2), Ok("b"));
        assert_eq!(inbound.topic("", Some(1), 2), Ok("b"));
        assert_eq!(inbound.topic("plain", None, 2), Ok("plain"));
        for (topic, alias, reason) in
            [("", 2, Reason::ProtocolError), ("c", 3, Reason::TopicAliasInvalid)]
        {
            let result = inbound.topic(topic, Some(alias), 2).map_err(|misused| misused.reason);
            assert_eq!(result, Err(reason));
        }
    }

    #[test]
    fn what_the_names_take_up_is_known() {
        let mut inbound = Inbound::default();
        let long = "x".repeat(60_000);
        assert!(inbound.topic(&long, Some(1), 9).is_ok());
        assert!(inbound.topic(&long, Some(2), 9).is_ok());
        assert!(inbound.topic("y", Some(1), 9).is_ok(), "a shorter name makes room");
        assert_eq!(inbound.bytes(), 60_001);
    }

    #[test]
    fn the_first_topic_gets_the_number_and_a_stranger_does_not_take_it_away() {
        let mut outbound = Outbound::new(1).expect("one");
        let mut say = |topic: &str| {
            let publish = Publish {
                dup: false,
                qos: crate::bus::Qos::AtMostOnce,
                retain: false,
                topic,
                packet_id: None,
                properties: crate::broker::wire::Properties::NONE,
                payload: b"",
            };
            let mut said = (String::new(), None);
            outbound.publish(&publish, usize::MAX, |sent| {
                said = (sent.topic.to_string(), sent.properties.topic_alias());
            });
            said
        };
        assert_eq!(say("a"), ("a".into(), None), "not worth a number");
        assert_eq!(say("sensors/a"), ("sensors/a".into(), Some(1)));
        assert_eq!(say("sensors/a"), (String::new(), Some(1)));
        assert_eq!(say("sensors/b"), ("sensors/b".into(), None));
        assert_eq!(say("sensors/a"), (String::new(), Some(1)));
        assert_eq!(say("sensors/b"), ("sensors/b".into(), None), "not twice in a row");
        assert_eq!(say("sensors/b"), ("sensors/b".into(), Some(1)), "now it is");
        assert_eq!(say("sensors/a"), ("sensors/a".into(), None));
    }
}
