//! NVM commands: data, errors, bounds.

use super::*;

#[test]
fn data_is_where_prp_entries_say() {
    let mut t = ready(1);
    let content = pattern(256 << 10);
    let page = |n: u64| DATA + 0x10_0000 + n * 0x1000;
    // Pages backwards.
    let backwards: Vec<u64> = (0..64).rev().map(page).collect();
    let lists = DATA + 0x20_0000;
    list(&t, lists, &backwards);
    // At the end of a page, with one entry that leads to the others.
    list(&t, lists + 0x1ff0, &[backwards[0], lists + 0x3000]);
    list(&t, lists + 0x3000, &backwards[1..]);
    list(&t, lists + 0x4ff0, &backwards[..2]);
    for (first, second, len) in [
        (DATA, 0, 4096),
        (DATA + 512, 0, 3584),
        (DATA + 0xffc, page(9), 512),
        (DATA, page(0), 8192),
        (DATA + 0x800, lists, 8192),
        (DATA + 0xe00, lists, 512 + 64 * 4096 - 512),
        (DATA + 0x800, lists + 0x1ff0, 256 << 10),
        // The last entry of a page is data where it is the last of all.
        (DATA, lists + 0x4ff0, 8192 + 512),
    ] {
        let at = |n: usize| {
            let lead = 0x1000 - (first % 0x1000) as usize;
            match n.checked_sub(lead) {
                None => first + n as u64,
                Some(n) if second < lists => second + n as u64,
                Some(n) => backwards[n / 4096] + (n % 4096) as u64,
            }
        };
        let blocks = (len / 512) as u32;
        t.store.fill(0);
        t.store[512..512 + len].copy_from_slice(&content[..len]);
        let command = Cmd::new(READ).prp(first, second).blocks(1, blocks);
        assert_eq!(t.io(1, command), 0, "{first:x} {second:x}");
        for n in (0..len).step_by(4) {
            assert_eq!(t.memory(at(n), 4), content[n..n + 4], "{n:x} of {first:x}");
        }
        let command = Cmd::new(WRITE).prp(first, second).blocks(2000, blocks);
        assert_eq!(t.io(1, command), 0);
        assert!(t.store[2000 * 512..].starts_with(&content[..len]));
    }
}

#[test]
fn prp_entries_that_cannot_be_are_refused() {
    let mut t = ready(1);
    let lists = DATA + 0x20_0000;
    let end = RAM + (8 << 20);
    list(&t, lists, &[DATA + 8, DATA]);
    list(&t, lists + 0x100, &[0x4000_0000, DATA]);
    // Lists that lead to themselves, or to the middle of a page.
    list(&t, lists + 0x1ff8, &[lists + 0x1ff8]);
    list(&t, lists + 0x2000, &[lists + 0x2000; 512]);
    list(&t, lists + 0x3ff8, &[lists + 0x3000]);
    list(&t, lists + 0x3000, &[DATA; 511]);
    for (first, second, blocks, status) in [
        (DATA + 1, 0, 1, INVALID_OFFSET),
        (0, 0, 1, TRANSFER_ERROR),
        (0x4000_0000, 0, 1, TRANSFER_ERROR),
        (end - 4, 0, 1, TRANSFER_ERROR),
        (end - 512, end, 2, TRANSFER_ERROR),
        (u64::MAX - 3, 0, 1, TRANSFER_ERROR),
        (DATA, DATA + 0x1004, 16, INVALID_OFFSET),
        (DATA, 0, 16, TRANSFER_ERROR),
        (DATA, lists + 4, 64, INVALID_OFFSET),
        (DATA, lists, 64, INVALID_OFFSET),
        (DATA, lists + 0x100, 64, TRANSFER_ERROR),
        (DATA, !7, 64, TRANSFER_ERROR),
        (DATA, end - 8, 64, TRANSFER_ERROR),
        (DATA, lists + 0x1ff8, 64, INVALID_OFFSET),
        (DATA, 0, 513, INVALID_FIELD),
        (DATA, lists, 0x1_0000, OUT_OF_RANGE),
    ] {
        for opcode in [READ, WRITE] {
            let command = Cmd::new(opcode).prp(first, second).blocks(0, blocks);
            assert_eq!(t.io(1, command), status, "{first:x} {second:x} {blocks}");
        }
    }
    // The same page again and again is no error.
    for second in [lists + 0x2000, lists + 0x3ff8] {
        let command = Cmd::new(READ).prp(DATA, second).blocks(0, 512);
        assert_eq!(t.io(1, command), 0);
    }
}

