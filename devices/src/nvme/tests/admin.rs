//! Registers and admin commands.

use super::*;

#[test]
fn registers_say_what_the_controller_can() {
    let mut t = rig_of(config());
    assert_eq!(t.nvme.read(8, Size::B4), Ok(0x0108_0201));
    assert_eq!(t.nvme.read(0x10, Size::B4), Ok(4), "BAR 0 has 64 bits");
    // MQES, CQR, TO; the NVM command set; pages of 4 KiB.
    assert_eq!(t.read(0, Size::B8), 0x20_3c01_03ff);
    assert_eq!(t.r(4), 0x20);
    assert_eq!(t.read(2, Size::B2), 0x3c01);
    assert_eq!(t.r(8), 0x0001_0400);
    for at in (0..0x1000).step_by(4).chain([0x1000, 0x3ffc]) {
        let before = t.r(at);
        t.write(at, Size::B1, 0xff);
        t.write(at, Size::B2, 0xffff);
        assert_eq!(t.r(at), before, "{at:#x}");
    }
    t.w(0xc, 0xf0);
    t.w(0x10, 0x30);
    assert_eq!([t.r(0xc), t.r(0x10)], [0xc0; 2]);
    t.write(0x28, Size::B8, u64::MAX);
    t.w(0x34, 7);
    assert_eq!(t.read(0x28, Size::B8), !0xfff);
    assert_eq!(t.read(0x30, Size::B8), 7 << 32);
    t.w(0x24, u32::MAX);
    assert_eq!(t.r(0x24), 0x0fff_0fff);
    assert_eq!(t.r(0x38), 0, "no memory buffer");
}

#[test]
fn it_says_who_it_is() {
    let mut t = started();
    let identify = |cns| Cmd::new(6).dword(10, cns).prp(DATA, 0);
    t.ok(identify(1));
    let page = t.memory(DATA, 4096);
    assert_eq!(page[..4], [0x36, 0x1b, 0xf4, 0x1a]);
    assert_eq!(page[4..24], *b"S-1                 ");
    assert!(page[24..64].starts_with(b"Isoform NVMe  "));
    assert_eq!(page[77], 6, "256 KiB at once");
    assert_eq!(page[80..84], [0, 4, 1, 0]);
    assert_eq!(page[512..514], [0x66, 0x44]);
    assert_eq!(page[516], 1, "one namespace");
    assert_eq!(page[520], 0b1100);
    assert_eq!(page[525] & 1, 1, "a cache");
    assert!(page[768..].starts_with(b"nqn.2014.08.org.nvmexpress:1b361af4S-1  "));

    t.ok(identify(0));
    let page = t.memory(DATA, 4096);
    for at in [0, 8, 16] {
        assert_eq!(page[at..at + 8], BLOCKS.to_le_bytes());
    }
    assert_eq!(page[128..132], [0, 0, 9, 0], "blocks of 512 bytes");
    assert_eq!(page[99], 0);
    // Preferred writes, deallocations and their alignment, counted from 0.
    assert_eq!(page[64..74], [7, 0, 7, 0, 127, 0, 127, 0, 127, 0]);

    t.ok(identify(2).namespace(0));
    assert_eq!(t.memory(DATA, 8), [1, 0, 0, 0, 0, 0, 0, 0]);
    t.ok(identify(2));
    assert_eq!(t.memory(DATA, 8), [0; 8]);
    t.ok(identify(3));
    let page = t.memory(DATA, 24);
    assert_eq!(page[..4], [3, 16, 0, 0]);
    assert_eq!([page[10] >> 4, page[12] >> 6, page[20]], [8, 2, 0]);
    // Over two pages, and to where nothing is.
    t.ok(identify(1).prp(DATA + 0xffc, DATA + 0x2000));
    assert_eq!(t.memory(DATA + 0xffc, 4), [0x36, 0x1b, 0xf4, 0x1a]);
    assert_eq!(t.memory(DATA + 0x2000, 3), *b"S-1");
    for (command, status) in [
        (identify(0).namespace(0), INVALID_NAMESPACE),
        (identify(0).namespace(u32::MAX), INVALID_NAMESPACE),
        (identify(3).namespace(2), INVALID_NAMESPACE),
        (identify(2).namespace(u32::MAX), INVALID_NAMESPACE),
        (identify(0x10), INVALID_FIELD),
        (identify(1).prp(DATA + 2, 0), INVALID_OFFSET),
        (identify(1).prp(DATA + 4, DATA + 0x1008), INVALID_OFFSET),
        (identify(1).prp(0, 0), TRANSFER_ERROR),
        (identify(1).prp(!3, 0), TRANSFER_ERROR),
        (identify(1).dword(0, 6 | 1 << 14), INVALID_FIELD),
        (identify(1).dword(0, 6 | 1 << 8), INVALID_FIELD),
        (Cmd::new(0x80), INVALID_OPCODE),
    ] {
        assert_eq!(t.admin(command).0, status);
    }
    let read_only = DiskConfig {
        read_only: true,
        discard: false,
        ..config()
    };
    let mut t = rig_of(read_only);
    t.start();
    t.ok(identify(0));
    assert_eq!(t.memory(DATA + 99, 1), [1]);
    t.ok(identify(1));
    assert_eq!(t.memory(DATA + 520, 1), [0b1000]);
}

