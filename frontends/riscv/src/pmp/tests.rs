//! PMP against the manual's tables and a slow reading of its text.

use super::*;
use crate::ext::{Cpu, ExtSet};
use crate::testing::Random;

const MODES: [Priv; 3] = [Priv::U, Priv::S, Priv::M];

fn state() -> State {
    State::reset(0)
}

/// The truth table of "Smepmp", row by row: L, R, W, X; M mode; S and U mode.
const TRUTH_TABLE: [(u8, &str, &str); 16] = [
    (0b0000, "", ""),
    (0b0001, "", "x"),
    (0b0010, "rw", "r"),
    (0b0011, "rw", "rw"),
    (0b0100, "", "r"),
    (0b0101, "", "rx"),
    (0b0110, "", "rw"),
    (0b0111, "", "rwx"),
    (0b1000, "", ""),
    (0b1001, "x", ""),
    (0b1010, "x", "x"),
    (0b1011, "rx", "x"),
    (0b1100, "r", ""),
    (0b1101, "rx", ""),
    (0b1110, "rw", ""),
    (0b1111, "r", "r"),
];

/// A configuration from the bits of a row.
fn row(lrwx: u8) -> u8 {
    let bit = |at: u8, flag: u8| if lrwx >> at & 1 != 0 { flag } else { 0 };
    bit(3, L) | bit(2, R) | bit(1, W) | bit(0, X)
}

fn letters(text: &str) -> u8 {
    text.chars()
        .map(|c| {
            if c == 'r' {
                R
            } else if c == 'w' {
                W
            } else {
                X
            }
        })
        .sum()
}

#[test]
fn lockdown_follows_the_truth_table() {
    for (lrwx, machine, user) in TRUTH_TABLE {
        let mut s = state();
        s.mseccfg = mseccfg::MML;
        s.pmpcfg[0] = A_NAPOT | row(lrwx);
        s.pmpaddr[0] = 0x1000 >> 2;
        let rules = Rules::new(&s);
        for mode in MODES {
            let expected = letters(if mode == Priv::M { machine } else { user });
            assert_eq!(
                rules.permissions(0x1000, 0x1000, mode),
                expected,
                "{lrwx:04b} {mode:?}"
            );
            for access in [Access::Fetch, Access::Load, Access::Store] {
                let allowed = expected & needed(access) != 0;
                assert_eq!(rules.check(0x1ff8, 8, access, mode), allowed);
            }
        }
    }
}

#[test]
fn without_a_match_only_machine_mode_goes_on() {
    for (mseccfg, machine) in [
        (0, R | W | X),
        (mseccfg::MML, R | W),
        (mseccfg::MMWP, 0),
        (mseccfg::MML | mseccfg::MMWP, 0),
    ] {
        let rules = Rules::new(&State { mseccfg, ..state() });
        assert_eq!(
            rules.permissions(0x8000_0000, 8, Priv::M),
            machine,
            "{mseccfg}"
        );
        assert_eq!(rules.permissions(0x8000_0000, 8, Priv::S), 0);
        assert_eq!(rules.permissions(u64::MAX, 8, Priv::U), 0);
    }
}

/// Whether entry `i` matches one byte, as the manual says it (Priv. 3.7.1.1).
fn matches(s: &State, i: usize, byte: u64) -> bool {
    let page = byte >> 12;
    let addr = |i: usize| s.pmpaddr[i] >> 10;
    match s.pmpcfg[i] >> 3 & 3 {
        1 => page < addr(i) && (i == 0 || addr(i - 1) <= page),
        3 => {
            // yyy01..1: the ones and the zero above them do not take part.
            let stored = s.pmpaddr[i] | 0x1ff;
            let mut free = 0;
            while stored >> free & 1 != 0 {
                free += 1;
            }
            byte >> 2 >> (free + 1) == stored >> (free + 1)
        }
        _ => false,
    }
}

/// What the manual's text allows, byte by byte.
fn slow_check(s: &State, gpa: u64, len: u64, access: Access, mode: Priv) -> bool {
    let bytes = || gpa..gpa + len;
    let (mml, mmwp) = (
        s.mseccfg & mseccfg::MML != 0,
        s.mseccfg & mseccfg::MMWP != 0,
    );
    let machine = mode == Priv::M;
    let Some(i) = (0..PMP_ENTRIES).find(|i| bytes().any(|b| matches(s, *i, b))) else {
        return machine && !mmwp && !(mml && access == Access::Fetch);
    };
    if !bytes().all(|b| matches(s, i, b)) {
        return false;
    }
    let cfg = s.pmpcfg[i];
    let want = match access {
        Access::Load => 'r',
        Access::Store => 'w',
        Access::Fetch => 'x',
    };
    if mml {
        let bits = [(L, 8), (R, 4), (W, 2), (X, 1)];
        let at: u8 = bits
            .iter()
            .map(|(flag, v)| if cfg & flag != 0 { *v } else { 0 })
            .sum();
        let (_, m, u) = TRUTH_TABLE[usize::from(at)];
        return (if machine { m } else { u }).contains(want);
    }
    machine && cfg & L == 0 || letters(&want.to_string()) & cfg != 0
}

