//! What went over a connection, and over all of them since the start.

/// Packets and bytes, each way, as MQTT counts them: TLS and WebSocket around them are not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets from clients.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// PUBLISH packets from clients.
    pub publishes_in: u64,
    /// Bytes of their payloads.
    pub payload_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// PUBLISH packets to clients.
    pub publishes_out: u64,
    /// Bytes of their payloads.
    pub payload_out: u64,
}

impl Traffic {
    /// A packet came.
    pub(super) fn came(&mut self, bytes: usize) {
        self.packets_in += 1;
        self.bytes_in += bytes as u64;
    }

    /// It was a PUBLISH.
    pub(super) fn publish_came(&mut self, payload: usize) {
        self.publishes_in += 1;
        self.payload_in += payload as u64;
    }

    /// A packet goes; one that was left out has no bytes.
    pub(super) fn went(&mut self, bytes: usize) {
        self.packets_out += u64::from(bytes > 0);
        self.bytes_out += bytes as u64;
    }

    /// It is a PUBLISH.
    pub(super) fn publish_went(&mut self, payload: usize) {
        self.publishes_out += 1;
        self.payload_out += payload as u64;
    }
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        self.packets_in += other.packets_in;
        self.bytes_in += other.bytes_in;
        self.publishes_in += other.publishes_in;
        self.payload_in += other.payload_in;
        self.packets_out += other.packets_out;
        self.bytes_out += other.bytes_out;
        self.publishes_out += other.publishes_out;
        self.payload_out += other.payload_out;
    }
}
