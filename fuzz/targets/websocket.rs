//! Frames of a WebSocket, in pieces and at once: the same MQTT, the same end, and never more than came.
//!
//! The first byte of the input is the size of the pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maestro::broker::websocket::Frames;

const LIMIT: u64 = 1 << 16;

fuzz_target!(|input: &[u8]| {
    let Some((&piece, stream)) = input.split_first() else { return };
    let mut whole = stream.to_vec();
    let mut at_once = Frames::new(LIMIT);
    let count = at_once.decode(&mut whole);
    assert!(count <= stream.len());

    let (mut in_pieces, mut taken) = (Frames::new(LIMIT), Vec::new());
    for chunk in stream.chunks(usize::from(piece).max(1)) {
        let mut chunk = chunk.to_vec();
        let count = in_pieces.decode(&mut chunk);
        taken.extend_from_slice(&chunk[..count]);
    }
    assert_eq!(taken, &whole[..count]);
    assert_eq!(in_pieces.ended(), at_once.ended());

    let mut out = taken;
    let ready = at_once.frame(&mut out);
    assert_eq!(ready, out.len());
    at_once.sent(ready);
    at_once.close(&mut out);
});
