//! The CSRs of this frontend, one line each, in the order of the manual's tables
//! (Priv. 2.2).

use super::fields::{counters, envcfg, fcsr, mip, mstatus};
use super::legal;
use crate::ext::Ext;
use crate::hart::Hart;
use crate::imsic::Level;
use crate::pmp;

/// What enables a register beyond its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nothing else.
    None,
    /// `mstatus.FS`.
    Float,
    /// `mcounteren` and `scounteren`, by the low bits of the number.
    Counter,
    /// `mstatus.TVM`.
    Satp,
    /// `menvcfg.STCE` and `mcounteren.TM`.
    Stimecmp,
    /// `miselect` or `siselect`, by the number.
    Iselect,
}

/// What a write does. The index is the register's among those of its line.
#[derive(Clone, Copy)]
pub(super) enum Write {
    /// Nothing: the register is constant, or the number itself says read-only.
    Ignored,
    /// Changes the register, which nothing else depends on at once.
    Plain(fn(&mut Hart, usize, u64)),
    /// Changes what mode, translation, protection or interrupts depend on.
    System(fn(&mut Hart, usize, u64)),
    /// As [`Write::System`], for registers that others change as well: the bits that
    /// become one, and those that become zero.
    Bits(fn(&mut Hart, u64, u64)),
    /// As [`Write::System`], where what was read counts and not what is written.
    Claim(fn(&mut Hart, u64)),
}

/// A register, or a run of registers of one kind.
pub(super) struct Csr {
    /// The number of the first.
    pub(super) first: u16,
    /// Their names, in the order of their numbers.
    pub(super) names: &'static [&'static str],
    /// The extension that brings them.
    pub(super) ext: Option<Ext>,
    pub(super) guard: Guard,
    pub(super) read: fn(&Hart, usize) -> u64,
    pub(super) write: Write,
}

/// `csr!(NUMBER, NAME, needs EXT, guard GUARD, read, write)`
macro_rules! csr {
    ($first:literal $name:literal, $($rest:tt)*) => {
        csr!(@ $first, &[$name], $($rest)*)
    };
    ($first:literal $names:ident, $($rest:tt)*) => {
        csr!(@ $first, &$names, $($rest)*)
    };
    (@ $first:literal, $names:expr, $ext:expr, $guard:ident, $read:expr, $write:expr) => {
        Csr { first: $first, names: $names, ext: $ext, guard: Guard::$guard, read: $read, write: $write }
    };
}

/// `numbered!("name": 3 4 5)` is `["name3", "name4", "name5"]`.
macro_rules! numbered {
    ($prefix:literal: $($n:literal)*) => { [$(concat!($prefix, $n)),*] };
}

