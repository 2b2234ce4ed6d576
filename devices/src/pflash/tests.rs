//! What the chips' datasheets say, the sequences that drivers use, and what hostile
//! guests might.

use std::sync::{Arc, Mutex};

use isoform_core::{Device, Saved, Size};
use isoform_memory::{Ram, Rom};
use proptest::prelude::*;

use super::spec::{BUFFER, QUERY_WORDS};
use super::{FlashState, Pflash};
use crate::testing::{Access, transfer};

const BASE: u64 = 0x2000_0000;
const BLOCK: u64 = 0x4_0000;
const SIZE: u64 = 4 * BLOCK;
const READY: u32 = 0x80_0080;

type Changes = Arc<Mutex<Vec<(u64, Vec<u8>)>>>;

struct Rig {
    flash: Pflash,
    rom: Arc<Rom>,
    changes: Changes,
}

fn rig_of(size: u64, read_only: bool) -> Rig {
    let ram = Ram::new(0x8000_0000, 0x1000).expect("4 KiB");
    let rom = Arc::new(Rom::new(BASE, size, &ram).expect("whole pages"));
    let changes = Changes::default();
    let heard = changes.clone();
    let port = move |offset, bytes: &[u8]| {
        let change = (offset, bytes.to_vec());
        heard.lock().expect("no test panics with it").push(change);
    };
    let flash = Pflash::new(rom.clone(), BLOCK, read_only, Some(Box::new(port)));
    Rig {
        flash,
        rom,
        changes,
    }
}

fn rig() -> Rig {
    rig_of(SIZE, false)
}

impl Rig {
    fn r(&mut self, offset: u64) -> u32 {
        self.flash.read(offset, Size::B4).expect("answered") as u32
    }
    fn w(&mut self, offset: u64, value: u32) {
        self.flash
            .write(offset, Size::B4, value.into())
            .expect("answered");
    }
    /// A command to both chips.
    fn c(&mut self, offset: u64, command: u8) {
        self.w(offset, u32::from(command) << 16 | u32::from(command));
    }
    fn program(&mut self, offset: u64, value: u32) -> u32 {
        self.c(offset, 0x40);
        self.w(offset, value);
        let status = self.r(offset);
        self.c(offset, 0x50);
        status
    }
    fn buffered(&mut self, offset: u64, words: &[u32]) -> u32 {
        self.c(offset, 0xe8);
        let count = words.len() as u32 - 1;
        self.w(offset, count << 16 | count);
        for (n, word) in words.iter().enumerate() {
            self.w(offset + n as u64 * 4, *word);
        }
        self.c(offset, 0xd0);
        let status = self.r(offset);
        self.c(offset, 0x50);
        status
    }
    fn erase(&mut self, offset: u64) -> u32 {
        self.c(offset, 0x20);
        self.c(offset, 0xd0);
        let status = self.r(offset);
        self.c(offset, 0x50);
        status
    }
    fn changed(&self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut *self.changes.lock().expect("no test panics with it"))
    }
}

#[test]
fn erased_flash_is_ones_and_answers_directly() {
    let mut t = rig();
    assert_eq!(t.r(0), u32::MAX);
    assert_eq!(t.rom.load(BASE, Size::B4), Some(0xffff_ffff));
    t.c(0, 0x70);
    assert_eq!(t.rom.load(BASE, Size::B4), None);
    assert_eq!(t.r(0), READY);
    t.c(0, 0xff);
    assert_eq!(t.rom.load(BASE, Size::B4), Some(0xffff_ffff));
}

