//! Getting ready, resets, shutdown, deletion; interrupts.

use super::*;

#[test]
fn it_gets_ready_and_is_reset() {
    let mut t = started();
    assert_eq!(t.r(CSTS), READY);
    t.w(0x24, 0);
    t.w(0x28, 0);
    t.w(0xc, 1);
    assert_eq!([t.r(0x24), t.r(0x28)], [0x001f_001f, RAM as u32], "fixed");
    t.w(CC, 0);
    assert_eq!([t.r(CSTS), t.r(0xc)], [0; 2]);
    assert_eq!(t.r(0x24), 0x001f_001f, "it stays");
    t.start();
    assert_eq!(t.admin(Cmd::new(0x0a).dword(10, 6)), (0, 1));
}

#[test]
fn it_fails_where_it_cannot_get_ready() {
    let (asq, acq, aqa) = (sq(0), cq(0), 0x001f_001f);
    let end = RAM + (8 << 20);
    for (asq, acq, aqa, cc) in [
        (asq, acq, 0x001f_0000, ENABLED),
        (asq, acq, 0x0000_001f, ENABLED),
        (0, acq, aqa, ENABLED),
        (asq, 0, aqa, ENABLED),
        (asq, RAM - 0x1000, aqa, ENABLED),
        // The controller's own registers, and across the end.
        (0x4000_0000, acq, aqa, ENABLED),
        (end - 0x1000, acq, 0x001f_0fff, ENABLED),
        (!0xfff, acq, 0x001f_0fff, ENABLED),
        // CSS, MPS, AMS.
        (asq, acq, aqa, ENABLED | 1 << 4),
        (asq, acq, aqa, ENABLED | 1 << 7),
        (asq, acq, aqa, ENABLED | 1 << 11),
    ] {
        let mut t = rig_of(config());
        t.w(0x24, aqa);
        t.write(0x28, Size::B8, asq);
        t.write(0x30, Size::B8, acq);
        t.w(CC, cc);
        assert_eq!(t.r(CSTS), FATAL, "{asq:x} {acq:x} {aqa:x} {cc:x}");
        t.w(0x1000, 1);
        t.nvme.process(0);
        t.w(CC, 0);
        assert_eq!(t.r(CSTS), 0);
        t.start();
        assert_eq!(t.r(CSTS), READY, "a reset helps");
    }
    // One queue over the other is the driver's own affair.
    let mut t = started();
    t.w(CC, 0);
    t.write(0x30, Size::B8, sq(0));
    t.w(CC, ENABLED);
    t.submit(0, Cmd::new(6).dword(10, 1).prp(DATA, 0));
    t.work();
    assert_eq!(t.r(CSTS), READY);
}

#[test]
fn a_queue_is_deleted_after_its_commands() {
    let mut t = ready(1);
    let ids = [t.submit(1, read(0, 1)), t.submit(1, read(1, 1))];
    t.work();
    let delete = Cmd::new(0).dword(10, 1);
    let deletion = t.submit(0, delete);
    assert_eq!(t.done(0), [], "it waits");
    assert_eq!(t.admin(delete).0, INVALID_QUEUE, "already under way");
    t.submit(1, read(2, 1));
    t.work();
    for id in ids {
        assert_eq!(t.look(0), []);
        let request = t.port.next();
        t.answer(request);
        assert_eq!(t.one(1, id).0, 0);
    }
    assert_eq!(t.one(0, deletion).0, 0);
    assert!(t.port.requests().is_empty(), "no more was taken off it");
    t.ok(Cmd::new(4).dword(10, 1));
    t.create(1, 4);
    assert_eq!(t.io(1, read(3, 1)), 0, "created anew");
}

#[test]
fn a_reset_in_mid_flight_waits_for_the_disk() {
    let mut t = ready(2);
    t.submit(1, read(0, 8));
    t.submit(2, write(0, 1));
    t.work();
    t.ram.write(DATA, &[0xaa; 4096]).expect("in RAM");
    t.store.fill(1);
    t.w(CC, 0);
    assert_eq!(t.r(CSTS), READY, "not yet");
    t.w(0x1008, 3);
    assert_eq!(t.nvme.in_flight(), 0);
    let (first, second) = (t.port.next(), t.port.next());
    t.answer(second);
    // Too early, but it comes to it.
    t.start();
    assert_eq!(t.nvme.in_flight(), 0);
    t.answer(first);
    assert_eq!(t.r(CSTS), READY);
    assert_eq!(t.memory(DATA, 4096), [0xaa; 4096], "nobody's any more");
    assert_eq!(t.done(1), [], "nor completed");
    t.create(1, 4);
    assert_eq!(t.io(1, read(9, 1)), 0);
    // A reset of the function or the machine.
    t.submit(1, read(0, 1));
    t.work();
    t.nvme.reset();
    assert_eq!([t.r(CC), t.r(CSTS), t.r(0x24)], [0; 3]);
    t.command_register(6);
    t.start();
    assert_eq!(t.r(CSTS), 0, "the disk is still busy");
    t.answer_all();
    assert_eq!(t.r(CSTS), READY);
}

