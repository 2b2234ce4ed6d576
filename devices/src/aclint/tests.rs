//! The ACLINT specification's sentences, one a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use isoform_core::{Device, Size};
use proptest::prelude::*;

use super::spec::*;
use super::{Aclint, HartLines, Sswi};
use crate::testing::{HandClock, Wire, any_access, transfer};

struct Rig {
    aclint: Aclint,
    clock: Arc<HandClock>,
    offset: Arc<AtomicU64>,
    written: Arc<AtomicU32>,
    software: Vec<Arc<Wire>>,
    timer: Vec<Arc<Wire>>,
}

fn rig(harts: usize) -> Rig {
    let clock = Arc::new(HandClock::default());
    let offset = Arc::new(AtomicU64::new(0));
    let written = Arc::new(AtomicU32::new(0));
    let (software, s): (Vec<_>, Vec<_>) = (0..harts).map(|_| Wire::pair()).unzip();
    let (timer, t): (Vec<_>, Vec<_>) = (0..harts).map(|_| Wire::pair()).unzip();
    let lines = s.into_iter().zip(t);
    let count = written.clone();
    Rig {
        aclint: Aclint::new(
            clock.clone(),
            offset.clone(),
            Box::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            }),
            lines
                .map(|(software, timer)| HartLines { software, timer })
                .collect(),
        ),
        clock,
        offset,
        written,
        software,
        timer,
    }
}

impl Rig {
    fn r(&mut self, offset: u64, size: Size) -> u64 {
        self.aclint.read(offset, size).expect("a register")
    }
    fn w(&mut self, offset: u64, size: Size, value: u64) {
        self.aclint.write(offset, size, value).expect("a register");
    }
}

#[test]
fn msip_is_bit_zero_and_drives_the_line() {
    let mut t = rig(3);
    t.w(MSIP + 4, Size::B4, 0xffff_ffff);
    assert_eq!(t.r(MSIP + 4, Size::B4), 1);
    assert!(t.software[1].high() && !t.software[0].high() && !t.software[2].high());
    t.w(MSIP + 4, Size::B4, 0xffff_fffe);
    assert!(!t.software[1].high());
}

#[test]
fn mtime_counts_ten_million_a_second() {
    let mut t = rig(1);
    t.clock.set(1_000_000_099);
    assert_eq!(t.r(MTIME, Size::B8), TIMEBASE_HZ);
    assert_eq!(t.r(MTIME, Size::B4), TIMEBASE_HZ);
    assert_eq!(t.r(MTIME + 4, Size::B4), 0);
}

#[test]
fn the_timer_interrupt_pends_while_mtime_is_at_least_mtimecmp() {
    let mut t = rig(2);
    assert_eq!(t.aclint.deadline(), None);
    t.w(MTIMECMP + 8, Size::B8, 1000);
    assert_eq!(t.aclint.deadline(), Some(100_000));
    t.clock.set(99_999);
    t.aclint.expire();
    assert!(!t.timer[1].high());
    t.clock.set(100_000);
    t.aclint.expire();
    assert!(t.timer[1].high() && !t.timer[0].high());
    assert_eq!(t.aclint.deadline(), None);
    t.w(MTIMECMP + 8, Size::B8, 1001);
    assert!(!t.timer[1].high());
    assert_eq!(t.aclint.deadline(), Some(100_100));
}

#[test]
fn the_deadline_is_the_earliest_of_all_harts() {
    let mut t = rig(3);
    for (hart, cmp) in [(0, 500), (1, 200), (2, 300)] {
        t.w(MTIMECMP + 8 * hart, Size::B8, cmp);
    }
    assert_eq!(t.aclint.deadline(), Some(20_000));
    t.clock.set(20_000);
    t.aclint.expire();
    assert_eq!(t.aclint.deadline(), Some(30_000));
}

#[test]
fn a_deadline_stands_until_the_line_is_driven() {
    let mut t = rig(2);
    t.w(MTIMECMP, Size::B8, 1000);
    t.w(MTIMECMP + 8, Size::B8, 2000);
    t.clock.set(150_000);
    assert_eq!(t.aclint.deadline(), Some(100_000), "nobody raised the line");
    t.aclint.expire();
    assert!(t.timer[0].high() && !t.timer[1].high());
    assert_eq!(t.aclint.deadline(), Some(200_000));
}