#[test]
fn rules_agree_with_a_slow_reading() {
    let mut random = Random(7);
    let mut allowed = 0;
    for _ in 0..400 {
        let mut s = state();
        s.mseccfg = random.below(4);
        for i in 0..PMP_ENTRIES {
            let cfg = random.next() as u8 & (L | A | R | W | X);
            // Few enough entries that others get to decide.
            s.pmpcfg[i] = if random.below(3) == 0 {
                legal_cfg(0, cfg, true)
            } else {
                0
            };
            // Within 64 pages; sizes from one page to all of them, and now and then huge.
            let ones = (1u64 << random.below(17)) - 1;
            s.pmpaddr[i] = (random.below(64 << 12) >> 2 & !ones | ones >> 1) & ADDR_MASK;
            if random.below(30) == 0 {
                s.pmpaddr[i] = random.next() & ADDR_MASK;
            }
        }
        let rules = Rules::new(&s);
        for _ in 0..100 {
            let gpa = random.below(65 << 12);
            let gpa = if random.below(2) == 0 {
                gpa
            } else {
                (gpa & !0xfff).saturating_sub(4)
            };
            let len = 1 << random.below(4);
            let access = [Access::Fetch, Access::Load, Access::Store][random.below(3) as usize];
            let mode = MODES[random.below(3) as usize];
            let expected = slow_check(&s, gpa, len, access, mode);
            allowed += u32::from(expected);
            let found = rules.check(gpa, len, access, mode);
            assert_eq!(
                found, expected,
                "{gpa:#x}+{len} {access:?} {mode:?} {:x?} {:x?}",
                s.pmpcfg, s.pmpaddr
            );
        }
    }
    assert!(
        (8_000..32_000).contains(&allowed),
        "both answers occur: {allowed}"
    );
}

#[test]
fn the_largest_region_is_everything() {
    let mut s = state();
    open(&mut s);
    let rules = Rules::new(&s);
    for gpa in [0, 1 << 40, (1 << 56) - 4096] {
        assert_eq!(rules.permissions(gpa, 4096, Priv::U), R | W | X);
    }
}

#[test]
fn the_grain_shows_in_the_address_registers() {
    let mut s = state();
    write_addr(&mut s, 0, u64::MAX);
    assert_eq!(
        read_addr(&s, 0),
        ADDR_MASK & !0x3ff,
        "off: the lowest one tells G"
    );
    write_cfg(&mut s, 0, A_NAPOT.into());
    assert_eq!(read_addr(&s, 0), ADDR_MASK);
    write_addr(&mut s, 0, 0);
    assert_eq!(read_addr(&s, 0), 0x1ff);
    write_addr(&mut s, 0, 0x200);
    write_cfg(&mut s, 0, A_TOR.into());
    assert_eq!(read_addr(&s, 0), 0);
    write_cfg(&mut s, 0, A_NAPOT.into());
    assert_eq!(read_addr(&s, 0), 0x3ff, "what is stored stays");
    assert_eq!((read_addr(&s, 16), read_cfg(&s, 16)), (0, 0));
    write_addr(&mut s, 16, 1);
}

#[test]
fn reserved_configurations_are_not_taken() {
    let mut s = state();
    write_cfg(&mut s, 8, 0x60 | u64::from(A_TOR | W | X));
    assert_eq!(s.pmpcfg[8], A_TOR | X, "W without R");
    write_cfg(&mut s, 8, u64::from(A_NA4 | R));
    assert_eq!(s.pmpcfg[8], A_TOR | R, "the grain excludes NA4");
    s.mseccfg = mseccfg::MML;
    write_cfg(&mut s, 8, u64::from(A_TOR | W | X));
    assert_eq!(s.pmpcfg[8], A_TOR | W | X, "shared, under MML");
    assert_eq!(read_cfg(&s, 8), u64::from(A_TOR | W | X));
}

#[test]
fn locked_entries_stay() {
    let mut s = state();
    write_addr(&mut s, 1, 0x400);
    write_addr(&mut s, 2, 0x800);
    write_cfg(&mut s, 0, u64::from(L | A_TOR | R) << 16);
    write_cfg(&mut s, 0, 0x0707_0707_0707_0707);
    assert_eq!(s.pmpcfg[..4], [7, 7, L | A_TOR | R, 7]);
    for i in 0..4 {
        write_addr(&mut s, i, 0x1000);
    }
    assert_eq!(
        s.pmpaddr[..4],
        [0x1000, 0x400, 0x800, 0x1000],
        "a TOR lock covers its bottom"
    );
    s.mseccfg = mseccfg::RLB;
    write_addr(&mut s, 1, 0x1400);
    write_cfg(&mut s, 0, 0);
    assert_eq!((s.pmpaddr[1], s.pmpcfg[2]), (0x1400, 0), "RLB lifts locks");

    // A locked entry that is no TOR does not lock its neighbour's address.
    let mut s = state();
    write_cfg(&mut s, 0, u64::from(L | A_NAPOT) << 8);
    write_addr(&mut s, 0, 0x1000);
    write_addr(&mut s, 1, 0x1000);
    assert_eq!(s.pmpaddr[..2], [0x1000, 0]);
}

#[test]
fn lockdown_adds_no_executable_machine_rules() {
    for (lrwx, machine, _) in TRUTH_TABLE {
        let refused = lrwx & 8 != 0 && machine.contains('x');
        for (bypass, refused) in [(0, refused), (mseccfg::RLB, false)] {
            let mut s = state();
            s.mseccfg = mseccfg::MML | bypass;
            s.pmpcfg[3] = A_NAPOT;
            write_cfg(&mut s, 0, u64::from(A_TOR | row(lrwx)) << 24);
            let expected = if refused { A_NAPOT } else { A_TOR | row(lrwx) };
            assert_eq!(s.pmpcfg[3], expected, "{lrwx:04b} with RLB {bypass}");
        }
    }
}

#[test]
fn the_extension_set_does_not_matter_here() {
    // Without Smepmp `mseccfg` stays 0, which is what selects the classic rules.
    assert_ne!(Cpu::default().ext, ExtSet::NONE);
    assert_eq!(crate::csr::legal::mseccfg(ExtSet::NONE, 0, 7, false), 0);
}