#[test]
fn the_query_describes_the_chips() {
    let mut t = rig_of(32 << 20, false);
    t.c(0x55 * 4, 0x98);
    let q: Vec<u8> = (0..QUERY_WORDS)
        .map(|n| {
            let word = t.r(n * 4);
            assert_eq!(word >> 16, word & 0xffff, "both chips say the same");
            word as u8
        })
        .collect();
    assert_eq!(&q[0x10..0x13], b"QRY");
    assert_eq!(q[0x13..0x17], [1, 0, 0x31, 0]);
    assert_eq!(1u64 << q[0x27], 16 << 20, "one chip");
    assert_eq!(2usize << q[0x2a], BUFFER, "both buffers");
    let region = [q[0x2d], q[0x2e], q[0x2f], q[0x30]].map(u64::from);
    let blocks = region[0] + (region[1] << 8) + 1;
    let size = (region[2] << 8) + (region[3] << 16);
    assert_eq!((blocks, size * 2), (128, BLOCK));
    assert_eq!(&q[0x31..0x36], b"PRI10");
    assert_eq!(t.r(QUERY_WORDS * 4), 0);
    assert_eq!(t.r((32 << 20) - 4), 0);
    // A narrow read gives its lanes, a wide one two words.
    assert_eq!(t.flash.read(0x10 * 4 + 1, Size::B1), Ok(0));
    assert_eq!(t.flash.read(0x10 * 4 + 2, Size::B2), Ok(u64::from(b'Q')));
    assert_eq!(t.flash.read(0x10 * 4, Size::B8), Ok(0x0052_0052_0051_0051));
    t.c(0, 0xf0);
    assert_eq!(t.r(0x40), u32::MAX);
}

#[test]
fn identifiers_and_locks_are_read() {
    let mut t = rig();
    t.c(0, 0x90);
    assert_eq!([t.r(0), t.r(4), t.r(8)], [0x89_0089, 0x18_0018, 0]);
    t.c(BLOCK, 0x60);
    t.c(BLOCK, 0x01);
    assert_eq!(t.r(BLOCK), READY);
    t.c(0, 0x90);
    assert_eq!([t.r(8), t.r(BLOCK + 8)], [0, 0x1_0001]);
}

#[test]
fn programming_clears_bits_and_is_passed_on() {
    let mut t = rig();
    assert_eq!(t.program(8, 0xffff_00f0), READY);
    assert_eq!(t.program(8, 0xf0f0_ff3f), READY);
    assert_eq!(t.r(8), 0xf0f0_0030);
    assert_eq!(t.changed().len(), 2);
    assert_eq!(t.program(8, 0xf0f0_ff3f), READY);
    assert_eq!(t.changed(), [], "nothing changed");
    t.c(9, 0x10);
    t.flash.write(9, Size::B1, 0xab).expect("answered");
    t.c(0, 0xff);
    assert_eq!(t.r(8), 0xf0f0_0030);
    assert_eq!(t.rom.content(BASE + 9, Size::B1), Some(0));
}

#[test]
fn a_block_is_erased_once_confirmed() {
    let mut t = rig();
    t.program(BLOCK - 4, 1);
    t.program(BLOCK + 8, 2);
    t.changed();
    t.c(BLOCK, 0x20);
    assert_eq!(t.r(BLOCK), READY);
    t.c(BLOCK, 0xff);
    assert_eq!(t.r(BLOCK), READY | 0x30_0030, "a wrong sequence");
    t.c(0, 0x50);
    assert_eq!(t.r(BLOCK + 8), 2);
    assert_eq!(t.erase(BLOCK + 100), READY);
    assert_eq!((t.r(BLOCK - 4), t.r(BLOCK + 8)), (1, u32::MAX));
    let erased = (BLOCK, vec![0xff; BLOCK as usize]);
    assert_eq!(t.changed(), [erased]);
    assert_eq!(t.erase(BLOCK), READY);
    assert_eq!(t.changed(), [], "it was erased");
}

