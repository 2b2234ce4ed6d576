//! Saved states, and drivers that stop at nothing.

use super::*;

#[test]
fn state_of_more_queues_is_refused() {
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    t.offer(1, &[&header(vb::VIRTIO_BLK_T_IN, 5)], &[512, 1]);
    t.kick(1);
    let state = t.slot.device().state();
    let one = BlkConfig {
        queues: 1,
        ..config(false)
    };
    let mut one = Blk::new(one, Box::new(DiskPort::default()));
    assert!(one.set_state(state, &t.ram).is_err());
}

#[test]
fn requests_in_flight_survive_a_move_in_the_middle_of_a_piece() {
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let mut store = pattern(0, (CAPACITY * SECTOR) as usize);
    let len = PIECE as usize + 1024;
    let r = read(&mut t, 3, len);
    let w = write(&mut t, 3000, &pattern(77, 1024));
    let f = t.offer(0, &[&header(4, 0)], &[1]);
    t.kick(0);
    answer(&mut t, port.next(), &mut store);
    let lost: Vec<_> = port.requests().drain(..).collect();
    assert_eq!(lost.len(), 3, "write, flush, and the read's second piece");

    let other = DiskPort::default();
    t.move_to(disk(&other));
    assert!(other.requests().is_empty(), "RAM may not be there yet");
    t.serve();
    t.slot.complete(lost[0].id + 1000, Err(IoError));
    let again: Vec<_> = other.requests().drain(..).collect();
    assert_eq!(
        again.iter().map(|r| &r.op).collect::<Vec<_>>(),
        lost.iter().map(|r| &r.op).collect::<Vec<_>>()
    );
    for request in again {
        answer(&mut t, request, &mut store);
    }
    let mut used = t.used(0);
    used.sort();
    let mut expected = vec![(r.head, len as u32 + 1), (w.head, 1), (f.head, 1)];
    expected.sort();
    assert_eq!(used, expected);
    assert!(t.written(&r) == [pattern(3, len), vec![0]].concat());
    assert!(store[3000 * 512..].starts_with(&pattern(77, 1024)));
}

#[test]
fn a_completion_from_before_a_restore_is_ignored() {
    let port = DiskPort::default();
    let mut t = started(Modern, disk(&port), FLUSH);
    let r = read(&mut t, 0, 512);
    t.kick(0);
    let early = port.next();
    let saved = t.slot.save();
    t.slot.restore(&saved).expect("own state");
    t.serve();
    t.slot.complete(early.id, Ok(vec![1; 512]));
    assert_eq!(t.used(0), []);
    t.slot.complete(port.next().id, Ok(vec![2; 512]));
    assert_eq!(t.used(0), [(r.head, 513)]);
    assert_eq!(t.written(&r)[0], 2);
}

#[test]
fn state_of_another_disk_is_refused() {
    let mut t = started(Modern, disk(&DiskPort::default()), FLUSH);
    read(&mut t, CAPACITY - 1, 512);
    t.kick(0);
    let saved = t.slot.save();
    let mut small = config(false);
    small.disk.capacity = 8;
    let mut other = rig(Modern, Blk::new(small, Box::new(DiskPort::default())));
    assert!(other.slot.restore(&saved).is_err());
    assert_eq!(other.r(vm::VIRTIO_MMIO_STATUS), 0, "as after reset");
    t.slot.process(0);
}

