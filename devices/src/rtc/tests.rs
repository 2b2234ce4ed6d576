//! What the Goldfish guide says, and what the Linux driver does.

use std::sync::Arc;

use isoform_core::{Device, Size};
use proptest::prelude::*;

use super::spec::*;
use super::{NANOS_PER_SECOND, Rtc};
use crate::testing::{Access, HandClock, Wire, any_access, transfer};

struct Rig {
    rtc: Rtc,
    clock: Arc<HandClock>,
    irq: Arc<Wire>,
}

fn rig() -> Rig {
    let clock = Arc::new(HandClock::default());
    let (irq, line) = Wire::pair();
    Rig {
        rtc: Rtc::new(clock.clone(), line),
        clock,
        irq,
    }
}

impl Rig {
    fn r(&mut self, offset: u64) -> u32 {
        self.rtc.read(offset, Size::B4).expect("four bytes") as u32
    }
    fn w(&mut self, offset: u64, value: u64) {
        self.rtc.write(offset, Size::B4, value).expect("four bytes");
    }
    fn time(&mut self) -> u64 {
        let low = self.r(TIME_LOW);
        u64::from(self.r(TIME_HIGH)) << 32 | u64::from(low)
    }
    fn set_alarm(&mut self, at: u64) {
        self.w(ALARM_HIGH, at >> 32);
        self.w(ALARM_LOW, at & 0xffff_ffff);
    }
}

const START: u64 = HandClock::EPOCH * NANOS_PER_SECOND;

#[test]
fn it_shows_nanoseconds_since_the_epoch() {
    let mut t = rig();
    t.clock.set(123);
    assert_eq!(t.time(), START + 123);
}

#[test]
fn reading_the_low_half_latches_the_high_half() {
    let mut t = rig();
    let high = (START >> 32) as u32;
    t.r(TIME_LOW);
    t.clock.set(1 << 33);
    assert_eq!(t.r(TIME_HIGH), high);
    t.r(TIME_LOW);
    assert_eq!(t.r(TIME_HIGH), high + 2);
}

#[test]
fn the_guest_can_set_the_time_and_reset_keeps_it() {
    let mut t = rig();
    t.clock.set(1000);
    t.w(TIME_HIGH, 0x1234);
    t.w(TIME_LOW, 0x5678_9abc);
    assert_eq!(t.time(), 0x1234_5678_9abc);
    t.rtc.reset();
    t.clock.set(1001);
    assert_eq!(t.time(), 0x1234_5678_9abd);
}

#[test]
fn the_alarm_interrupts_at_its_time_until_cleared() {
    let mut t = rig();
    t.w(IRQ_ENABLED, 1);
    t.set_alarm(START + 500);
    assert_eq!(t.r(ALARM_STATUS), 1);
    assert_eq!(t.rtc.deadline(), Some(500));
    t.clock.set(499);
    t.rtc.expire();
    assert!(!t.irq.high());
    t.clock.set(500);
    t.rtc.expire();
    assert!(t.irq.high());
    assert_eq!(t.r(ALARM_STATUS), 0);
    assert_eq!(t.rtc.deadline(), None);
    t.w(CLEAR_INTERRUPT, 1);
    assert!(!t.irq.high());
}

#[test]
fn the_deadline_does_not_depend_on_when_it_is_asked_for() {
    let mut t = rig();
    t.w(TIME_HIGH, (START >> 32) - 5);
    t.w(IRQ_ENABLED, 1);
    let at = t.time() + 5000;
    t.set_alarm(at);
    t.clock.run(7);
    let first = t.rtc.deadline();
    assert!(first.is_some());
    for _ in 0..20 {
        t.r(TIME_LOW);
        t.rtc.expire();
        assert_eq!(t.rtc.deadline(), first);
    }
    t.clock.set(10_000);
    assert_eq!(t.rtc.deadline(), first, "nobody fired the alarm yet");
    t.rtc.expire();
    assert!(t.irq.high());
    assert_eq!(t.rtc.deadline(), None);
}

#[test]
fn an_alarm_that_came_due_before_a_restore_fires_at_its_deadline() {
    let (mut a, mut b) = (rig(), rig());
    a.w(IRQ_ENABLED, 1);
    a.set_alarm(START + 500);
    b.clock.set(800);
    b.clock.run(1);
    transfer(&a.rtc, &mut b.rtc);
    assert!(!b.irq.high());
    let at = b.rtc.deadline().expect("armed");
    assert_eq!(b.rtc.deadline(), Some(at));
    b.clock.wait_for(at);
    b.rtc.expire();
    assert!(b.irq.high());
}

#[test]
fn an_alarm_in_the_past_fires_at_once_and_masked_it_only_pends() {
    let mut t = rig();
    t.set_alarm(5);
    assert!(!t.irq.high());
    t.w(IRQ_ENABLED, 1);
    assert!(t.irq.high());
}

#[test]
fn a_cleared_alarm_does_not_fire() {
    let mut t = rig();
    t.w(IRQ_ENABLED, 1);
    t.set_alarm(START + 500);
    t.w(CLEAR_ALARM, 1);
    assert_eq!(t.rtc.deadline(), None);
    t.clock.set(1000);
    t.rtc.expire();
    assert!(!t.irq.high());
}

#[test]
fn setting_the_time_past_the_alarm_fires_it() {
    let mut t = rig();
    t.w(IRQ_ENABLED, 1);
    t.set_alarm(START + (1 << 40));
    t.w(TIME_HIGH, (START >> 32) + 1000);
    assert!(t.irq.high());
}

#[test]
fn other_sizes_fault() {
    let mut t = rig();
    assert!(t.rtc.read(TIME_LOW, Size::B8).is_err());
    assert!(t.rtc.write(TIME_LOW, Size::B1, 0).is_err());
}

fn run(t: &mut Rig, steps: &[(u64, Access)]) -> Vec<String> {
    steps
        .iter()
        .map(|(now, access)| {
            t.clock.set(*now);
            t.rtc.expire();
            let read = access.run(&mut t.rtc);
            format!("{read:?} {} {:?}", t.irq.high(), t.rtc.deadline())
        })
        .collect()
}

fn steps() -> impl Strategy<Value = Vec<(u64, Access)>> {
    prop::collection::vec((any::<u64>(), any_access(0x28)), 0..60)
}

proptest! {
    #[test]
    fn a_restored_clock_behaves_as_the_saved_one(before in steps(), after in steps()) {
        let (mut a, mut b) = (rig(), rig());
        run(&mut a, &before);
        b.clock.set(before.last().map_or(0, |s| s.0));
        transfer(&a.rtc, &mut b.rtc);
        prop_assert_eq!(run(&mut a, &after), run(&mut b, &after));
    }
}