#[test]
fn io_commands_that_cannot_be_are_refused() {
    let mut t = ready(1);
    for (command, status) in [
        (read(BLOCKS, 1), OUT_OF_RANGE),
        (read(BLOCKS - 1, 2), OUT_OF_RANGE),
        (write(u64::MAX, 1), OUT_OF_RANGE),
        (read(u64::MAX / 512, 8), OUT_OF_RANGE),
        (Cmd::new(ZEROES).blocks(BLOCKS - 1, 2), OUT_OF_RANGE),
        (read(0, 1).namespace(0), INVALID_NAMESPACE),
        (read(0, 1).namespace(2), INVALID_NAMESPACE),
        (read(0, 1).namespace(u32::MAX), INVALID_NAMESPACE),
        (Cmd::new(FLUSH).namespace(2), INVALID_NAMESPACE),
        (Cmd::new(5), INVALID_OPCODE),
        (Cmd::new(0xff), INVALID_OPCODE),
        (read(0, 1).dword(0, 2 | 2 << 14), INVALID_FIELD),
        (Cmd::new(FLUSH).namespace(u32::MAX), 0),
        (read(BLOCKS - 1, 1), 0),
    ] {
        assert_eq!(t.io(1, command), status, "{:x?}", command.0);
    }
    let mut t = rig_of(DiskConfig {
        read_only: true,
        discard: false,
        ..config()
    });
    t.start();
    t.create(1, 4);
    assert_eq!(t.io(1, write(0, 1)), PROTECTED);
    assert_eq!(t.io(1, Cmd::new(ZEROES).blocks(0, 1)), PROTECTED);
    assert_eq!(t.io(1, Cmd::new(DATASET)), INVALID_OPCODE);
    assert_eq!(t.io(1, read(0, 8)), 0);
}

#[test]
fn what_the_disk_is_asked_for_and_how_it_fails() {
    let mut t = ready(1);
    t.ram.write(DATA, &[5; 512]).expect("in RAM");
    let data = vec![5; 512];
    let written = |through| BlockOp::Write {
        sector: 3,
        data: data.clone(),
        through,
    };
    let zeroes = |unmap, through| BlockOp::WriteZeroes {
        sector: 9,
        sectors: 100,
        unmap,
        through,
    };
    let zero = Cmd::new(ZEROES);
    let force = 1 << 30;
    let uncached = Cmd::new(9).dword(10, 6).dword(11, 0);
    for (command, op, status) in [
        (write(3, 1), written(false), WRITE_FAULT),
        (
            Cmd::new(WRITE).prp(DATA, 0).dword(12, force).blocks(3, 1),
            written(true),
            WRITE_FAULT,
        ),
        (zero.blocks(9, 100), zeroes(false, false), WRITE_FAULT),
        (
            zero.dword(12, 1 << 25).blocks(9, 100),
            zeroes(true, false),
            WRITE_FAULT,
        ),
        (
            zero.dword(12, force).blocks(9, 100),
            zeroes(false, true),
            WRITE_FAULT,
        ),
        (Cmd::new(FLUSH), BlockOp::Flush, INTERNAL),
        (
            read(7, 1),
            BlockOp::Read {
                sector: 7,
                len: 512,
            },
            READ_ERROR,
        ),
    ] {
        for fails in [false, true] {
            let id = t.submit(1, command);
            t.work();
            assert_eq!(t.look(1), [], "not before the disk answered");
            let request = t.port.next();
            assert_eq!(request.op, op);
            match fails {
                false => t.answer(request),
                true => t.nvme.complete(request.id, Err(IoError)),
            }
            assert_eq!(t.one(1, id).0, if fails { status } else { 0 });
        }
    }
    t.ok(uncached);
    t.ram.write(DATA, &data).expect("in RAM");
    t.submit(1, write(3, 1));
    t.work();
    assert_eq!(t.port.next().op, written(true), "there is no cache");
    // A read of another length.
    let mut t = ready(1);
    let id = t.submit(1, read(0, 1));
    t.work();
    let request = t.port.next().id;
    t.nvme.complete(request, Ok(vec![1; 511]));
    assert_eq!(t.one(1, id).0, READ_ERROR);
    t.nvme.complete(request, Ok(vec![1; 512]));
    t.nvme.complete(77, Ok(Vec::new()));
    assert_eq!(t.done(1), []);
}