#[test]
fn features_are_set_and_got() {
    let mut t = started();
    let set = |id: u32, value| Cmd::new(9).dword(10, id).dword(11, value);
    let get = |id: u32, value| Cmd::new(10).dword(10, id).dword(11, value);
    assert_eq!(t.ok(set(7, 0x003f_0001)), 0x000f_000f);
    assert_eq!(t.ok(get(7, 0)), 0x000f_000f);
    for (id, default, value, kept) in [
        (1, 7, u32::MAX, 0xffff_ff07),
        (5, 0, u32::MAX, 0xffff),
        (6, 1, 0xfffe, 0),
        (8, 0, 0x0102, 0x0102),
        (0xa, 0, 1, 1),
        (0xb, 0, 0xff, 0xff),
        (2, 0, 0, 0),
        (4, 343, 300, 300),
        (9, 0, 0x1_0000, 0x1_0000),
    ] {
        assert_eq!(t.ok(get(id, 0)), default, "{id:#x}");
        t.ok(set(id, value));
        assert_eq!(t.ok(get(id, 0)), kept, "{id:#x}");
    }
    assert_eq!(t.ok(get(4, 1 << 20)), 0, "the other threshold");
    assert_eq!(t.ok(get(9, 16)), 16);
    for (command, status) in [
        (set(2, 1), INVALID_FIELD),
        (set(7, 0xffff), INVALID_FIELD),
        (set(0x55, 0), INVALID_FIELD),
        (get(0x55, 0), INVALID_FIELD),
        (get(6 | 1 << 8, 0), INVALID_FIELD),
        (get(9, 17), INVALID_FIELD),
        (set(9, 17), INVALID_FIELD),
        (set(4, 1 << 16), INVALID_FIELD),
        (set(6 | 1 << 31, 0), NOT_SAVEABLE),
    ] {
        assert_eq!(t.admin(command).0, status);
    }
    t.create(1, 4);
    assert_eq!(t.admin(set(7, 0)).0, SEQUENCE_ERROR);
    t.w(CC, 0);
    t.start();
    assert_eq!(t.ok(get(6, 0)), 1, "not over a reset");
}