#[test]
fn a_shutdown_flushes() {
    let mut t = ready(1);
    for _ in 0..3 {
        t.w(CC, ENABLED | 1 << 14);
        assert_eq!(t.r(CSTS), READY | 4, "under way");
        t.w(CC, ENABLED);
        assert_eq!(t.r(CSTS), READY);
    }
    t.w(CC, ENABLED | 2 << 14);
    let request = t.port.next();
    assert_eq!(request.op, BlockOp::Flush);
    assert!(t.port.requests().is_empty(), "one is enough");
    t.answer(request);
    assert_eq!(t.r(CSTS), READY | 8);
    t.w(CC, 0);
    assert_eq!(t.r(CSTS), 0);
    t.w(CC, 1 << 14);
    assert_eq!(t.r(CSTS), 8, "there is nothing to do");
}

#[test]
fn the_pin_follows_completions_and_masks() {
    let mut t = ready(1);
    assert!(!t.wire.high());
    t.submit(1, Cmd::new(FLUSH));
    t.work();
    t.answer_all();
    assert!(t.wire.high());
    t.w(0xc, 1);
    assert!(!t.wire.high());
    t.w(0x10, 1);
    assert!(t.wire.high());
    t.look(1);
    t.acknowledge(1);
    assert!(!t.wire.high());
    // A queue that does not interrupt.
    t.ok(Cmd::new(5)
        .dword(10, 2 | 7 << 16)
        .dword(11, 1)
        .prp(cq(2), 0));
    t.ok(Cmd::new(1)
        .dword(10, 2 | 7 << 16)
        .dword(11, 2 << 16 | 1)
        .prp(sq(2), 0));
    t.forget(2, 8);
    t.submit(2, Cmd::new(0x7f));
    t.work();
    assert!(!t.wire.high());
    assert_eq!(t.look(2).len(), 1);
}

/// Has the function send messages whose data is the vector's number.
fn with_messages(t: &mut Rig) {
    let table = |offset| Place::Bar { bar: 4, offset }.number();
    for vector in 0..17 {
        let (at, data) = (vector * 16, vector);
        t.nvme
            .write(table(at), Size::B8, 0xfee0_0000)
            .expect("it answers");
        t.nvme
            .write(table(at + 8), Size::B8, data)
            .expect("it answers");
    }
    let capability = (0x40..0xff)
        .step_by(4)
        .find(|at| t.nvme.read(*at, Size::B1) == Ok(0x11));
    let at = capability.expect("it has MSI-X");
    assert_eq!(t.nvme.read(at + 2, Size::B2), Ok(16), "17 vectors");
    t.nvme.write(at + 2, Size::B2, 0x8000).expect("it answers");
}

#[test]
fn each_queue_has_its_message() {
    let mut t = rig_of(config());
    with_messages(&mut t);
    t.start();
    (1..=16).for_each(|queue| t.create(queue, 8));
    t.mail.take();
    for queue in [16, 3] {
        for _ in 0..3 {
            t.submit(queue, Cmd::new(0x7f));
        }
    }
    t.work();
    let mut vectors: Vec<_> = t.mail.take().into_iter().map(|(_, data)| data).collect();
    vectors.sort_unstable();
    assert_eq!(vectors, [3, 16], "once each, for all that came together");
    assert!(!t.wire.high());
    let vector = Cmd::new(5).dword(10, 1).dword(11, 17 << 16 | 3);
    t.ok(Cmd::new(0).dword(10, 1));
    t.ok(Cmd::new(4).dword(10, 1));
    assert_eq!(
        t.admin(vector.dword(10, 7 << 16 | 1).prp(cq(1), 0)).0,
        INVALID_VECTOR
    );
}

#[test]
fn without_mastery_nothing_is_touched() {
    let mut t = ready(1);
    let id = t.submit(1, read(0, 1));
    t.work();
    t.store.fill(6);
    t.command_register(2);
    let request = t.port.next();
    t.answer(request);
    t.submit(1, read(1, 1));
    t.work();
    assert_eq!(t.look(1), []);
    assert_eq!(t.memory(DATA, 4), [0; 4]);
    t.command_register(6);
    t.work();
    t.answer_all();
    let done = t.done(1);
    let done: Vec<_> = done.iter().map(|d| (d.command, d.status)).collect();
    assert_eq!(
        done,
        [(id, 0), (id + 1, 0)],
        "the first was asked for again"
    );
    assert_eq!(t.memory(DATA, 4), [6; 4]);
}
