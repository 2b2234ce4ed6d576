//! The controller by the sentences of the Advanced Interrupt Architecture 1.0, chapter 4.

use proptest::prelude::*;

use super::*;
use crate::testing::{any_access, transfer};

const SOURCES: u32 = 96;
const MACHINE: u64 = 0x2400_0000;
const SUPERVISOR: u64 = 0x2800_0000;

/// Remembers messages.
#[derive(Default)]
struct Tape(Mutex<Vec<(u64, u32)>>);

impl MsiSink for Tape {
    fn send(&self, address: u64, data: u32) {
        self.0.lock().expect("no panic").push((address, data));
    }
}

struct Rig {
    tape: Arc<Tape>,
    aplic: Arc<Aplic>,
    domains: [AplicDomain; 2],
}

fn rig(delegated: bool) -> Rig {
    let tape = Arc::new(Tape::default());
    let to = delegated.then_some(SUPERVISOR);
    let aplic = Aplic::new(SOURCES, tape.clone(), to);
    let domains = [Level::Machine, Level::Supervisor];
    Rig {
        tape,
        domains: domains.map(|level| AplicDomain::new(aplic.clone(), level)),
        aplic,
    }
}

use Level::{Machine as M, Supervisor as S};

impl Rig {
    fn w(&mut self, level: Level, offset: u64, value: u32) {
        let written = self.domains[level as usize].write(offset, Size::B4, value.into());
        written.expect("answered");
    }

    fn r(&mut self, level: Level, offset: u64) -> u32 {
        let read = self.domains[level as usize].read(offset, Size::B4);
        read.expect("answered") as u32
    }

    fn sent(&self) -> Vec<(u64, u32)> {
        std::mem::take(&mut self.tape.0.lock().expect("no panic"))
    }

    /// Source `n` looked at in a mode, enabled, sent to a hart as identity `n`.
    fn listen(&mut self, level: Level, n: u32, mode: SourceMode, hart: u32) {
        self.w(level, spec::DOMAINCFG, spec::DOMAINCFG_IE);
        self.w(level, 4 * u64::from(n), mode as u32);
        self.w(level, spec::GENMSI + 4 * u64::from(n), hart << 18 | n);
        self.w(level, spec::SETIENUM, n);
    }
}

#[test]
fn a_line_becomes_a_message_to_its_hart() {
    let mut t = rig(true);
    t.listen(S, 8, SourceMode::Level1, 3);
    t.aplic.set(8, true);
    assert_eq!(t.sent(), [(SUPERVISOR + 0x3000, 8)]);
    assert_eq!(t.r(S, spec::SETIP), 0, "sent is no longer pending");
    assert_eq!(t.r(S, spec::IN_CLRIP), 1 << 8);
    t.aplic.set(8, true);
    assert_eq!(t.sent(), []);
    // 4.9.2: still asserted, so it is sent again when the handler asks.
    t.w(S, spec::SETIPNUM, 8);
    assert_eq!(t.sent(), [(SUPERVISOR + 0x3000, 8)]);
    t.aplic.set(8, false);
    t.w(S, spec::SETIPNUM_LE, 8);
    assert_eq!(t.sent(), [], "a level that is low is not pending");
}

#[test]
fn each_mode_sees_its_edge_or_level() {
    for (mode, at_start, rise, fall) in [
        (SourceMode::Detached, 0, 0, 0),
        (SourceMode::Edge1, 0, 1, 0),
        (SourceMode::Edge0, 0, 0, 1),
        (SourceMode::Level1, 0, 1, 0),
        (SourceMode::Level0, 1, 0, 1),
    ] {
        let mut t = rig(true);
        t.listen(S, 5, mode, 0);
        assert_eq!(t.sent().len(), at_start, "{mode:?}");
        t.aplic.set(5, true);
        assert_eq!(t.sent().len(), rise, "{mode:?}");
        t.aplic.set(5, false);
        assert_eq!(t.sent().len(), fall, "{mode:?}");
    }
}

#[test]
fn pending_waits_for_both_enables() {
    let mut t = rig(true);
    t.listen(S, 40, SourceMode::Edge1, 0);
    t.w(S, spec::CLRIENUM, 40);
    t.aplic.set(40, true);
    assert_eq!(t.r(S, spec::SETIP + 4), 1 << 8);
    t.w(S, spec::DOMAINCFG, 0);
    t.w(S, spec::SETIE + 4, 1 << 8);
    assert_eq!(t.sent(), []);
    t.w(S, spec::DOMAINCFG, spec::DOMAINCFG_IE);
    assert_eq!(t.sent().len(), 1);
    t.w(S, spec::SETIP + 4, 1 << 8);
    assert_eq!(t.sent().len(), 1);
    t.w(S, spec::CLRIE + 4, 1 << 8);
    t.w(S, spec::SETIPNUM, 40);
    t.w(S, spec::IN_CLRIP + 4, 1 << 8);
    t.w(S, spec::SETIENUM, 40);
    assert_eq!(t.sent(), []);
}