#[test]
fn a_buffered_write_programs_at_once() {
    let mut t = rig();
    assert_eq!(t.buffered(0x1010, &[1, 2, 3]), READY);
    assert_eq!([t.r(0x100c), t.r(0x1010), t.r(0x1018)], [u32::MAX, 1, 3]);
    assert_eq!(t.changed().len(), 1);
    let all = vec![0x5a5a_5a5a; BUFFER / 4];
    assert_eq!(t.buffered(0x3000, &all), READY);
    assert_eq!([t.r(0x3000), t.r(0x3ffc)], [0x5a5a_5a5a; 2]);
    assert_eq!(t.r(0x4000), u32::MAX);
    t.c(0x5000, 0xe8);
    t.w(0x5000, 0);
    t.w(0x5000, 7);
    t.c(0x5000, 0xff);
    assert_eq!(t.r(0x5000), READY | 0x30_0030, "not confirmed");
    t.c(0, 0x50);
    assert_eq!(t.r(0x5000), u32::MAX);
}

/// As VENOM's: a length that a guest names, and a buffer that has another.
#[test]
fn a_buffered_write_stays_in_its_buffer() {
    let mut t = rig();
    let bad = READY | 0x30_0030;
    // Longer than the buffers.
    for count in [0x400u32, 0x3fff, 0xffff] {
        t.c(0, 0xe8);
        t.w(0, count << 16 | count);
        assert_eq!(t.r(0), bad, "{count}");
        t.c(0, 0x50);
    }
    // Beyond the part of the block that the buffers stand for, at its start and its end.
    for (first, second) in [(0xffc, 0x1000), (0x1000, 0xffc), (0, BLOCK), (0, SIZE - 4)] {
        t.c(first, 0xe8);
        t.w(first, 3);
        t.w(first, 0);
        t.w(second, 0);
        assert_eq!(t.r(0), bad, "{first:#x} {second:#x}");
        t.c(0, 0x50);
    }
    // In another block than was named.
    t.c(0, 0xe8);
    t.w(0, 0);
    t.w(BLOCK, 0);
    assert_eq!(t.r(0), bad);
    t.c(0, 0x50);
    // At the end of the device, also by an access of eight bytes.
    let end = SIZE - BUFFER as u64;
    t.c(SIZE - 8, 0xe8);
    t.w(SIZE - 8, 1);
    t.flash.write(SIZE - 8, Size::B8, 0).expect("answered");
    t.c(SIZE - 8, 0xd0);
    assert_eq!(t.r(0), READY);
    t.c(0, 0xff);
    assert_eq!([t.r(SIZE - 12), t.r(SIZE - 4)], [u32::MAX, 0]);
    let changes = t.changed();
    assert_eq!(
        (changes.len(), changes[0].0, changes[0].1.len()),
        (1, end, BUFFER)
    );
}

#[test]
fn locked_blocks_and_protected_flash_do_not_change() {
    let mut t = rig();
    t.c(0, 0x60);
    t.c(0, 0x01);
    assert_eq!(t.program(0, 0), READY | 0x12_0012);
    assert_eq!(t.buffered(0, &[0]), READY | 0x12_0012);
    assert_eq!(t.erase(0), READY | 0x22_0022);
    assert_eq!(t.program(BLOCK, 0), READY);
    t.c(0, 0x60);
    t.c(0, 0xd0);
    assert_eq!(t.program(0, 0), READY);
    t.c(0, 0x60);
    t.c(0, 0x01);
    t.flash.reset();
    assert_eq!(t.program(4, 0), READY, "locks do not last");

    let mut t = rig_of(SIZE, true);
    assert_eq!(t.program(0, 0), READY | 0x12_0012);
    assert_eq!(t.erase(0), READY | 0x22_0022);
    assert_eq!(t.r(0), u32::MAX);
    assert_eq!(t.changed(), []);
}

#[test]
fn errors_stay_until_cleared_and_reset_keeps_contents() {
    let mut t = rig_of(SIZE, true);
    t.c(0, 0x40);
    t.w(0, 0);
    t.c(0, 0xff);
    t.c(0, 0x70);
    assert_eq!(t.r(0), READY | 0x12_0012);
    t.c(0, 0x50);
    t.c(0, 0x70);
    assert_eq!(t.r(0), READY);

    let mut t = rig();
    t.program(0, 5);
    t.c(0, 0xe8);
    t.flash.reset();
    assert_eq!(t.r(0), 5);
    assert_eq!(t.rom.load(BASE, Size::B4), Some(5));
}