#[test]
fn a_comparand_reached_while_it_is_written_is_not_lost() {
    // At each of these paces the clock passes the comparand at another look.
    for pace in 1..=200 {
        let mut t = rig(1);
        t.clock.run(pace);
        let before = t.aclint.deadline();
        let mtime = t.r(MTIME, Size::B8);
        t.w(MTIMECMP, Size::B8, mtime + 1);
        assert!(
            t.timer[0].high() || t.aclint.deadline() != before,
            "at {pace} ns a look nobody learns of the timer"
        );
    }
}

#[test]
fn the_deadline_does_not_depend_on_when_it_is_asked_for() {
    let mut t = rig(2);
    t.clock.set(123_456_789);
    t.w(MTIME, Size::B8, 77);
    t.clock.run(33);
    for cmp in [10_000, 1 << 40, u64::MAX / 1000] {
        t.w(MTIMECMP + 8, Size::B8, cmp);
        let first = t.aclint.deadline();
        assert!(first.is_some());
        for _ in 0..20 {
            t.aclint.expire();
            t.r(MTIME, Size::B8);
            assert_eq!(t.aclint.deadline(), first);
        }
    }
}

#[test]
fn a_restored_line_is_driven_by_the_present_time() {
    let (mut a, mut b) = (rig(1), rig(1));
    a.w(MTIMECMP, Size::B8, 1000);
    assert_eq!(a.aclint.deadline(), Some(100_000));
    b.clock.set(100_000);
    transfer(&a.aclint, &mut b.aclint);
    assert!(b.timer[0].high());
    assert_eq!(b.aclint.deadline(), None);
    b.clock.set(99_999);
    transfer(&a.aclint, &mut b.aclint);
    assert!(!b.timer[0].high());
    assert_eq!(b.aclint.deadline(), Some(100_000));
}

#[test]
fn halves_of_mtimecmp_can_be_written_alone() {
    let mut t = rig(1);
    t.w(MTIMECMP + 4, Size::B4, 0x1234_5678);
    assert_eq!(t.r(MTIMECMP, Size::B8), 0x1234_5678_ffff_ffff);
    t.w(MTIMECMP, Size::B4, 0x9abc_def0);
    assert_eq!(t.r(MTIMECMP, Size::B8), 0x1234_5678_9abc_def0);
}

#[test]
fn writing_mtime_moves_the_shared_offset_and_tells() {
    let mut t = rig(1);
    t.clock.set(1_000_000);
    t.w(MTIMECMP, Size::B8, 70_000);
    t.w(MTIME, Size::B8, 50_000);
    assert_eq!(t.r(MTIME, Size::B8), 50_000);
    assert_eq!(t.offset.load(Ordering::SeqCst), 40_000);
    assert_eq!(t.written.load(Ordering::SeqCst), 1);
    assert_eq!(t.aclint.deadline(), Some(3_000_000));
    t.w(MTIME, Size::B4, 70_000);
    assert!(t.timer[0].high());
    t.w(MTIME, Size::B8, 5);
    assert!(!t.timer[0].high(), "time may go back");
    assert_eq!(t.r(MTIME, Size::B8), 5);
}

#[test]
fn a_comparand_beyond_the_clock_is_never() {
    let mut t = rig(1);
    t.w(MTIMECMP, Size::B8, u64::MAX - 1);
    assert_eq!(t.aclint.deadline(), None);
}

#[test]
fn holes_read_zero_and_odd_sizes_fault() {
    let mut t = rig(1);
    t.w(MSIP + 4, Size::B4, 1);
    assert_eq!(t.r(MSIP + 4, Size::B4), 0);
    t.w(MTIMECMP + 8, Size::B8, 1);
    assert_eq!(t.r(MTIMECMP + 8, Size::B8), 0);
    assert_eq!(t.r(0xc000, Size::B4), 0);
    assert!(t.aclint.read(MSIP, Size::B8).is_err());
    assert!(t.aclint.write(MTIME, Size::B2, 0).is_err());
}

