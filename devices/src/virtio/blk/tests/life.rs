//! Resets, queues that stop, and a disk that is behind: what is on its way is bounded.

use super::*;

#[test]
fn what_a_reset_forgot_is_not_given_back() {
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let old = read(&mut t, 0, 512);
    t.kick(0);
    let late = port.next();
    t.start(FLUSH);
    let new = read(&mut t, 1, 512);
    t.kick(0);
    t.slot.complete(late.id, Ok(vec![1; 512]));
    t.slot.complete(late.id + 1000, Ok(vec![1; 512]));
    assert_eq!(t.used(0), []);
    assert_eq!(t.written(&old), [0; 513]);
    t.slot.complete(port.next().id, Ok(vec![2; 512]));
    assert_eq!(t.used(0), [(new.head, 513)]);
}

#[test]
fn a_driver_that_resets_again_and_again_does_not_pile_up_work() {
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let mut offers = Vec::new();
    for round in 0..5 {
        t.start(FLUSH);
        offers = (0..IN_FLIGHT_MAX as u64)
            .map(|s| write(&mut t, s, &[round; 512]))
            .collect();
        t.kick(0);
        assert_eq!(port.requests().len(), IN_FLIGHT_MAX);
    }
    assert_eq!(
        t.slot.device().in_flight(),
        0,
        "all of it is of the first round"
    );
    let first = port.requests()[0].id;
    for answered in 1..=IN_FLIGHT_MAX {
        fail_next(&mut t, &port);
        // Said twice, it makes no more room.
        t.slot.complete(first, Err(IoError));
        assert_eq!(t.slot.device().in_flight(), answered);
        assert_eq!(port.requests().len(), IN_FLIGHT_MAX);
    }
    let mut store = vec![0; (CAPACITY * SECTOR) as usize];
    for offer in &offers {
        answer(&mut t, port.next(), &mut store);
        assert_eq!(t.used(0), [(offer.head, 1)]);
        assert_eq!(status(&t, offer), vb::VIRTIO_BLK_S_OK);
    }
    assert!(store.starts_with(&[4; 64 * 512]));
}

#[test]
fn answers_to_the_forgotten_make_room_while_nothing_is_set_up() {
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    for s in 0..IN_FLIGHT_MAX as u64 {
        read(&mut t, s, 512);
    }
    t.kick(0);
    t.w(vm::VIRTIO_MMIO_STATUS, 0);
    fail_next(&mut t, &port);
    t.start(FLUSH);
    read(&mut t, 0, 512);
    read(&mut t, 1, 512);
    t.kick(0);
    assert_eq!(t.slot.device().in_flight(), 1);
    assert_eq!(port.requests().len(), IN_FLIGHT_MAX);
}

#[test]
fn stopping_the_queue_again_and_again_does_not_pile_up_work() {
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), !EVENT_IDX);
    // A descriptor each, so that what was offered before stays whole.
    t.indirect = true;
    for _ in 0..3 {
        for s in 0..IN_FLIGHT_MAX as u64 {
            read(&mut t, s, 512);
        }
        t.kick(0);
        assert!(!t.needs_reset());
        assert_eq!(port.requests().len(), IN_FLIGHT_MAX);
        t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
        t.w(vm::VIRTIO_MMIO_QUEUE_READY, 0);
        t.w(vm::VIRTIO_MMIO_QUEUE_READY, 1);
    }
}

#[test]
fn a_restore_in_place_waits_for_room_at_the_disk() {
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let mut store = pattern(0, (CAPACITY * SECTOR) as usize);
    let offers: Vec<Offer> = (0..80).map(|s| read(&mut t, s, 512)).collect();
    t.kick(0);
    let saved = t.slot.save();
    t.slot.restore(&saved).expect("own state");
    t.serve();
    let mut given = Vec::new();
    while !port.requests().is_empty() {
        assert!(port.requests().len() <= IN_FLIGHT_MAX);
        assert!(t.slot.device().in_flight() <= IN_FLIGHT_MAX);
        answer(&mut t, port.next(), &mut store);
        given.extend(t.used(0));
    }
    given.sort();
    let expected: Vec<_> = offers.iter().map(|o| (o.head, 513)).collect();
    assert_eq!(given, expected);
}

#[test]
fn a_queue_taken_out_of_use_forgets_its_requests() {
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    read(&mut t, 0, 512);
    t.kick(0);
    t.w(vm::VIRTIO_MMIO_QUEUE_SEL, 0);
    t.w(vm::VIRTIO_MMIO_QUEUE_READY, 0);
    t.slot.complete(port.next().id, Ok(vec![1; 512]));
    assert_eq!(t.used(0), []);
    assert!(!t.needs_reset());
}
