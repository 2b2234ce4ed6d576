//! Saved states, and drivers that stop at nothing.

use super::*;

/// One with everything in flight that there can be.
fn busy() -> Rig {
    let mut t = ready(3);
    t.submit(0, Cmd::new(0xc));
    t.submit(1, read(3, 8));
    t.submit(1, write(9, 2));
    t.submit(2, Cmd::new(ZEROES).blocks(1, 2));
    t.submit(2, Cmd::new(FLUSH));
    t.work();
    list(&t, DATA + 0x1000, &[1 << 32, 1, 2 << 32, 8]);
    t.submit(
        2,
        Cmd::new(DATASET)
            .dword(10, 1)
            .dword(11, 4)
            .prp(DATA + 0x1000, 0),
    );
    t.work();
    t.submit(0, Cmd::new(0).dword(10, 2));
    t.submit(3, Cmd::new(0x7f));
    t.work();
    t.w(CC, ENABLED | 1 << 14);
    t.w(0x100c, 9);
    t
}

#[test]
fn state_moves_to_another_controller() {
    let t = busy();
    assert_eq!(t.nvme.in_flight(), 6);
    let mut other = rig_of(config());
    transfer(&t.nvme, &mut other.nvme);
    assert!(other.wire.high());
    other.ram.write(DATA, &[4; 4096]).expect("in RAM");
    other.store.fill(2);
    // The driver's side, too.
    let mut moved = t;
    (moved.nvme, moved.port, moved.bell) = (other.nvme, other.port, other.bell);
    (moved.ram, moved.store) = (other.ram, other.store);
    moved.work();
    moved.answer_all();
    assert_eq!(moved.store[9 * 512..][..1024], [4; 1024], "data read anew");
    assert_eq!(moved.memory(DATA, 4096), [2; 4096]);
    assert_eq!(moved.r(CSTS), READY | 8, "shut down");
    let statuses = |done: Vec<testing::Done>| done.iter().map(|d| d.status).collect::<Vec<_>>();
    assert_eq!(statuses(moved.look(1)), [0, 0]);
    let others = moved.memory(cq(2), 48);
    assert!(
        others.iter().any(|byte| *byte != 0),
        "its commands are done"
    );
    let done = moved.done(0);
    assert_eq!(
        done.iter().map(|d| d.result).collect::<Vec<_>>(),
        [0x1_0100, 0]
    );
    moved.ok(Cmd::new(4).dword(10, 2));
}

#[test]
fn states_of_others_are_refused() {
    let t = busy();
    let saved = t.nvme.save();
    let mut small = rig_of(DiskConfig {
        capacity: 8,
        ..config()
    });
    assert!(small.nvme.restore(&saved).is_err());
    let mut read_only = rig_of(DiskConfig {
        read_only: true,
        ..config()
    });
    assert!(read_only.nvme.restore(&saved).is_err());
    assert_eq!(read_only.r(CSTS), 0, "as after a reset");
}

/// A driver that begins anew is served.
fn assert_served(t: &mut Rig) {
    t.command_register(6);
    t.w(CC, 0);
    t.bell.store(false, std::sync::atomic::Ordering::SeqCst);
    t.answer_all();
    t.start();
    assert_eq!(t.r(CSTS), READY);
    t.create(1, 8);
    assert_eq!(t.io(1, read(0, 1)), 0);
}

proptest! {
    /// Whatever a guest writes to registers and queues, a reset forgives.
    #[test]
    fn hostile_drivers_are_survived(
        steps in prop::collection::vec((any_access(0x1100), 0..6u8), 1..120),
        words in prop::collection::vec((any::<u8>(), 0..16usize, any::<u32>()), 1..60),
    ) {
        let mut t = ready(2);
        for ((access, what), (opcode, word, value)) in steps.into_iter().zip(words.into_iter().cycle()) {
            match what {
                0 | 1 => {
                    let Access { offset, .. } = access;
                    let place = Place::Bar { bar: 0, offset }.number();
                    Access { offset: place, ..access }.run(&mut t.nvme);
                }
                2 | 3 => {
                    let queue = u16::from(what - 1);
                    let command = Cmd::new(opcode % 10).prp(DATA + 4 * u64::from(opcode), DATA).dword(word, value);
                    t.enter(queue, command);
                    let tail = t.nvme.queues.submission(queue).map_or(0, |q| (q.tail + 1) % q.shape.entries);
                    t.w(0x1000 + 8 * u64::from(queue), tail.into());
                }
                4 => {
                    let request = t.port.requests().pop_front();
                    if let Some(request) = request {
                        t.answer(request);
                    }
                }
                _ => {
                    let command = Cmd::new(opcode % 13).prp(sq(opcode.into()), DATA).dword(10, (value % 20) | (7 << 16)).dword(11, 1);
                    t.enter(0, command);
                    let tail = t.nvme.queues.submission(0).map_or(0, |q| (q.tail + 1) % q.shape.entries);
                    t.w(0x1000, tail.into());
                }
            }
            t.nvme.process(0);
            prop_assert!(t.port.requests().len() <= IN_FLIGHT_MAX);
        }
        let saved = t.nvme.save();
        prop_assert!(t.nvme.restore(&saved).is_ok());
        t.answer_all();
        assert_served(&mut t);
    }

    #[test]
    fn damaged_state_is_refused_or_harmless(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut t = busy();
        let mut saved = t.nvme.save();
        for (at, value) in damage {
            *at.get_mut(&mut saved) = value;
        }
        let _ = t.nvme.restore(&saved);
        t.nvme.process(0);
        t.answer_all();
        t.nvme.reset();
        assert_served(&mut t);
    }
}