#[test]
fn reset_lowers_lines_and_starts_time_again() {
    let mut t = rig(1);
    t.clock.set(5_000);
    t.w(MSIP, Size::B4, 1);
    t.w(MTIMECMP, Size::B8, 0);
    assert!(t.timer[0].high() && t.software[0].high());
    t.aclint.reset();
    assert!(!t.timer[0].high() && !t.software[0].high());
    assert_eq!(t.r(MTIME, Size::B8), 0);
}

#[test]
fn setssip_is_a_pulse() {
    let (wire, line) = Wire::pair();
    let mut sswi = Sswi::new(vec![isoform_core::IrqLine::unconnected(), line]);
    for value in [1, 0, 3, 2] {
        assert_eq!(sswi.write(4, Size::B4, value), Ok(()));
        assert_eq!(sswi.read(4, Size::B4), Ok(0));
        assert!(!wire.high());
    }
    assert_eq!(wire.rises(), 2);
    assert_eq!(sswi.write(0x3ffc, Size::B4, 1), Ok(()));
    assert!(sswi.write(0, Size::B8, 1).is_err());
    transfer(&sswi, &mut Sswi::new(Vec::new()));
}

fn accesses() -> impl Strategy<Value = Vec<(u64, crate::testing::Access)>> {
    let near = prop_oneof![Just(0u64), Just(MTIMECMP), Just(MTIME - 8), Just(0xc000)];
    let access = (near, any_access(0x20)).prop_map(|(base, mut a)| {
        a.offset += base;
        a
    });
    prop::collection::vec((any::<u32>().prop_map(u64::from), access), 0..60)
}

fn run(t: &mut Rig, steps: &[(u64, crate::testing::Access)]) -> Vec<String> {
    steps
        .iter()
        .map(|(now, access)| {
            t.clock.set(*now);
            let read = access.run(&mut t.aclint);
            t.aclint.expire();
            let lines: Vec<bool> = t
                .timer
                .iter()
                .chain(&t.software)
                .map(|w| w.high())
                .collect();
            format!("{read:?} {lines:?} {:?}", t.aclint.deadline())
        })
        .collect()
}

proptest! {
    #[test]
    fn a_restored_aclint_behaves_as_the_saved_one(before in accesses(), after in accesses()) {
        let (mut a, mut b) = (rig(3), rig(3));
        run(&mut a, &before);
        b.clock.set(before.last().map_or(0, |s| s.0));
        transfer(&a.aclint, &mut b.aclint);
        prop_assert_eq!(a.offset.load(Ordering::SeqCst), b.offset.load(Ordering::SeqCst));
        prop_assert_eq!(run(&mut a, &after), run(&mut b, &after));
    }

    /// The run loop's way: look at the clock, then sleep until the next deadline.
    #[test]
    fn no_timer_is_lost_on_a_clock_that_runs(pace in 1..500u64, start in 0..5_000u64, cmp in 0..100u64) {
        let mut t = rig(1);
        t.clock.set(start);
        t.clock.run(pace);
        t.w(MTIMECMP, Size::B8, cmp);
        let mut turns = 0;
        while let Some(at) = t.aclint.deadline() {
            t.clock.wait_for(at);
            t.aclint.expire();
            turns += 1;
            prop_assert!(turns <= 1, "woken for nothing");
        }
        prop_assert!(t.timer[0].high());
    }

    #[test]
    fn the_deadline_is_when_the_line_rises(cmp in 1..1_000_000u64, start in 0..1_000_000u64, mtime in 0..1_000_000u64) {
        let mut t = rig(1);
        t.clock.set(start);
        t.w(MTIME, Size::B8, mtime);
        t.w(MTIMECMP, Size::B8, cmp);
        match t.aclint.deadline() {
            None => prop_assert!(t.timer[0].high()),
            Some(at) => {
                prop_assert!(at > start && !t.timer[0].high());
                t.clock.set(at - 1);
                t.aclint.expire();
                prop_assert!(!t.timer[0].high());
                t.clock.set(at);
                t.aclint.expire();
                prop_assert!(t.timer[0].high());
            }
        }
    }
}
