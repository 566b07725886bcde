//! Properties by name: typed readers on [`Properties`], typed writers on [`PropertyBuffer`].

use super::{Properties, Property, write::Sink};

/// Properties on their way out: one buffer, cleared and used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertyBuffer {
    raw: Vec<u8>,
}

macro_rules! accessors {
    ($($property:ident $name:ident: $kind:ident;)*) => {
        impl<'a> Properties<'a> { $(accessors!(@read $kind $property $name);)* }
        impl PropertyBuffer { $(accessors!(@write $kind $property $name);)* }
    };
    (@read flag $property:ident $name:ident) => {
        #[doc = concat!(stringify!($property), ".")]
        pub fn $name(self) -> Option<bool> { self.number(Property::$property).map(|value| value != 0) }
    };
    (@read u8 $property:ident $name:ident) => { accessors!(@number u8 $property $name); };
    (@read u16 $property:ident $name:ident) => { accessors!(@number u16 $property $name); };
    (@read u32 $property:ident $name:ident) => { accessors!(@number u32 $property $name); };
    (@number $kind:ident $property:ident $name:ident) => {
        #[doc = concat!(stringify!($property), ".")]
        pub fn $name(self) -> Option<$kind> {
            self.number(Property::$property).and_then(|value| value.try_into().ok())
        }
    };
    (@read text $property:ident $name:ident) => {
        #[doc = concat!(stringify!($property), ".")]
        pub fn $name(self) -> Option<&'a str> { self.text(Property::$property) }
    };
    (@read binary $property:ident $name:ident) => {
        #[doc = concat!(stringify!($property), ".")]
        pub fn $name(self) -> Option<&'a [u8]> { self.binary(Property::$property) }
    };
    (@write flag $property:ident $name:ident) => {
        #[doc = concat!("Adds ", stringify!($property), ".")]
        pub fn $name(&mut self, value: bool) -> &mut Self { self.bytes(Property::$property, &[value.into()]) }
    };
    (@write text $property:ident $name:ident) => {
        #[doc = concat!("Adds ", stringify!($property), "; left out when it cannot be a string of MQTT.")]
        pub fn $name(&mut self, value: &str) -> &mut Self { self.string(Property::$property, value) }
    };
    (@write binary $property:ident $name:ident) => {
        #[doc = concat!("Adds ", stringify!($property), "; left out when longer than 65 535 bytes.")]
        pub fn $name(&mut self, value: &[u8]) -> &mut Self {
            if value.len() <= usize::from(u16::MAX) {
                self.raw.byte(Property::$property as u8);
                self.raw.binary(value);
            }
            self
        }
    };
    (@write $kind:ident $property:ident $name:ident) => {
        #[doc = concat!("Adds ", stringify!($property), ".")]
        pub fn $name(&mut self, value: $kind) -> &mut Self {
            self.bytes(Property::$property, &value.to_be_bytes())
        }
    };
}

accessors! {
    PayloadFormatIndicator payload_format_indicator: u8;
    MessageExpiryInterval message_expiry_interval: u32;
    ContentType content_type: text;
    ResponseTopic response_topic: text;
    CorrelationData correlation_data: binary;
    SessionExpiryInterval session_expiry_interval: u32;
    AssignedClientIdentifier assigned_client_identifier: text;
    ServerKeepAlive server_keep_alive: u16;
    AuthenticationMethod authentication_method: text;
    AuthenticationData authentication_data: binary;
    RequestProblemInformation request_problem_information: flag;
    WillDelayInterval will_delay_interval: u32;
    RequestResponseInformation request_response_information: flag;
    ResponseInformation response_information: text;
    ServerReference server_reference: text;
    ReceiveMaximum receive_maximum: u16;
    TopicAliasMaximum topic_alias_maximum: u16;
    TopicAlias topic_alias: u16;
    MaximumQos maximum_qos: u8;
    RetainAvailable retain_available: flag;
    MaximumPacketSize maximum_packet_size: u32;
    WildcardSubscriptionAvailable wildcard_subscription_available: flag;
    SubscriptionIdentifierAvailable subscription_identifier_available: flag;
    SharedSubscriptionAvailable shared_subscription_available: flag;
}