/// One thing that happens to a disk in use.
#[derive(Clone, Debug)]
enum Step {
    Read(u64, usize),
    Write(u64, usize, u8),
    Flush,
    /// Answers the request at this place in the line.
    Answer(prop::sample::Index),
    Move,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sectors = prop_oneof![3 => 1..8usize, 1 => 400..2500usize];
    let step = prop_oneof![
        3 => (0..64u64, sectors.clone()).prop_map(|(s, n)| Step::Read(s, n)),
        3 => (0..64u64, sectors, any::<u8>()).prop_map(|(s, n, b)| Step::Write(s, n, b)),
        1 => Just(Step::Flush),
        6 => any::<prop::sample::Index>().prop_map(Step::Answer),
        1 => Just(Step::Move),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Moving the device at random points, in mid-request, changes nothing that the
    /// driver or the disk can see in the end.
    #[test]
    fn every_request_is_answered_once_whatever_moves(
        steps in steps(),
        indirect in any::<bool>(),
        kind in prop::sample::select(&[Modern, Pci][..]),
    ) {
        let mut port = DiskPort::default();
        let mut t = started(kind, disk(&port), FLUSH);
        t.indirect = indirect;
        let mut store = vec![0; (CAPACITY * SECTOR) as usize];
        let mut open = std::collections::BTreeSet::new();
        for step in &steps {
            let offer = match *step {
                Step::Read(s, n) => Some(read(&mut t, s, n * 512)),
                Step::Write(s, n, b) => Some(write(&mut t, s, &vec![b; n * 512])),
                Step::Flush => Some(t.offer(0, &[&header(4, 0)], &[1])),
                Step::Answer(at) => {
                    let request = {
                        let mut line = port.requests();
                        let len = line.len();
                        if len == 0 { None } else { line.remove(at.index(len)) }
                    };
                    if let Some(request) = request {
                        answer(&mut t, request, &mut store);
                    }
                    None
                }
                Step::Move => {
                    port = DiskPort::default();
                    t.move_to(disk(&port));
                    t.serve();
                    None
                }
            };
            if let Some(offer) = offer {
                open.insert(offer.head);
                t.kick(0);
            }
            for (head, _) in t.used(0) {
                prop_assert!(open.remove(&head), "{head} was given back twice");
            }
        }
        while let Some(request) = { port.requests().pop_front() } {
            answer(&mut t, request, &mut store);
        }
        for (head, _) in t.used(0) {
            prop_assert!(open.remove(&head));
        }
        prop_assert!(open.is_empty());
        prop_assert!(!t.needs_reset());
    }

    /// Also in mid-request: what is restored from a damaged file may be wrong, but
    /// stays within disk, RAM and bounds.
    #[test]
    fn damaged_state_is_refused_or_harmless(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        kind in prop::sample::select(&[Modern, Pci][..]),
    ) {
        let port = DiskPort::default();
        let mut t = started(kind, disk(&port), FLUSH);
        let mut store = vec![0; (CAPACITY * SECTOR) as usize];
        read(&mut t, 3, PIECE as usize + 512);
        write(&mut t, 9, &[5; 1024]);
        t.kick(0);
        answer(&mut t, port.next(), &mut store);
        let mut saved = t.slot.save();
        *at.get_mut(&mut saved) = value;
        port.requests().clear();
        let _ = t.slot.restore(&saved);
        t.serve();
        while let Some(request) = { port.requests().pop_front() } {
            answer(&mut t, request, &mut store);
        }
        t.start(FLUSH);
        let r = read(&mut t, 0, 512);
        t.kick(0);
        answer(&mut t, port.next(), &mut store);
        prop_assert_eq!(t.used(0), [(r.head, 513)]);
    }

    #[test]
    fn a_hostile_driver_hurts_itself_only(kind in prop::sample::select(&Kind::ALL[..]), steps in hostile()) {
        let port = DiskPort::default();
        let mut t = rig(kind, disk(&port));
        let mut store = vec![0; (CAPACITY * SECTOR) as usize];
        for (n, step) in steps.iter().enumerate() {
            t.suffer(step, || disk(&port));
            prop_assert!(t.slot.device().in_flight() <= IN_FLIGHT_MAX);
            let request = { port.requests().pop_front() };
            if let Some(request) = request {
                match n % 5 {
                    0 => t.slot.complete(request.id, Err(IoError)),
                    1 => t.slot.complete(request.id, Ok(Vec::new())),
                    _ => answer(&mut t, request, &mut store),
                }
            }
        }
        while !port.requests().is_empty() {
            fail_next(&mut t, &port);
        }
        t.start(0);
        let r = read(&mut t, 0, 512);
        t.kick(0);
        answer(&mut t, port.next(), &mut store);
        prop_assert_eq!(t.used(0), [(r.head, 513)]);
    }
}
