//! The PLIC specification's sentences, one a test.

use std::sync::Arc;

use isoform_core::{Device, IrqSink, Size};
use proptest::prelude::*;

use super::spec::*;
use super::{Plic, PlicDevice};
use crate::testing::{Access, Wire, transfer};

struct Rig {
    plic: Arc<Plic>,
    regs: PlicDevice,
    out: Vec<Arc<Wire>>,
}

fn rig() -> Rig {
    let (out, lines) = (0..4).map(|_| Wire::pair()).unzip();
    let plic = Plic::new(VIRT_SOURCES, lines);
    Rig {
        regs: PlicDevice::new(plic.clone()),
        plic,
        out,
    }
}

impl Rig {
    fn r(&mut self, offset: u64) -> u32 {
        self.regs.read(offset, Size::B4).expect("four bytes") as u32
    }
    fn w(&mut self, offset: u64, value: u32) {
        self.regs
            .write(offset, Size::B4, u64::from(value))
            .expect("four bytes");
    }
    fn enable(&mut self, context: u64, source: u64, priority: u32) {
        self.w(PRIORITY + 4 * source, priority);
        let word = ENABLE + ENABLE_STRIDE * context + source / 32 * 4;
        let old = self.r(word);
        self.w(word, old | 1 << (source % 32));
    }
    fn claim(&mut self, context: u64) -> u32 {
        self.r(CONTEXT + CONTEXT_STRIDE * context + CLAIM_COMPLETE)
    }
    fn complete(&mut self, context: u64, source: u32) {
        self.w(CONTEXT + CONTEXT_STRIDE * context + CLAIM_COMPLETE, source);
    }
    fn threshold(&mut self, context: u64, value: u32) {
        self.w(CONTEXT + CONTEXT_STRIDE * context, value);
    }
}

#[test]
fn a_level_is_claimed_once_and_comes_back_after_completion() {
    let mut t = rig();
    t.enable(1, 10, 1);
    t.plic.set(10, true);
    assert!(t.out[1].high() && !t.out[0].high());
    assert_eq!(t.r(PENDING), 1 << 10);
    assert_eq!(t.claim(1), 10);
    assert!(!t.out[1].high());
    assert_eq!(t.r(PENDING), 0);
    assert_eq!(t.claim(1), 0, "in service: the gateway is shut");
    t.complete(1, 10);
    assert!(t.out[1].high(), "the level is still high");
    assert_eq!(t.claim(1), 10);
    t.plic.set(10, false);
    t.complete(1, 10);
    assert!(!t.out[1].high());
}

#[test]
fn a_request_outlives_its_level() {
    let mut t = rig();
    t.enable(0, 3, 1);
    t.plic.set(3, true);
    t.plic.set(3, false);
    assert!(t.out[0].high());
    assert_eq!(t.claim(0), 3);
    t.complete(0, 3);
    assert_eq!(t.claim(0), 0);
}

#[test]
fn an_edge_while_in_service_pends_at_completion_only() {
    let mut t = rig();
    t.enable(0, 3, 1);
    t.plic.set(3, true);
    assert_eq!(t.claim(0), 3);
    t.plic.set(3, false);
    t.plic.set(3, true);
    assert_eq!(t.r(PENDING), 0);
    t.complete(0, 3);
    assert_eq!(t.r(PENDING), 8);
}

#[test]
fn higher_priority_first_then_lower_number() {
    let mut t = rig();
    for (source, priority) in [(40, 2), (41, 7), (5, 2), (95, 7)] {
        t.enable(0, source, priority);
        t.plic.set(source as u32, true);
    }
    let order: Vec<u32> = (0..5).map(|_| t.claim(0)).collect();
    assert_eq!(order, [41, 95, 5, 40, 0]);
}

#[test]
fn priority_zero_never_interrupts() {
    let mut t = rig();
    t.enable(0, 7, 0);
    t.plic.set(7, true);
    assert!(!t.out[0].high());
    assert_eq!(t.claim(0), 0);
    t.w(PRIORITY + 28, 1);
    assert!(t.out[0].high());
}

#[test]
fn the_threshold_masks_up_to_and_including_itself_and_claims_ignore_it() {
    let mut t = rig();
    t.enable(0, 7, 3);
    t.plic.set(7, true);
    t.threshold(0, 3);
    assert!(!t.out[0].high());
    t.threshold(0, 2);
    assert!(t.out[0].high());
    t.threshold(0, 7);
    assert_eq!(t.claim(0), 7);
}

