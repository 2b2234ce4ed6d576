//! The entropy device.

use super::super::QueueSlot;
use super::super::testing::{Kind, rig, started};
use super::{FILL_MAX, Rng};

fn counting() -> Rng {
    let mut next = 0u8;
    Rng::new(Box::new(move |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_add(1);
            *byte = next;
        }
    }))
}

#[test]
fn buffers_come_back_filled_in_order() {
    let mut t = started(Kind::Modern, counting(), 0);
    let offers = [t.offer(0, &[], &[3, 2]), t.offer(0, &[], &[4])];
    t.kick(0);
    assert_eq!(t.used(0), [(offers[0].head, 5), (offers[1].head, 4)]);
    assert_eq!(t.written(&offers[0]), [1, 2, 3, 4, 5]);
    assert_eq!(t.written(&offers[1]), [6, 7, 8, 9]);
}

#[test]
fn a_large_buffer_is_filled_in_part() {
    let mut t = started(Kind::Modern, counting(), 0);
    let offer = t.offer(0, &[], &[1 << 20]);
    t.kick(0);
    assert_eq!(t.used(0), [(offer.head, FILL_MAX as u32)]);
    let bytes = t.written(&offer);
    assert!(bytes[FILL_MAX..].iter().all(|&b| b == 0));
}

#[test]
fn a_buffer_without_room_comes_back_empty() {
    let mut t = started(Kind::Modern, counting(), 0);
    let offer = t.offer(0, &[b"what for"], &[]);
    t.kick(0);
    assert_eq!(t.used(0), [(offer.head, 0)]);
}

#[test]
fn without_a_driver_nothing_happens() {
    let mut t = rig(Kind::Modern, counting());
    for queue in [0, 1, u16::MAX] {
        t.slot.process(queue);
    }
    assert!(!t.irq.high());
}