#[test]
fn a_restored_flash_passes_on_what_differs() {
    let (mut a, mut b) = (rig(), rig());
    a.program(0x1000, 1);
    b.program(0x1000, 1);
    b.program(BLOCK, 2);
    b.changed();
    transfer(&a.flash, &mut b.flash);
    assert_eq!((b.r(0x1000), b.r(BLOCK)), (1, u32::MAX));
    assert_eq!(b.changed(), [(BLOCK, vec![0xff; 4096])]);
}

#[test]
fn states_of_other_flash_are_refused() {
    let mut t = rig();
    t.program(SIZE - 4, 1);
    let state = t.flash.state();
    let mut small = rig_of(BLOCK, false);
    assert!(small.flash.set_state(state.clone()).is_err());
    let bad = |change: fn(&mut FlashState)| {
        let mut state = state.clone();
        change(&mut state);
        rig().flash.set_state(state).is_err()
    };
    assert!(!bad(|_| {}));
    assert!(bad(|s| s.pages.push((u32::MAX, vec![0; 4096]))));
    assert!(bad(|s| s.pages[0].1.truncate(5)));
    assert!(bad(|s| s.locked.clear()));
    assert!(bad(|s| s.buffer.push(1)));
    assert!(bad(|s| {
        s.buffer = vec![0; BUFFER];
        s.next = super::Next::Buffer { part: SIZE };
    }));
    assert!(bad(|s| s.next = super::Next::Count { block: 12 }));
}

/// Mostly commands and sequences, at a few places.
fn accesses() -> impl Strategy<Value = Vec<Access>> {
    let commands = prop::sample::select(vec![
        0x10u64, 0x20, 0x40, 0x50, 0x60, 0x70, 0x90, 0x98, 0xd0, 0xe8, 0xff, 0x01, 0x02,
    ]);
    let value = prop_oneof![4 => commands, 1 => any::<u64>()];
    let place = prop_oneof![
        0..64u64,
        BUFFER as u64 - 16..BUFFER as u64 + 16,
        BLOCK - 16..BLOCK + 16,
        SIZE - 32..SIZE
    ];
    let size = prop::sample::select(vec![Size::B1, Size::B2, Size::B4, Size::B8]);
    let access =
        (place, size, any::<bool>(), value).prop_map(|(offset, size, write, value)| Access {
            offset: offset & !(size.bytes() - 1),
            size,
            write: write.then_some(value),
        });
    prop::collection::vec(access, 0..60)
}

fn run(t: &mut Rig, accesses: &[Access]) -> Vec<String> {
    let step = |access: &Access| {
        let read = access.run(&mut t.flash);
        // Harts see what the device would say, or come to the device.
        if let (Some(Ok(value)), Some(direct)) =
            (read, t.rom.load(BASE + access.offset, access.size))
        {
            assert_eq!(value, direct);
        }
        format!("{read:?} {:?}", t.rom.load(BASE, Size::B1))
    };
    accesses.iter().map(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_restored_flash_behaves_as_the_saved_one(before in accesses(), after in accesses()) {
        let (mut a, mut b) = (rig(), rig());
        run(&mut a, &before);
        b.flash.restore(&a.flash.save()).expect("own saved state is accepted");
        prop_assert_eq!(run(&mut a, &after), run(&mut b, &after));
    }

    /// What the port was told, in order, makes the same contents.
    #[test]
    fn a_file_that_follows_the_port_has_the_contents(accesses in accesses()) {
        let mut t = rig();
        run(&mut t, &accesses);
        let mut file = vec![0xff; SIZE as usize];
        for (offset, bytes) in t.changed() {
            file[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let mut contents = vec![0; SIZE as usize];
        t.rom.read(BASE, &mut contents).expect("all of it");
        prop_assert!(file == contents);
    }
}