#[test]
fn log_pages_are_read() {
    let mut t = ready(1);
    let log = |id: u32, dwords: u32| Cmd::new(2).dword(10, id | (dwords - 1) << 16).prp(DATA, 0);
    assert_eq!(t.io(1, write(0, 3)), 0);
    assert_eq!(t.io(1, read(BLOCKS, 1)), OUT_OF_RANGE);
    let id = t.submit(1, read(0, 1));
    t.work();
    let request = t.port.next().id;
    t.nvme.complete(request, Err(IoError));
    assert_eq!(t.one(1, id).0, READ_ERROR);
    t.ok(log(1, 64));
    let page = t.memory(DATA, 256);
    // The newest first: count, queue, command, status, and where in the command.
    assert_eq!(page[..10], [2, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(page[10..12], id.to_le_bytes());
    assert_eq!(page[12..16], [0x02, 0x05, 0xff, 0xff]);
    assert_eq!([page[24], page[64], page[128]], [1, 1, 0]);
    t.ok(log(2, 128));
    let page = t.memory(DATA, 512);
    assert_eq!([page[0], page[3], page[5]], [0, 100, 0]);
    let counters = [32, 48, 64, 80, 160, 176].map(|at| page[at]);
    assert_eq!(counters, [0, 1, 0, 1, 1, 2]);
    t.ok(log(3, 4));
    assert_eq!(t.memory(DATA, 16), *b"\x01\0\0\0\0\0\0\x001       ");
    // From an offset, and more than there is.
    t.ram.write(DATA, &[9; 1024]).expect("in RAM");
    t.ok(log(2, 256).dword(12, 508));
    assert_eq!(t.memory(DATA, 1024), [0; 1024]);
    for (command, status) in [
        (log(2, 1).dword(12, 516), INVALID_FIELD),
        (log(2, 1).dword(12, 2), INVALID_FIELD),
        (log(2, 1).dword(13, 1), INVALID_FIELD),
        (log(2, 1).dword(11, 1), INVALID_FIELD),
        (log(5, 1), INVALID_LOG),
    ] {
        assert_eq!(t.admin(command).0, status);
    }
    // A threshold below the temperature warns.
    t.ok(Cmd::new(9).dword(10, 4).dword(11, 300));
    t.ok(log(2, 1));
    assert_eq!(t.memory(DATA, 1), [2]);
}

#[test]
fn queues_are_created_and_deleted_by_the_rules() {
    let mut t = started();
    let make = |opcode, id: u32, size: u32| Cmd::new(opcode).dword(10, id | size << 16);
    let completion = |id, size| make(5, id, size).dword(11, 3).prp(cq(1), 0);
    let submission = |id, size| make(1, id, size).dword(11, 1 << 16 | 1).prp(sq(1), 0);
    let delete = |opcode, id| make(opcode, id, 0);
    for (command, status) in [
        (completion(0, 7), INVALID_QUEUE),
        (completion(17, 7), INVALID_QUEUE),
        (completion(1, 0), INVALID_SIZE),
        (completion(1, 1024), INVALID_SIZE),
        (completion(1, 7).dword(11, 2), INVALID_FIELD),
        (completion(1, 7).dword(11, 1 << 16 | 3), INVALID_VECTOR),
        (completion(1, 7).prp(cq(1) + 64, 0), INVALID_OFFSET),
        (completion(1, 7).prp(0x4000_0000, 0), TRANSFER_ERROR),
        (completion(1, 7).prp(!0xfff, 0), TRANSFER_ERROR),
        (submission(1, 7), NO_COMPLETION_QUEUE),
        (completion(1, 7), 0),
        (completion(1, 7), INVALID_QUEUE),
        (submission(0, 7), INVALID_QUEUE),
        (submission(1, 0), INVALID_SIZE),
        (submission(1, 7).dword(11, 1), INVALID_QUEUE),
        (submission(1, 7).dword(11, 17 << 16 | 1), INVALID_QUEUE),
        (submission(1, 7).dword(11, 2 << 16 | 1), NO_COMPLETION_QUEUE),
        (submission(1, 7).dword(11, 1 << 16), INVALID_FIELD),
        (submission(1, 7).prp(RAM + (8 << 20), 0), TRANSFER_ERROR),
        (submission(1, 1023), 0),
        (submission(2, 7), 0),
        (submission(2, 7), INVALID_QUEUE),
        (delete(4, 1), INVALID_DELETION),
        (delete(0, 0), INVALID_QUEUE),
        (delete(4, 0), INVALID_QUEUE),
        (delete(0, 3), INVALID_QUEUE),
        (delete(0, 0xffff), INVALID_QUEUE),
        (delete(0, 1), 0),
        (delete(4, 1), INVALID_DELETION),
        (delete(0, 2), 0),
        (delete(4, 1), 0),
        (delete(4, 1), INVALID_QUEUE),
        (completion(16, 7), 0),
    ] {
        assert_eq!(t.admin(command).0, status, "{:x?}", command.0);
    }
    // Entries of other sizes.
    t.w(CC, 0);
    t.start();
    t.w(CC, 1);
    assert_eq!(t.admin(completion(1, 7)).0, INVALID_FIELD);
    t.w(CC, 4 << 20 | 1);
    assert_eq!(t.admin(completion(1, 7)).0, 0);
    assert_eq!(t.admin(submission(1, 7)).0, INVALID_FIELD);
}

#[test]
fn doorbells_that_cannot_be_are_told_of() {
    let mut t = ready(1);
    let ask = Cmd::new(0xc);
    let asked: Vec<u16> = (0..4).map(|_| t.submit(0, ask)).collect();
    let fifth = t.submit(0, ask);
    assert_eq!(t.one(0, fifth).0, EVENT_LIMIT);
    // A queue that does not exist, a tail and heads beyond the end.
    for (at, value) in [
        (0x1000 + 8 * 5, 0),
        (0x1008, 16),
        (0x100c, 1),
        (0x100c, 0x1_0000),
    ] {
        t.w(at, value);
    }
    let done = t.done(0);
    assert_eq!(done.len(), 1, "one, until its log page was read: {done:?}");
    assert!(asked.contains(&done[0].command));
    assert_eq!([u32::from(done[0].status), done[0].result], [0, 0x1_0000]);
    // Read without clearing.
    let log = Cmd::new(2).dword(10, 1 | 1 << 15).prp(DATA, 0);
    assert_eq!(t.ok(log), 0);
    let id = t.submit(0, log.dword(10, 1));
    let done = t.done(0);
    let results = done.iter().map(|d| (d.command == id, d.result));
    assert_eq!(results.collect::<Vec<_>>(), [(true, 0), (false, 0x1_0100)]);
    assert_eq!(t.io(1, read(0, 1)), 0, "the queue is as it was");
}