#[test]
fn the_root_delegates_and_takes_back() {
    let mut t = rig(false);
    t.listen(S, 7, SourceMode::Level1, 0);
    assert_eq!(t.r(S, 4 * 7), 0, "not delegated: not implemented");
    t.w(M, 4 * 7, spec::SOURCECFG_D | 5);
    assert_eq!(t.r(M, 4 * 7), spec::SOURCECFG_D);
    t.listen(S, 7, SourceMode::Level1, 0);
    assert_eq!(t.r(S, 4 * 7), 6);
    t.w(S, 4 * 7, spec::SOURCECFG_D);
    assert_eq!(t.r(S, 4 * 7), 0, "a leaf cannot delegate");
    t.listen(S, 7, SourceMode::Level1, 0);
    t.listen(M, 7, SourceMode::Level1, 1);
    assert_eq!(t.r(S, 4 * 7), 0);
    assert_eq!(t.r(S, spec::SETIE), 0);
    t.w(M, spec::MMSIADDRCFG, (MACHINE >> 12) as u32);
    t.w(M, spec::MMSIADDRCFGH, 4 << 12);
    t.aplic.set(7, true);
    assert_eq!(t.sent(), [(MACHINE + 0x1000, 7)]);
}

/// 4.9.1, with numbers worked out by hand: groups of four harts, 2^25 bytes apart, two
/// pages a hart.
#[test]
fn addresses_follow_the_formula_and_lock() {
    let mut t = rig(false);
    t.w(M, spec::SMSIADDRCFG, (SUPERVISOR >> 12) as u32);
    t.w(M, spec::SMSIADDRCFGH, 1 << 20 | 0x2);
    t.w(M, spec::MMSIADDRCFGH, 1 << 24 | 2 << 16 | 2 << 12);
    t.w(S, spec::GENMSI, 0b110 << 18 | 99);
    let address = 0x2 << 44 | SUPERVISOR | 1 << 25 | 0b10 << 13;
    assert_eq!(t.sent(), [(address, 99)]);
    assert_eq!(t.r(S, spec::GENMSI), 0b110 << 18 | 99);
    assert_eq!(t.r(S, spec::MMSIADDRCFGH), 0, "the root's alone");
    t.w(M, spec::MMSIADDRCFGH, !0);
    assert_eq!(t.r(M, spec::MMSIADDRCFGH), spec::MMSIADDRCFGH_MASK);
    for register in (spec::MMSIADDRCFG..=spec::SMSIADDRCFGH).step_by(4) {
        let before = t.r(M, register);
        t.w(M, register, 0);
        assert_eq!(t.r(M, register), before);
    }
}

#[test]
fn there_is_no_source_zero_and_none_beyond_the_last() {
    let mut t = rig(true);
    for n in [0, SOURCES + 1, 1023] {
        if n != 0 {
            t.listen(S, n, SourceMode::Edge1, 0);
        }
        t.aplic.set(n, true);
        t.w(S, spec::SETIPNUM, n);
    }
    t.aplic.set(u32::MAX, true);
    t.w(S, spec::SETIPNUM, u32::MAX);
    for word in 0..32 {
        t.w(S, spec::SETIP + 4 * word, !0);
        t.w(S, spec::SETIE + 4 * word, !0);
        assert_eq!(t.r(S, spec::SETIP + 4 * word), 0);
        assert_eq!(t.r(S, spec::SETIE + 4 * word), 0);
    }
    assert_eq!(t.sent(), []);
    assert_eq!(t.r(S, spec::DOMAINCFG), 0x8000_0104);
    assert_eq!(t.r(S, spec::CLRIE), 0);
    assert_eq!(t.domains[1].read(0, Size::B8), Err(BusFault));
}

#[test]
fn a_reset_keeps_the_wires() {
    let mut t = rig(true);
    t.aplic.set(9, true);
    t.listen(S, 9, SourceMode::Level1, 0);
    assert_eq!(t.sent().len(), 1, "it was high before anybody looked");
    t.domains[0].reset();
    assert_eq!(t.r(S, spec::DOMAINCFG), 0x8000_0004);
    assert_eq!(t.r(S, spec::SETIE), 0);
    t.listen(S, 9, SourceMode::Level1, 0);
    assert_eq!(t.sent().len(), 1);
}

proptest! {
    #[test]
    fn any_accesses_leave_a_state_that_can_be_saved(
        accesses in prop::collection::vec((any::<bool>(), any_access(spec::SIZE)), 0..200),
        wires in prop::collection::vec((0..200u32, any::<bool>()), 0..50),
        delegated in any::<bool>(),
    ) {
        let mut t = rig(delegated);
        for (at, (root, access)) in accesses.iter().enumerate() {
            if let Some(&(number, level)) = wires.get(at) {
                t.aplic.set(number, level);
            }
            access.run(&mut t.domains[usize::from(*root)]);
        }
        let mut other = rig(!delegated);
        for (from, to) in t.domains.iter().zip(&mut other.domains) {
            transfer(from, to);
        }
    }
}