impl<'a> Properties<'a> {
    /// ReasonString.
    pub fn reason_string(self) -> Option<&'a str> {
        self.text(Property::ReasonString)
    }
}

impl PropertyBuffer {
    /// An empty one; allocates with the first property.
    pub const fn new() -> PropertyBuffer {
        PropertyBuffer { raw: Vec::new() }
    }
    /// Forgets the properties and keeps the memory.
    pub fn clear(&mut self) -> &mut Self {
        self.raw.clear();
        self
    }
    /// What is in it. That the packet may carry them is the caller's knowledge.
    pub fn as_properties(&self) -> Properties<'_> {
        Properties::trusted(&self.raw)
    }
    /// Adds a user property; left out when one of the two cannot be a string of MQTT.
    pub fn user_property(&mut self, name: &str, value: &str) -> &mut Self {
        if sendable(name) && sendable(value) {
            self.raw.byte(Property::UserProperty as u8);
            self.raw.string(name);
            self.raw.string(value);
        }
        self
    }
    /// Adds a subscription identifier, 1 to 268 435 455.
    pub fn subscription_identifier(&mut self, identifier: u32) -> &mut Self {
        self.raw.byte(Property::SubscriptionIdentifier as u8);
        self.raw.variable(identifier as usize);
        self
    }
    /// Adds a reason string for a person: cut to what a string can hold, U+0000 shown as U+FFFD.
    pub fn reason_string(&mut self, text: &str) -> &mut Self {
        if text.contains('\0') {
            return self.reason_string(&text.replace('\0', "\u{FFFD}"));
        }
        let end = text.floor_char_boundary(usize::from(u16::MAX));
        self.string(Property::ReasonString, &text[..end])
    }
    /// Copies, as bytes, what a server sends on with a PUBLISH: payload format, content type, response
    /// topic, correlation data, and the user properties in their order (MQTT-3.3.2-4, -15, -16, -17,
    /// -18, -20). Expiry, alias and subscription identifiers are each delivery's own.
    pub fn forward(&mut self, received: Properties<'_>) -> &mut Self {
        for entry in received.entries().filter(|entry| forwarded(entry.row.property)) {
            self.raw.extend_from_slice(entry.whole);
        }
        self
    }
    /// Adds properties that were checked and encoded before, [`PropertyBuffer::forward`]ed ones.
    pub(crate) fn append(&mut self, encoded: &[u8]) -> &mut Self {
        self.raw.extend_from_slice(encoded);
        self
    }
    /// Copies all but the reason string and the user properties, which are left out when they would
    /// make a packet larger than its receiver takes.
    pub(super) fn without_comments(&mut self, properties: Properties<'_>) -> &mut Self {
        for entry in properties.entries() {
            if !matches!(entry.row.property, Property::ReasonString | Property::UserProperty) {
                self.raw.extend_from_slice(entry.whole);
            }
        }
        self
    }

    fn bytes(&mut self, property: Property, value: &[u8]) -> &mut Self {
        self.raw.byte(property as u8);
        self.raw.put(value);
        self
    }
    fn string(&mut self, property: Property, value: &str) -> &mut Self {
        if sendable(value) {
            self.raw.byte(property as u8);
            self.raw.string(value);
        }
        self
    }
}

fn sendable(string: &str) -> bool {
    string.len() <= usize::from(u16::MAX) && !string.contains('\0')
}

const fn forwarded(property: Property) -> bool {
    matches!(
        property,
        Property::PayloadFormatIndicator
            | Property::ContentType
            | Property::ResponseTopic
            | Property::CorrelationData
            | Property::UserProperty
    )
}
