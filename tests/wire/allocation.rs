//! A packet is read, and a PUBLISH written, without a single allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use maestro::broker::wire::{Packet, Version, decode, encode, frame, publish_size};

use crate::{properties, valid};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting by thread: tests run side by side.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "only an allocator can bear witness that nothing is allocated")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn during<T>(run: impl FnOnce() -> T) -> u64 {
    let before = ALLOCATIONS.get();
    let result = run();
    let allocated = ALLOCATIONS.get() - before;
    drop(result);
    allocated
}

#[test]
fn nothing_is_allocated_to_read_a_packet_or_to_write_a_publish() {
    assert_eq!(during(|| std::hint::black_box(Box::new(1))), 1, "the witness is awake");
    let mut packets = valid::packets();
    packets.extend(properties::packets().map(|bytes| (Version::V5, bytes)));
    let mut out = Vec::with_capacity(4096);
    for (version, bytes) in packets {
        let allocated = during(|| {
            let frame = frame(&bytes, 4096).unwrap().unwrap();
            let packet = decode(version, &frame);
            if let Ok(Packet::Publish(publish)) = packet {
                out.clear();
                assert!(publish_size(version, &publish) <= out.capacity());
                encode(version, &Packet::Publish(publish), &mut out);
                assert!(publish.properties.iter().count() <= 3);
            }
        });
        assert_eq!(allocated, 0, "{version:?} {bytes:02X?}");
    }
}
