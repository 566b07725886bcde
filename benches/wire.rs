//! What one PUBLISH costs in the codec: `cargo bench --bench wire`. Prints a table and, with `--json`, the
//! same figures for a program. Each figure is the best of several rounds: what the code costs, without
//! what else ran on the machine.

use std::{hint::black_box, num::NonZeroU16, time::Duration};

use maestro::broker::wire::{
    Packet, Properties, PropertyBuffer, Publish, Qos, Version, decode, encode, frame,
};

const ROUNDS: u32 = 25;
const PACKETS: u32 = 40_000;

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let mut properties = PropertyBuffer::new();
    properties
        .content_type("application/json")
        .response_topic("maestro/reply/system/ping")
        .correlation_data(b"0123456789abcdef")
        .user_property("source", "bench");
    let some = properties.as_properties();
    let none = Properties::NONE;
    let cases = [
        ("3.1.1 QoS 0, 256 B", Version::V311, Qos::AtMostOnce, none, 256),
        ("3.1.1 QoS 1, 256 B", Version::V311, Qos::AtLeastOnce, none, 256),
        ("5.0 QoS 0, 256 B", Version::V5, Qos::AtMostOnce, none, 256),
        ("5.0 QoS 1, 256 B", Version::V5, Qos::AtLeastOnce, none, 256),
        ("5.0 QoS 1, 256 B, 4 properties", Version::V5, Qos::AtLeastOnce, some, 256),
        ("5.0 QoS 1, 4 KiB", Version::V5, Qos::AtLeastOnce, none, 4096),
    ];
    if !json {
        println!("{:<32} {:>9} {:>9} {:>9}", "PUBLISH", "decode", "encode", "both");
    }
    for (name, version, qos, properties, payload_bytes) in cases {
        let payload = vec![b'x'; payload_bytes];
        let publish = Publish {
            dup: false,
            qos,
            retain: false,
            topic: "maestro/app/thermo/state/room",
            packet_id: (qos > Qos::AtMostOnce).then_some(NonZeroU16::MIN),
            properties,
            payload: &payload,
        };
        measure(name, version, &publish, json);
    }
}

fn measure(name: &str, version: Version, publish: &Publish<'_>, json: bool) {
    let mut bytes = Vec::new();
    encode(version, &Packet::Publish(*publish), &mut bytes);
    let mut out = Vec::with_capacity(2 * bytes.len());
    let read = best(|| {
        let frame = frame(black_box(&bytes), 1 << 20).ok().flatten();
        black_box(frame.map(|frame| decode(black_box(version), &frame))).is_some()
    });
    let write = best(|| {
        out.clear();
        encode(black_box(version), black_box(&Packet::Publish(*publish)), &mut out);
        !black_box(&out).is_empty()
    });
    let both = best(|| {
        out.clear();
        let frame = frame(black_box(&bytes), 1 << 20).ok().flatten();
        let packet = frame.and_then(|frame| decode(black_box(version), &frame).ok());
        packet.inspect(|packet| encode(version, packet, &mut out));
        !black_box(&out).is_empty()
    });
    if json {
        println!(
            "{{\"case\":\"{name}\",\"decode_ns\":{read:.1},\"encode_ns\":{write:.1},\"both_ns\":{both:.1}}}"
        );
    } else {
        println!("{name:<32} {read:>6.1} ns {write:>6.1} ns {both:>6.1} ns");
    }
}

/// Nanoseconds of CPU per call in the best round.
fn best(mut run: impl FnMut() -> bool) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = cpu();
        for _ in 0..PACKETS {
            assert!(run());
        }
        best = best.min(cpu() - start);
    }
    best.as_secs_f64() * 1e9 / f64::from(PACKETS)
}

/// CPU time of this thread.
fn cpu() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_or(Duration::ZERO, Duration::from)
}