#[test]
fn contexts_race_and_one_wins() {
    let mut t = rig();
    t.enable(1, 9, 1);
    t.enable(3, 9, 1);
    t.plic.set(9, true);
    assert!(t.out[1].high() && t.out[3].high());
    assert_eq!(t.claim(3), 9);
    assert!(!t.out[1].high());
    assert_eq!(t.claim(1), 0);
    t.complete(1, 9);
    assert_eq!(
        t.claim(3),
        9,
        "completion by another context that has it enabled"
    );
}

#[test]
fn completion_without_enable_is_ignored() {
    let mut t = rig();
    t.enable(0, 9, 1);
    t.plic.set(9, true);
    assert_eq!(t.claim(0), 9);
    t.complete(2, 9);
    t.complete(0, 10);
    t.complete(0, 0xffff_ffff);
    assert_eq!(t.claim(0), 0);
    t.complete(0, 9);
    assert_eq!(t.claim(0), 9);
}

#[test]
fn fields_are_warl_and_what_is_not_there_reads_zero() {
    let mut t = rig();
    t.w(PRIORITY, 7);
    assert_eq!(t.r(PRIORITY), 0);
    t.w(PRIORITY + 4 * 95, 0xffff_ffff);
    assert_eq!(t.r(PRIORITY + 4 * 95), 7);
    t.w(PRIORITY + 4 * 96, 7);
    assert_eq!(t.r(PRIORITY + 4 * 96), 0);
    for (word, mask) in [
        (0, 0xffff_fffe),
        (4, 0xffff_ffff),
        (8, 0xffff_ffff),
        (12, 0),
    ] {
        t.w(ENABLE + word, 0xffff_ffff);
        assert_eq!(t.r(ENABLE + word), mask);
    }
    t.w(ENABLE + 4 * ENABLE_STRIDE, 0xffff_ffff);
    assert_eq!(t.r(ENABLE + 4 * ENABLE_STRIDE), 0);
    t.w(PENDING, 0xffff_ffff);
    assert_eq!(t.r(PENDING), 0);
    t.threshold(0, 0xff);
    assert_eq!(t.r(CONTEXT), 7);
    assert_eq!(t.claim(4), 0);
    assert!(t.regs.read(0, Size::B8).is_err());
    t.plic.set(0, true);
    t.plic.set(96, true);
    t.plic.set(u32::MAX, true);
}

#[test]
fn reset_lowers_everything() {
    let mut t = rig();
    t.enable(1, 10, 1);
    t.plic.set(10, true);
    t.regs.reset();
    assert!(!t.out[1].high());
    assert_eq!(t.r(PENDING), 0);
    assert_eq!(t.r(PRIORITY + 40), 0);
}

fn steps() -> impl Strategy<Value = Vec<(Option<(u32, bool)>, Access)>> {
    let offset = prop_oneof![
        0..400u64,
        PENDING..PENDING + 16,
        ENABLE..ENABLE + 5 * ENABLE_STRIDE,
        (0..5u64, 0..12u64).prop_map(|(c, o)| CONTEXT + c * CONTEXT_STRIDE + o),
        any::<u64>().prop_map(|o| o % 0x60_0000),
    ];
    let access = (offset, prop::option::of(any::<u32>())).prop_map(|(offset, write)| Access {
        offset: offset & !3,
        size: Size::B4,
        write: write.map(u64::from),
    });
    let line = prop::option::of((0..100u32, any::<bool>()));
    prop::collection::vec((line, access), 0..80)
}

fn run(t: &mut Rig, steps: &[(Option<(u32, bool)>, Access)]) -> Vec<String> {
    steps
        .iter()
        .map(|(line, access)| {
            if let Some((source, level)) = line {
                t.plic.set(*source, *level);
            }
            let read = access.run(&mut t.regs);
            let out: Vec<bool> = t.out.iter().map(|w| w.high()).collect();
            format!("{read:?} {out:?}")
        })
        .collect()
}

proptest! {
    #[test]
    fn a_restored_controller_behaves_as_the_saved_one(before in steps(), after in steps()) {
        let (mut a, mut b) = (rig(), rig());
        run(&mut a, &before);
        transfer(&a.regs, &mut b.regs);
        for (a, b) in a.out.iter().zip(&b.out) {
            prop_assert_eq!(a.high(), b.high());
        }
        prop_assert_eq!(run(&mut a, &after), run(&mut b, &after));
    }
}

#[test]
fn state_of_another_machine_is_refused() {
    let mut t = rig();
    let other = PlicDevice::new(Plic::new(VIRT_SOURCES, vec![Wire::pair().1]));
    let error = t
        .regs
        .restore(&other.save())
        .expect_err("one context, not four");
    assert!(
        error.to_string().contains("1 contexts, this machine 4"),
        "{error}"
    );
}