const HPMCOUNTER: [&str; 29] = numbered!("hpmcounter":
    3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
const MHPMCOUNTER: [&str; 29] = numbered!("mhpmcounter":
    3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
const MHPMEVENT: [&str; 29] = numbered!("mhpmevent":
    3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
const PMPADDR: [&str; 16] = numbered!("pmpaddr": 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

use Write::{Bits, Claim, Ignored, Plain, System};

/// Every register, by ascending number within a group.
#[rustfmt::skip]
pub(super) static TABLE: &[Csr] = &[
    // Unprivileged floating point (Unpriv. 20.2)
    csr!(0x001 "fflags", Some(Ext::F), Float, |h, _| (h.state.fcsr & fcsr::FFLAGS).into(), Plain(set_fflags)),
    csr!(0x002 "frm", Some(Ext::F), Float, |h, _| (h.state.fcsr >> fcsr::FRM_SHIFT).into(), Plain(set_frm)),
    csr!(0x003 "fcsr", Some(Ext::F), Float, |h, _| h.state.fcsr.into(), Plain(|h, _, v| set_fcsr(h, v as u8))),

    // Unprivileged counters ("Zicntr", "Zihpm")
    csr!(0xc00 "cycle", Some(Ext::Zicntr), Counter, |h, _| h.mcycle(), Ignored),
    csr!(0xc01 "time", Some(Ext::Zicntr), Counter, |h, _| h.timebase.ticks(), Ignored),
    csr!(0xc02 "instret", Some(Ext::Zicntr), Counter, |h, _| h.minstret(), Ignored),
    csr!(0xc03 HPMCOUNTER, Some(Ext::Zihpm), Counter, |_, _| 0, Ignored),

    // Supervisor trap setup and handling
    csr!(0x100 "sstatus", None, None, |h, _| h.state.mstatus & mstatus::SSTATUS, System(set_sstatus)),
    csr!(0x104 "sie", None, None, |h, _| h.state.mie & h.state.mideleg, System(set_sie)),
    csr!(0x105 "stvec", None, None, |h, _| h.state.stvec, Plain(|h, _, v| h.state.stvec = legal::tvec(v))),
    csr!(0x106 "scounteren", None, None, |h, _| h.state.scounteren, Plain(set_scounteren)),
    csr!(0x10a "senvcfg", None, None, |h, _| h.state.senvcfg, System(set_senvcfg)),
    csr!(0x140 "sscratch", None, None, |h, _| h.state.sscratch, Plain(|h, _, v| h.state.sscratch = v)),
    csr!(0x141 "sepc", None, None, |h, _| h.state.sepc, Plain(|h, _, v| h.state.sepc = legal::epc(h.cpu.ext, v))),
    csr!(0x142 "scause", None, None, |h, _| h.state.scause, Plain(|h, _, v| h.state.scause = v)),
    csr!(0x143 "stval", None, None, |h, _| h.state.stval, Plain(|h, _, v| h.state.stval = v)),
    csr!(0x144 "sip", None, None, |h, _| h.mip() & h.state.mideleg, Bits(change_sip)),
    csr!(0x14d "stimecmp", Some(Ext::Sstc), Stimecmp, |h, _| h.state.stimecmp, System(|h, _, v| h.set_stimecmp(v))),
    csr!(0x150 "siselect", Some(Ext::Ssaia), None, |h, _| h.state.siselect, Plain(|h, _, v| h.state.siselect = legal::iselect(v))),
    csr!(0x151 "sireg", Some(Ext::Ssaia), Iselect, |h, _| h.lines.read_file(Level::Supervisor, h.state.siselect), Bits(change_sireg)),
    csr!(0x15c "stopei", Some(Ext::Ssaia), None, |h, _| h.lines.top_external(Level::Supervisor), Claim(|h, top| h.lines.claim_external(Level::Supervisor, top))),
    csr!(0xdb0 "stopi", Some(Ext::Ssaia), None, |h, _| h.top_interrupt(Level::Supervisor), Ignored),
    csr!(0x180 "satp", None, Satp, |h, _| h.state.satp, System(set_satp)),

    // Machine information
    csr!(0xf11 "mvendorid", None, None, |_, _| 0, Ignored),
    csr!(0xf12 "marchid", None, None, |_, _| 0, Ignored),
    csr!(0xf13 "mimpid", None, None, |_, _| 0, Ignored),
    csr!(0xf14 "mhartid", None, None, |h, _| h.id as u64, Ignored),
    csr!(0xf15 "mconfigptr", None, None, |_, _| 0, Ignored),

    // Machine trap setup and handling
    csr!(0x300 "mstatus", None, None, |h, _| h.state.mstatus, System(set_mstatus)),
    csr!(0x301 "misa", None, None, |h, _| misa(h), Ignored),
    csr!(0x302 "medeleg", None, None, |h, _| h.state.medeleg, Plain(|h, _, v| h.state.medeleg = legal::medeleg(v))),
    csr!(0x303 "mideleg", None, None, |h, _| h.state.mideleg, System(|h, _, v| h.state.mideleg = legal::mideleg(v))),
    csr!(0x304 "mie", None, None, |h, _| h.state.mie, System(|h, _, v| h.state.mie = legal::mie(v))),
    csr!(0x305 "mtvec", None, None, |h, _| h.state.mtvec, Plain(|h, _, v| h.state.mtvec = legal::tvec(v))),
    csr!(0x306 "mcounteren", None, None, |h, _| h.state.mcounteren, Plain(set_mcounteren)),
    csr!(0x30a "menvcfg", None, None, |h, _| h.state.menvcfg, System(set_menvcfg)),
    csr!(0x340 "mscratch", None, None, |h, _| h.state.mscratch, Plain(|h, _, v| h.state.mscratch = v)),
    csr!(0x341 "mepc", None, None, |h, _| h.state.mepc, Plain(|h, _, v| h.state.mepc = legal::epc(h.cpu.ext, v))),
    csr!(0x342 "mcause", None, None, |h, _| h.state.mcause, Plain(|h, _, v| h.state.mcause = v)),
    csr!(0x343 "mtval", None, None, |h, _| h.state.mtval, Plain(|h, _, v| h.state.mtval = v)),
    csr!(0x344 "mip", None, None, |h, _| h.mip(), Bits(change_mip)),

    // Advanced interrupts, M mode: nothing is virtual (AIA 5.3)
    csr!(0x308 "mvien", Some(Ext::Smaia), None, |_, _| 0, Ignored),
    csr!(0x309 "mvip", Some(Ext::Smaia), None, |h, _| h.software_mip(), Bits(change_mip)),
    csr!(0x350 "miselect", Some(Ext::Smaia), None, |h, _| h.state.miselect, Plain(|h, _, v| h.state.miselect = legal::iselect(v))),
    csr!(0x351 "mireg", Some(Ext::Smaia), Iselect, |h, _| h.lines.read_file(Level::Machine, h.state.miselect), Bits(change_mireg)),
    csr!(0x35c "mtopei", Some(Ext::Smaia), None, |h, _| h.lines.top_external(Level::Machine), Claim(|h, top| h.lines.claim_external(Level::Machine, top))),
    csr!(0xfb0 "mtopi", Some(Ext::Smaia), None, |h, _| h.top_interrupt(Level::Machine), Ignored),

    // Machine memory protection
    csr!(0x3a0 "pmpcfg0", None, None, |h, _| pmp::read_cfg(&h.state, 0), System(|h, _, v| set_pmpcfg(h, 0, v))),
    csr!(0x3a2 "pmpcfg2", None, None, |h, _| pmp::read_cfg(&h.state, 8), System(|h, _, v| set_pmpcfg(h, 8, v))),
    csr!(0x3b0 PMPADDR, None, None, |h, i| pmp::read_addr(&h.state, i), System(set_pmpaddr)),
    csr!(0x747 "mseccfg", Some(Ext::Smepmp), None, |h, _| h.state.mseccfg, System(set_mseccfg)),

    // Machine counters; those of events never count (Priv. 3.1.10)
    csr!(0xb00 "mcycle", None, None, |h, _| h.mcycle(), Plain(|h, _, v| h.set_mcycle(v))),
    csr!(0xb02 "minstret", None, None, |h, _| h.minstret(), Plain(|h, _, v| h.set_minstret(v))),
    csr!(0xb03 MHPMCOUNTER, None, None, |_, _| 0, Ignored),
    csr!(0x320 "mcountinhibit", None, None, |h, _| h.state.mcountinhibit, Plain(|h, _, v| h.set_mcountinhibit(v))),
    csr!(0x323 MHPMEVENT, None, None, |_, _| 0, Ignored),
];

/// Line of each number in [`TABLE`], plus one; 0 for none.
static INDEX: [u8; 4096] = {
    let mut index = [0; 4096];
    let mut line = 0;
    while line < TABLE.len() {
        let mut i = 0;
        while i < TABLE[line].names.len() {
            let number = TABLE[line].first as usize + i;
            assert!(index[number] == 0, "two lines for one number");
            index[number] = line as u8 + 1;
            i += 1;
        }
        line += 1;
    }
    index
};

/// The line of a number; of its low 12 bits, which is all that it has.
pub(super) fn find(number: u16) -> Option<&'static Csr> {
    let line = INDEX.get(usize::from(number))?.checked_sub(1)?;
    TABLE.get(usize::from(line))
}

fn set_fcsr(h: &mut Hart, value: u8) {
    h.state.fcsr = value;
    h.set_fp_dirty();
}

fn set_fflags(h: &mut Hart, _: usize, value: u64) {
    set_fcsr(h, h.state.fcsr & !fcsr::FFLAGS | value as u8 & fcsr::FFLAGS);
}

fn set_frm(h: &mut Hart, _: usize, value: u64) {
    set_fcsr(
        h,
        h.state.fcsr & fcsr::FFLAGS | (value as u8) << fcsr::FRM_SHIFT,
    );
}

fn set_mstatus(h: &mut Hart, _: usize, value: u64) {
    h.state.mstatus = legal::mstatus(h.cpu.ext, h.state.mstatus, value);
}

fn set_sstatus(h: &mut Hart, i: usize, value: u64) {
    let hidden = h.state.mstatus & !mstatus::SSTATUS;
    set_mstatus(h, i, hidden | value & mstatus::SSTATUS);
}

fn set_sie(h: &mut Hart, _: usize, value: u64) {
    let shown = h.state.mideleg;
    h.state.mie = legal::mie(h.state.mie & !shown | value & shown);
}

/// Of the delegated interrupts only SSIP is S mode's to change (Priv. 12.1.3).
fn change_sip(h: &mut Hart, ones: u64, zeros: u64) {
    let mine = h.state.mideleg & mip::SSIP;
    h.change_mip(ones & mine, zeros & mine);
}

fn change_sireg(h: &mut Hart, ones: u64, zeros: u64) {
    h.lines
        .change_file(Level::Supervisor, h.state.siselect, ones, zeros);
}

fn change_mireg(h: &mut Hart, ones: u64, zeros: u64) {
    h.lines
        .change_file(Level::Machine, h.state.miselect, ones, zeros);
}

/// STIP follows `stimecmp` where that is enabled (Priv. 3.1.9).
fn change_mip(h: &mut Hart, ones: u64, zeros: u64) {
    let stip = if h.state.menvcfg & envcfg::STCE == 0 {
        mip::STIP
    } else {
        0
    };
    let mine = mip::SSIP | mip::SEIP | stip;
    h.change_mip(ones & mine, zeros & mine);
}

fn set_scounteren(h: &mut Hart, _: usize, value: u64) {
    h.state.scounteren = legal::counteren(h.cpu.ext, value);
}

fn set_mcounteren(h: &mut Hart, _: usize, value: u64) {
    h.state.mcounteren = legal::counteren(h.cpu.ext, value);
}

fn set_senvcfg(h: &mut Hart, _: usize, value: u64) {
    h.state.senvcfg = legal::senvcfg(h.cpu.ext, h.state.senvcfg, value);
}

fn set_menvcfg(h: &mut Hart, _: usize, value: u64) {
    let old = h.state.menvcfg;
    h.state.menvcfg = legal::menvcfg(h.cpu.ext, old, value);
    if (old ^ h.state.menvcfg) & envcfg::STCE != 0 {
        h.switch_stce();
    }
}

fn set_satp(h: &mut Hart, _: usize, value: u64) {
    h.state.satp = legal::satp(h.cpu.ext, h.state.satp, value);
}

fn set_pmpcfg(h: &mut Hart, first: usize, value: u64) {
    pmp::write_cfg(&mut h.state, first, value);
    h.sync_pmp();
}

fn set_pmpaddr(h: &mut Hart, i: usize, value: u64) {
    pmp::write_addr(&mut h.state, i, value);
    h.sync_pmp();
}

fn set_mseccfg(h: &mut Hart, _: usize, value: u64) {
    let locked = pmp::any_locked(&h.state);
    h.state.mseccfg = legal::mseccfg(h.cpu.ext, h.state.mseccfg, value, locked);
    h.sync_pmp();
}

/// MXL is 64 bits; the letters are the extensions (Priv. 3.1.1).
fn misa(h: &Hart) -> u64 {
    let ext = h.cpu.ext;
    let letter = |c: u8, on: bool| u64::from(on) << (c - b'a');
    let all = |needed: &[Ext]| needed.iter().all(|e| ext.has(*e));
    2 << 62
        | letter(b'a', ext.has(Ext::A))
        | letter(b'b', all(&[Ext::Zba, Ext::Zbb, Ext::Zbs]))
        | letter(
            b'c',
            ext.has(Ext::C) && (!ext.has(Ext::D) || ext.has(Ext::Zcd)),
        )
        | letter(b'd', ext.has(Ext::D))
        | letter(b'f', ext.has(Ext::F))
        | letter(b'i', ext.has(Ext::I))
        | letter(b'm', ext.has(Ext::M))
        | letter(b's', true)
        | letter(b'u', true)
}

/// `mcycle` and `minstret` count instructions. `icount` is that before the current
/// instruction, which still counts the old way: writes take effect after it
/// (Priv. 3.1.10).
impl Hart {
    fn inhibits(&self, counter: u64) -> bool {
        self.state.mcountinhibit & counter != 0
    }

    fn mcycle(&self) -> u64 {
        let count = if self.inhibits(counters::CY) {
            0
        } else {
            self.state.icount
        };
        count.wrapping_add(self.state.mcycle_offset)
    }

    fn minstret(&self) -> u64 {
        let count = if self.inhibits(counters::IR) {
            0
        } else {
            self.state.icount
        };
        count.wrapping_add(self.state.minstret_offset)
    }

    /// The instruction count of the next instruction.
    fn next_icount(&self) -> u64 {
        self.state.icount.wrapping_add(1)
    }

    fn set_mcycle(&mut self, value: u64) {
        let base = if self.inhibits(counters::CY) {
            0
        } else {
            self.next_icount()
        };
        self.state.mcycle_offset = value.wrapping_sub(base);
    }

    fn set_minstret(&mut self, value: u64) {
        let base = if self.inhibits(counters::IR) {
            0
        } else {
            self.next_icount()
        };
        self.state.minstret_offset = value.wrapping_sub(base);
    }

    /// A counter that stops keeps its value in the offset alone; see [`State`].
    ///
    /// [`State`]: crate::State
    fn set_mcountinhibit(&mut self, value: u64) {
        let new = legal::mcountinhibit(value);
        let changed = self.state.mcountinhibit ^ new;
        let next = self.next_icount();
        let moved = |offset: u64, counter: u64| match (changed & counter != 0, new & counter != 0) {
            (false, _) => offset,
            (true, true) => offset.wrapping_add(next),
            (true, false) => offset.wrapping_sub(next),
        };
        self.state.mcycle_offset = moved(self.state.mcycle_offset, counters::CY);
        self.state.minstret_offset = moved(self.state.minstret_offset, counters::IR);
        self.state.mcountinhibit = new;
    }
}
