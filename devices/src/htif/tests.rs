//! What test programs and the proxy kernel do.

use isoform_core::{Saved, Size};
use isoform_memory::Ram;
use proptest::prelude::*;

use super::{Htif, HtifEvent, WRITE_MAX, spec};

const BASE: u64 = 0x8000_0000;
const TOHOST: u64 = BASE + 0x1000;
const FROMHOST: u64 = BASE + 0x1040;
const BLOCK: u64 = BASE + 0x2000;
/// Device 1, command 0.
const READ: u64 = 0x0100_0000_0000_0000;

fn rig() -> (Htif, Ram) {
    let ram = Ram::new(BASE, 0x4_0000).expect("256 KiB");
    (Htif::new(TOHOST, Some(FROMHOST)), ram)
}

fn put(ram: &Ram, at: u64, words: &[u64]) {
    for (at, &word) in (at..).step_by(8).zip(words) {
        ram.store(at, Size::B8, word).expect("in RAM");
    }
}

fn get(ram: &Ram, at: u64) -> u64 {
    ram.load(at, Size::B8).expect("in RAM")
}

#[test]
fn an_odd_word_ends_the_program_with_its_code() {
    let (mut htif, ram) = rig();
    assert_eq!(htif.poll(&ram), None);
    for (word, code) in [(1, 0), (3, 1), (1337 << 1 | 1, 1337)] {
        put(&ram, TOHOST, &[word]);
        assert_eq!(htif.poll(&ram), Some(HtifEvent::Exit(code)));
        assert_eq!(get(&ram, TOHOST), 0, "taken");
    }
}

#[test]
fn the_console_prints() {
    let (mut htif, ram) = rig();
    put(&ram, TOHOST, &[0x0101_0000_0000_0000 | u64::from(b'A')]);
    assert_eq!(htif.poll(&ram), Some(HtifEvent::Output(b"A".to_vec())));
    assert_eq!(get(&ram, FROMHOST), 0);
}

#[test]
fn a_console_read_is_answered_once_there_is_input() {
    let (mut htif, ram) = rig();
    assert_eq!(htif.receive(&ram, b"early"), 0, "nobody reads");
    put(&ram, TOHOST, &[READ]);
    assert_eq!(htif.poll(&ram), Some(HtifEvent::Read));
    assert_eq!(htif.receive(&ram, b""), 0);
    assert_eq!((get(&ram, TOHOST), get(&ram, FROMHOST)), (0, 0));
    assert_eq!(htif.receive(&ram, b"xy"), 1, "a read is for one character");
    assert_eq!(get(&ram, FROMHOST), READ | 0x100 | u64::from(b'x'));
    assert_eq!(htif.receive(&ram, b"y"), 0, "it was answered");
}

#[test]
fn an_answer_waits_until_the_one_before_was_taken() {
    let (mut htif, ram) = rig();
    for byte in [b"x", b"y"] {
        put(&ram, TOHOST, &[READ]);
        htif.poll(&ram);
        assert_eq!(htif.receive(&ram, byte), 1);
    }
    assert_eq!(get(&ram, FROMHOST) as u8, b'x');
    put(&ram, FROMHOST, &[0]);
    htif.poll(&ram);
    assert_eq!(get(&ram, FROMHOST) as u8, b'y');
}

#[test]
fn the_proxied_write_prints_and_answers_with_its_length() {
    let (mut htif, ram) = rig();
    ram.write(BASE + 0x3001, b"hello").expect("in RAM");
    put(&ram, BLOCK, &[spec::SYS_WRITE, 1, BASE + 0x3001, 5]);
    put(&ram, TOHOST, &[BLOCK]);
    assert_eq!(htif.poll(&ram), Some(HtifEvent::Output(b"hello".to_vec())));
    assert_eq!(get(&ram, BLOCK), 5);
    assert_eq!(get(&ram, FROMHOST), 1);
}

#[test]
fn bad_system_calls_get_errors_and_long_writes_are_short() {
    let (mut htif, ram) = rig();
    let cases = [
        ([spec::SYS_WRITE, 3, BASE, 1], spec::EBADF),
        ([spec::SYS_WRITE, 1, 0, 1], spec::EFAULT),
        ([spec::SYS_WRITE, 1, u64::MAX, u64::MAX], spec::EFAULT),
        ([spec::SYS_WRITE, 1, BASE, u64::MAX], WRITE_MAX),
        ([4242, 0, 0, 0], spec::ENOSYS),
    ];
    for (call, result) in cases {
        put(&ram, BLOCK, &call);
        put(&ram, FROMHOST, &[0]);
        put(&ram, TOHOST, &[BLOCK]);
        htif.poll(&ram);
        assert_eq!(get(&ram, BLOCK), result, "{call:x?}");
        assert_eq!(get(&ram, FROMHOST), 1);
    }
    put(&ram, BLOCK, &[spec::SYS_EXIT, 7]);
    put(&ram, TOHOST, &[BLOCK]);
    assert_eq!(htif.poll(&ram), Some(HtifEvent::Exit(7)));
}

#[test]
fn symbols_outside_of_ram_are_silent() {
    let ram = Ram::new(BASE, 0x1000).expect("4 KiB");
    let mut htif = Htif::new(u64::MAX, Some(3));
    assert_eq!(htif.poll(&ram), None);
    assert_eq!(htif.receive(&ram, &[0; 10_000]), 0);
}

proptest! {
    #[test]
    fn any_words_are_served_in_bounded_room_and_state_survives(
        words in prop::collection::vec((any::<u64>(), 0..4u8, any::<[u64; 4]>()), 0..60),
        input in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let (mut htif, ram) = rig();
        for (word, kind, block) in words {
            put(&ram, BLOCK, &block);
            let word = match kind {
                0 => word,
                1 => BLOCK,
                2 => READ,
                _ => word & 0x0101_0000_ffff_ffff,
            };
            put(&ram, TOHOST, &[word]);
            if let Some(HtifEvent::Output(bytes)) = htif.poll(&ram) {
                prop_assert!(bytes.len() as u64 <= WRITE_MAX);
            }
            prop_assert!(htif.receive(&ram, &input) <= 1);
            prop_assert!(htif.answers.len() <= super::ANSWERS_MAX);
            let mut other = Htif::new(TOHOST, Some(FROMHOST));
            other.restore_bytes(&htif.save_bytes()).expect("own state");
            prop_assert_eq!(other.state(), htif.state());
        }
    }
}