#[test]
fn ranges_are_deallocated_one_after_the_other() {
    let large = DiskConfig {
        capacity: u64::from(DISCARD_MAX) * 3,
        ..config()
    };
    let mut t = rig_of(large);
    t.start();
    t.create(1, 8);
    let ranges = [(8u64, 4u32), (5, 0), (100, DISCARD_MAX * 2 + 1), (0, 1)];
    let bytes: Vec<u8> = ranges
        .iter()
        .map(|(block, blocks)| u128::from(*blocks) << 32 | u128::from(*block) << 64)
        .flat_map(u128::to_le_bytes)
        .collect();
    t.ram.write(DATA, &bytes).expect("in RAM");
    let command = Cmd::new(DATASET).dword(10, 3).dword(11, 4).prp(DATA, 0);
    let id = t.submit(1, command);
    t.work();
    let max = u64::from(DISCARD_MAX);
    for (sector, sectors) in [
        (8, 4),
        (100, max),
        (100 + max, max),
        (100 + 2 * max, 1),
        (0, 1),
    ] {
        let request = t.port.next();
        assert_eq!(request.op, BlockOp::Discard { sector, sectors });
        assert!(t.port.requests().is_empty(), "one at a time");
        t.answer(request);
    }
    assert_eq!(t.one(1, id).0, 0);
    // A hint alone; nothing at all; beyond the end; a list that is not there.
    let none = command.dword(10, 0).prp(DATA + 16, 0);
    for (command, status) in [
        (command.dword(11, 3), 0),
        (none, 0),
        (command.dword(10, 255).prp(RAM + (8 << 20) - 4096, 0), 0),
        (
            command.dword(10, 255).prp(RAM + (8 << 20) - 16, 0),
            TRANSFER_ERROR,
        ),
    ] {
        assert_eq!(t.io(1, command), status);
    }
    t.ram.write(DATA, &[0xff; 16]).expect("in RAM");
    assert_eq!(t.io(1, command), OUT_OF_RANGE);
    assert!(t.port.requests().is_empty());
}

#[test]
fn completions_wait_for_room() {
    let mut t = started();
    t.create(1, 4);
    let ids: Vec<u16> = (0..3).map(|n| t.submit(1, read(n, 1))).collect();
    t.work();
    t.answer_all();
    let more = t.submit(1, Cmd::new(0x7f));
    t.work();
    let done = t.look(1);
    assert_eq!(done.iter().map(|d| d.command).collect::<Vec<_>>(), ids);
    assert_eq!(t.port.requests().len(), 0);
    t.acknowledge(1);
    assert_eq!(t.one(1, more).0, INVALID_OPCODE);
}

#[test]
fn requests_are_bounded_and_queues_take_turns() {
    let mut t = started();
    t.create(1, 128);
    t.create(2, 128);
    for queue in [1, 2] {
        for _ in 0..100 {
            t.enter(queue, read(u64::from(queue), 1));
        }
        t.w(0x1000 + 8 * u64::from(queue), 100);
    }
    t.work();
    let sectors = |t: &Rig| {
        let ops = t.port.requests();
        let sector = |op: &BlockOp| matches!(op, BlockOp::Read { sector: 1, .. });
        [ops.len(), ops.iter().filter(|r| sector(&r.op)).count()]
    };
    assert_eq!(sectors(&t), [IN_FLIGHT_MAX, IN_FLIGHT_MAX / 2]);
    t.nvme.process(0);
    assert_eq!(sectors(&t), [IN_FLIGHT_MAX, IN_FLIGHT_MAX / 2]);
    assert_eq!(t.ok(Cmd::new(10).dword(10, 6)), 1, "admin commands go on");
    t.answer_all();
    assert_eq!([t.done(1).len(), t.done(2).len()], [100; 2]);
    // Commands without end come back to the run loop.
    let mut t = started();
    t.create(1, 1024);
    for _ in 0..1023 {
        t.enter(1, Cmd::new(0x7f));
    }
    t.w(0x1008, 1023);
    for _ in 0..3 {
        t.enter(0, Cmd::new(0x80));
    }
    t.w(0x1000, t_tail(&t));
    assert!(t.bell.swap(false, std::sync::atomic::Ordering::SeqCst));
    t.nvme.process(0);
    assert!(
        t.bell.load(std::sync::atomic::Ordering::SeqCst),
        "more later"
    );
    assert_eq!(t.done(1).len(), 1023);
}

/// The tail behind the admin commands that were entered.
fn t_tail(t: &Rig) -> u32 {
    let queue = t.nvme.queues.submission(0).expect("it is ready");
    u32::from(queue.tail) + 3
}
