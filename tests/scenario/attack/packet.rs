//! Packets as bytes, written down by hand: an attacker does not ask a codec what is allowed.

/// MQTT 3.1.1 and 5.0, as the byte in a CONNECT.
pub(crate) const VERSIONS: [u8; 2] = [4, 5];

/// Flags of a CONNECT.
pub(crate) const CLEAN: u8 = 0x02;
/// A session to be kept: for MQTT 5 it needs an expiry, too.
pub(crate) const KEPT: u8 = 0x00;

/// First byte, length, body.
pub(crate) fn packet(header: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![header];
    bytes.extend(length(body.len()));
    bytes.extend(body);
    bytes
}

/// A variable byte integer (MQTT 5.0 §1.5.5).
pub(crate) fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(length % 128).expect("7 bits");
        length /= 128;
        if length == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A string or binary data: two bytes of length, then it.
pub(crate) fn text(of: impl AsRef<[u8]>) -> Vec<u8> {
    let of = of.as_ref();
    let mut bytes = u16::try_from(of.len()).expect("at most 65 535 bytes").to_be_bytes().to_vec();
    bytes.extend(of);
    bytes
}

/// What a CONNECT says.
pub(crate) struct Connect<'a> {
    pub(crate) version: u8,
    pub(crate) id: &'a str,
    pub(crate) flags: u8,
    pub(crate) keep_alive_s: u16,
    pub(crate) expiry_s: u32,
    /// Topic, payload, QoS.
    pub(crate) will: Option<(&'a str, &'a [u8], u8)>,
    pub(crate) login: Option<(&'a str, &'a str)>,
}

impl Connect<'_> {
    /// A clean session without keep-alive.
    pub(crate) fn new(version: u8, id: &str) -> Connect<'_> {
        Connect { version, id, flags: CLEAN, keep_alive_s: 0, expiry_s: 0, will: None, login: None }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut flags = self.flags;
        if let Some((_, _, qos)) = self.will {
            flags |= 0x04 | qos << 3;
        }
        if self.login.is_some() {
            flags |= 0xC0;
        }
        let mut body = text("MQTT");
        body.extend([self.version, flags]);
        body.extend(self.keep_alive_s.to_be_bytes());
        if self.version == 5 {
            body.extend([5, 0x11]);
            body.extend(self.expiry_s.to_be_bytes());
        }
        body.extend(text(self.id));
        if let Some((topic, payload, _)) = self.will {
            body.extend(properties(self.version));
            body.extend(text(topic));
            body.extend(text(payload));
        }
        if let Some((name, password)) = self.login {
            body.extend(text(name));
            body.extend(text(password));
        }
        packet(0x10, &body)
    }
}

fn properties(version: u8) -> &'static [u8] {
    if version == 5 { &[0] } else { &[] }
}

/// A PUBLISH; `id` is left out with QoS 0.
pub(crate) fn publish(
    version: u8,
    topic: impl AsRef<[u8]>,
    payload: &[u8],
    qos: u8,
    id: u16,
) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.extend(properties(version));
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}

/// The same with the RETAIN flag.
pub(crate) fn retained(
    version: u8,
    topic: impl AsRef<[u8]>,
    payload: &[u8],
    qos: u8,
    id: u16,
) -> Vec<u8> {
    let mut bytes = publish(version, topic, payload, qos, id);
    bytes[0] |= 1;
    bytes
}

/// A SUBSCRIBE for some filters.
pub(crate) fn subscribe<T: AsRef<[u8]>>(version: u8, filters: &[T], qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend(properties(version));
    for filter in filters {
        body.extend(text(filter));
        body.push(qos);
    }
    packet(0x82, &body)
}

/// An UNSUBSCRIBE for some filters.
pub(crate) fn unsubscribe<T: AsRef<[u8]>>(version: u8, filters: &[T]) -> Vec<u8> {
    let mut body = vec![0, 2];
    body.extend(properties(version));
    for filter in filters {
        body.extend(text(filter));
    }
    packet(0xA2, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP by its first byte.
pub(crate) fn ack(header: u8, id: u16) -> Vec<u8> {
    packet(header, &id.to_be_bytes())
}

/// PINGREQ.
pub(crate) const PING: [u8; 2] = [0xC0, 0];
/// DISCONNECT without anything.
pub(crate) const BYE: [u8; 2] = [0xE0, 0];
