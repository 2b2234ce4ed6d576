//! Random instructions and programs, from the decode table: what tests and fuzzers
//! feed to a hart.
//!
//! * [`Random`]: a reproducible stream of numbers.
//! * [`long`], [`short`]: an encoding of one line of the table, any operands.
//! * [`mutated`]: a valid encoding with a bit or two flipped, or any bits at all.
//! * [`Program`]: instructions that make a useful run: memory is accessed where
//!   [`Rules`] say, branches go forward, results feed later instructions.

use crate::decode::{self, Line};
use crate::ext::ExtSet;
use crate::format::{Format, Operands};
use crate::table::{FORMS, Form, Op, SHORT_FORMS, ShortForm};
use isoform_core::Insn;
use std::ops::RangeInclusive;

/// How often operands are drawn anew until an encoding satisfies its conditions.
const TRIES: usize = 64;

/// A small reproducible generator (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    #[expect(
        clippy::should_implement_trait,
        reason = "no iterator: it never ends, and is drawn from in between"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ a >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ b >> 31
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of several, which are not none.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }

    /// A word as arithmetic finds interesting: often near a power of two, near zero
    /// or with all upper bits alike, else any.
    pub fn word(&mut self) -> u64 {
        let bits = self.next();
        match self.below(8) {
            0 => bits % 64,
            1 => (bits % 64).wrapping_neg(),
            2 => (1u64 << (bits % 64))
                .wrapping_add(bits >> 8 & 3)
                .wrapping_sub(1),
            3 => bits as i32 as i64 as u64,
            4 => u64::from(bits as u32),
            _ => bits,
        }
    }
}

/// An instruction's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 32 bits.
    Long(u32),
    /// 16 bits.
    Short(u16),
}

impl Encoding {
    /// From a word whose low bits say how much of it counts.
    pub fn of(word: u32) -> Self {
        match decode::is_short(word as u16) {
            true => Encoding::Short(word as u16),
            false => Encoding::Long(word),
        }
    }

    /// Length in bytes.
    pub fn length(self) -> u64 {
        match self {
            Encoding::Long(_) => 4,
            Encoding::Short(_) => 2,
        }
    }

    /// Appends the bytes.
    pub fn write(self, code: &mut Vec<u8>) {
        match self {
            Encoding::Long(raw) => code.extend(raw.to_le_bytes()),
            Encoding::Short(raw) => code.extend(raw.to_le_bytes()),
        }
    }

    /// Decoded, with the line of the table; `None` where it is no instruction.
    pub fn decode(self, ext: ExtSet) -> (Insn, Option<Line>) {
        match self {
            Encoding::Long(raw) => decode::long(raw, ext),
            Encoding::Short(raw) => decode::short(raw, ext),
        }
    }

    /// The instruction of this length that does nothing.
    pub fn nop(self) -> Self {
        match self {
            Encoding::Long(_) => Encoding::Long(0x13),
            Encoding::Short(_) => Encoding::Short(1),
        }
    }
}

/// A random encoding that decodes to this very line; `None` where chance does not
/// find one or the CPU lacks the line's extension.
pub fn long(form: &'static Form, ext: ExtSet, r: &mut Random) -> Option<u32> {
    (0..TRIES)
        .map(|_| form.bits | r.next() as u32 & !form.mask)
        .find(
            |raw| matches!(decode::long(*raw, ext).1, Some(Line::Long(f)) if std::ptr::eq(f, form)),
        )
}

/// As [`long`], for 16 bits; reserved operands are left out.
pub fn short(form: &'static ShortForm, ext: ExtSet, r: &mut Random) -> Option<u16> {
    (0..TRIES).map(|_| form.bits | r.next() as u16 & !form.mask).find(|raw| {
        matches!(decode::short(*raw, ext).1, Some(Line::Short(f)) if std::ptr::eq(f, form))
    })
}

/// Bits that may be no instruction: a valid encoding with one or two bits flipped, or
/// anything.
pub fn mutated(ext: ExtSet, r: &mut Random) -> Encoding {
    let flips = |r: &mut Random, width| (0..r.below(3)).fold(0, |m, _| m | 1u32 << r.below(width));
    match r.below(4) {
        0 => Encoding::of(r.next() as u32),
        1 => {
            let form = r.pick(SHORT_FORMS);
            let raw = short(form, ext, r).unwrap_or(form.bits);
            Encoding::of(u32::from(raw ^ flips(r, 16) as u16))
        }
        _ => {
            let form = r.pick(FORMS);
            let raw = long(form, ext, r).unwrap_or(form.bits);
            Encoding::of(raw ^ flips(r, 32))
        }
    }
}

/// The format of an instruction's operands: a short form has that of the operation
/// it stands for.
pub fn format_of(line: &Line) -> Format {
    match line {
        Line::Long(form) => form.format,
        Line::Short(form) => decode::form_of(form.op as u16).map_or(Format::None, |f| f.format),
    }
}

/// What an instruction touches, as far as a generator must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Touches {
    /// The integer register written.
    pub rd: Option<u8>,
    /// The integer register written with it, of a pair.
    pub pair: Option<u8>,
    /// The register that holds the address of a memory access.
    pub base: Option<u8>,
    /// The displacement of a memory access, in bytes.
    pub displacement: i32,
    /// Goes elsewhere than to the next instruction.
    pub jumps: bool,
}

impl Touches {
    /// What a decoded instruction touches.
    pub fn new(line: &Line, i: Insn) -> Self {
        let (format, jalr) = (format_of(line), i.is(Op::Jalr));
        let rd = matches!(
            format,
            Format::R
                | Format::R1
                | Format::I
                | Format::Load
                | Format::Shift6
                | Format::Shift5
                | Format::U
                | Format::J
                | Format::Csr
                | Format::CsrI
                | Format::Amo
                | Format::Lr
                | Format::FCmp
                | Format::FToX
                | Format::FToXNoRm
        );
        let displaced = matches!(
            format,
            Format::Load | Format::S | Format::FLoad | Format::FStore | Format::Prefetch
        );
        let direct = matches!(format, Format::Amo | Format::Lr | Format::Rs1);
        let pair = i.is(Op::AmocasQ) && i.rd().0 != 0;
        Self {
            rd: rd.then_some(i.rd().0),
            pair: pair.then_some(i.rd().0 | 1),
            base: ((displaced || direct) && !jalr).then_some(i.rs1().0),
            displacement: if displaced { i.imm } else { 0 },
            jumps: jalr || matches!(format, Format::B | Format::J),
        }
    }
}

/// Limits within which a generated program stays.
pub struct Rules<'a> {
    /// What the hart has.
    pub ext: ExtSet,
    /// Registers that hold addresses of memory free to use, from `reach.start()` to
    /// `reach.end()` and 16 bytes more around each. They are never written, or what they held is put back at once.
    pub bases: &'a [u8],
    /// Further registers that are never written.
    pub kept: &'a [u8],
    /// Displacements allowed, in bytes.
    pub reach: RangeInclusive<i32>,
    /// Whether an instruction may occur, beside what the other rules say. Asked
    /// with `None` for what is no instruction.
    pub allows: &'a dyn Fn(Encoding, Option<&Line>, Insn) -> bool,
}

impl Rules<'_> {
    /// Whether an instruction obeys. Jumps obey wherever they go.
    fn obeyed(&self, e: Encoding) -> bool {
        let (i, line) = e.decode(self.ext);
        let touches = line.map(|l| Touches::new(&l, i)).unwrap_or_default();
        let free = |r: u8| !self.bases.contains(&r) && !self.kept.contains(&r);
        touches.rd.is_none_or(free)
            && touches.pair.is_none_or(free)
            && touches.base.is_none_or(|r| self.bases.contains(&r))
            && self.reach.contains(&touches.displacement)
            && (self.allows)(e, line.as_ref(), i)
    }

    /// A register that may be written, often one of a few.
    fn target(&self, r: &mut Random) -> u8 {
        (0..TRIES)
            .map(|_| register(r))
            .find(|x| !self.bases.contains(x) && !self.kept.contains(x))
            .unwrap_or(0)
    }
}

/// A register: half of the time one of six, so that results are used.
fn register(r: &mut Random) -> u8 {
    (if r.one_in(2) {
        10 + r.below(6)
    } else {
        r.below(32)
    }) as u8
}

/// Puts `value` into bits `lo` and up of `raw`, `width` of them.
fn put(raw: u32, lo: u32, width: u32, value: u32) -> u32 {
    let mask = ((1u32 << width) - 1) << lo;
    raw & !mask | value << lo & mask
}

/// Bits `lo` and up of a displacement, `width` of them.
fn part(value: i32, lo: u32, width: u32) -> u32 {
    value as u32 >> lo & ((1 << width) - 1)
}

/// A branch or jump with another displacement, which must be even; `None` where it
/// is out of reach or the encoding is neither.
fn displaced(e: Encoding, line: &Line, to: i32) -> Option<Encoding> {
    let within = |bits: u32| (-(1 << (bits - 1))..1 << (bits - 1)).contains(&to);
    match (e, line, format_of(line)) {
        (Encoding::Long(raw), _, Format::B) if within(13) => {
            let raw = put(put(raw, 31, 1, part(to, 12, 1)), 25, 6, part(to, 5, 6));
            Some(Encoding::Long(put(
                put(raw, 8, 4, part(to, 1, 4)),
                7,
                1,
                part(to, 11, 1),
            )))
        }
        (Encoding::Long(raw), _, Format::J) if within(21) => {
            let raw = put(put(raw, 31, 1, part(to, 20, 1)), 21, 10, part(to, 1, 10));
            Some(Encoding::Long(put(
                put(raw, 20, 1, part(to, 11, 1)),
                12,
                8,
                part(to, 12, 8),
            )))
        }
        (Encoding::Short(raw), Line::Short(_), Format::B) if within(9) => {
            let raw = put(u32::from(raw), 12, 1, part(to, 8, 1));
            let raw = put(put(raw, 10, 2, part(to, 3, 2)), 5, 2, part(to, 6, 2));
            Some(Encoding::Short(
                put(put(raw, 3, 2, part(to, 1, 2)), 2, 1, part(to, 5, 1)) as u16,
            ))
        }
        (Encoding::Short(raw), Line::Short(_), Format::J) if within(12) => {
            let raw = put(
                put(u32::from(raw), 12, 1, part(to, 11, 1)),
                11,
                1,
                part(to, 4, 1),
            );
            let raw = put(put(raw, 9, 2, part(to, 8, 2)), 8, 1, part(to, 10, 1));
            let raw = put(put(raw, 7, 1, part(to, 6, 1)), 6, 1, part(to, 7, 1));
            Some(Encoding::Short(
                put(put(raw, 3, 3, part(to, 1, 3)), 2, 1, part(to, 5, 1)) as u16,
            ))
        }
        _ => None,
    }
}

/// A sequence of instructions that runs from its start to its end.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The instructions, one after another.
    pub code: Vec<Encoding>,
    /// Indices at which a jump may arrive.
    starts: Vec<usize>,
    /// Jumps that wait for their displacement: index of the instruction, and of the
    /// one that the displacement counts from.
    jumps: Vec<(usize, usize)>,
}

impl Program {
    /// Random instructions of every form that the rules allow, at least `count`.
    pub fn random(rules: &Rules<'_>, count: usize, r: &mut Random) -> Self {
        let mut program = Self::default();
        while program.code.len() < count {
            program.starts.push(program.code.len());
            match r.below(40) {
                0 => program.computed_jump(rules, r),
                1 => program.reservation(rules, r),
                2 if r.one_in(4) => program.frame(rules, r),
                _ => program.single(rules, r),
            }
        }
        program.aim(rules.ext, r);
        program
    }

    /// Random bits of which the rules allow what they decode to; jumps are left out.
    pub fn wild(rules: &Rules<'_>, count: usize, r: &mut Random) -> Self {
        let mut program = Self::default();
        while program.code.len() < count {
            let e = mutated(rules.ext, r);
            let (insn, line) = e.decode(rules.ext);
            let jumps = line.is_some_and(|l| Touches::new(&l, insn).jumps);
            if !jumps && rules.obeyed(e) {
                program.code.push(e);
            }
        }
        program
    }

    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.code.iter().for_each(|e| e.write(&mut bytes));
        bytes
    }

    /// The first `keep` instructions, followed by as many bytes of no-operations as
    /// there were instructions.
    pub fn prefix(&self, keep: usize) -> Self {
        let blank = |(n, e): (usize, &Encoding)| if n < keep { *e } else { e.nop() };
        let code = self.code.iter().enumerate().map(blank).collect();
        Self {
            code,
            starts: Vec::new(),
            jumps: Vec::new(),
        }
    }

    /// One instruction of any form but those that [`Program::computed_jump`] and
    /// [`Program::reservation`] make.
    fn single(&mut self, rules: &Rules<'_>, r: &mut Random) {
        let n = r.below((FORMS.len() + SHORT_FORMS.len()) as u64) as usize;
        let found = match FORMS.get(n) {
            Some(form) => self.long(form, rules, r),
            None => SHORT_FORMS.get(n - FORMS.len()).and_then(|form| {
                let tries = (0..TRIES * 4).filter_map(|_| short(form, rules.ext, r));
                tries.map(Encoding::Short).find(|e| rules.obeyed(*e))
            }),
        };
        let Some(e) = found else { return };
        let (insn, line) = e.decode(rules.ext);
        let among = |ops: &[Op]| ops.iter().any(|op| insn.is(*op));
        if among(&[Op::Jalr, Op::LrW, Op::LrD, Op::ScW, Op::ScD]) {
            return;
        }
        if line.is_some_and(|l| Touches::new(&l, insn).jumps) {
            self.jumps.push((self.code.len(), self.code.len()));
        }
        self.code.push(e);
    }

    /// A 32-bit encoding with operands that make sense.
    fn long(&self, form: &'static Form, rules: &Rules<'_>, r: &mut Random) -> Option<Encoding> {
        let mut raw = long(form, rules.ext, r)?;
        // Only operand bits may change.
        let fix =
            |raw: u32, lo, width, value: u32| put(raw, lo, width, value) & !form.mask | form.bits;
        let format = form.format;
        let touches = Touches::new(&Line::Long(form), format.operands(raw));
        raw = fix(raw, 15, 5, register(r).into());
        if !matches!(
            format,
            Format::I | Format::U | Format::J | Format::Csr | Format::CsrI
        ) {
            raw = fix(raw, 20, 5, register(r).into());
        }
        if !matches!(
            format,
            Format::S | Format::B | Format::FStore | Format::Prefetch
        ) {
            let rd = match touches.rd {
                Some(_) => rules.target(r),
                None => register(r),
            };
            raw = fix(raw, 7, 5, rd.into());
        }
        if touches.base.is_some() {
            raw = fix(raw, 15, 5, (*r.pick(rules.bases)).into());
            let span = (rules.reach.end() - rules.reach.start()) as u64 + 1;
            let offset = rules.reach.start() + r.below(span) as i32;
            let offset = if r.one_in(4) { offset } else { offset & !7 };
            match format {
                Format::Load | Format::FLoad => raw = fix(raw, 20, 12, part(offset, 0, 12)),
                Format::S | Format::FStore | Format::Prefetch => {
                    raw = fix(
                        fix(raw, 25, 7, part(offset, 5, 7)),
                        7,
                        5,
                        part(offset, 0, 5),
                    );
                }
                _ => {}
            }
        }
        if matches!(
            format,
            Format::F4 | Format::F3 | Format::F2 | Format::FToX | Format::XToF
        ) {
            let rm = match r.below(64) {
                0 => 5 + r.below(2) as u32,
                1..20 => 7,
                _ => r.below(5) as u32,
            };
            raw = fix(raw, 12, 3, rm);
        }
        if matches!(format, Format::Csr | Format::CsrI) && !r.one_in(16) {
            // fflags, frm, fcsr
            raw = fix(raw, 20, 12, 1 + r.below(3) as u32);
        }
        if form.op == Op::AmocasQ && !r.one_in(16) {
            raw = fix(fix(raw, 7, 1, 0), 20, 1, 0);
        }
        Some(Encoding::Long(raw)).filter(|e| rules.obeyed(*e))
    }

    /// `auipc t, 0` and a jump through `t`, of either length.
    fn computed_jump(&mut self, rules: &Rules<'_>, r: &mut Random) {
        let (t, link) = (u32::from(rules.target(r)), u32::from(rules.target(r)));
        if t == 0 {
            return;
        }
        let first = self.code.len();
        self.code.push(Encoding::Long(0x17 | t << 7));
        self.jumps.push((first + 1, first));
        if r.one_in(2) {
            self.code.push(Encoding::Long(0x67 | link << 7 | t << 15));
        } else {
            // addi t, t, to; c.jr t or c.jalr t, which writes ra
            self.code.push(Encoding::Long(0x13 | t << 7 | t << 15));
            let links = r.one_in(2) && !rules.kept.contains(&1) && !rules.bases.contains(&1);
            self.code.push(Encoding::Short(
                (0x8002 | t << 7 | u32::from(links) << 12) as u16,
            ));
        }
    }

    /// A load-reserved and a store-conditional to the same address, with up to two
    /// instructions between them.
    fn reservation(&mut self, rules: &Rules<'_>, r: &mut Random) {
        let size = 2 + r.below(2) as u32;
        let base = u32::from(*r.pick(rules.bases));
        let (value, failed) = (u32::from(rules.target(r)), u32::from(rules.target(r)));
        let order = |r: &mut Random| (r.below(4) as u32) << 25;
        let lr = 0x1000_002f | order(r) | size << 12 | value << 7 | base << 15;
        let sc = 0x1800_002f | order(r) | size << 12 | failed << 7 | base << 15;
        let sc = sc | u32::from(register(r)) << 20;
        if ![lr, sc]
            .iter()
            .all(|raw| rules.obeyed(Encoding::Long(*raw)))
        {
            return;
        }
        self.code.push(Encoding::Long(lr));
        for _ in 0..r.below(3) {
            self.single(rules, r);
        }
        // A second one fails.
        for _ in 0..if r.one_in(4) { 2 } else { 1 } {
            self.code.push(Encoding::Long(sc));
        }
    }

    /// `c.addi16sp` there and back, where sp is a base, and between them a look at it.
    fn frame(&mut self, rules: &Rules<'_>, r: &mut Random) {
        let to = (1 + r.below(31) as i32) * if r.one_in(2) { 16 } else { -16 };
        let adjust = |by: i32| {
            let raw = put(put(0x6101, 12, 1, part(by, 9, 1)), 6, 1, part(by, 4, 1));
            let raw = put(put(raw, 5, 1, part(by, 6, 1)), 3, 2, part(by, 7, 2));
            Encoding::Short(put(raw, 2, 1, part(by, 5, 1)) as u16)
        };
        let (insn, line) = adjust(to).decode(rules.ext);
        let allowed = line.is_some() && (rules.allows)(adjust(to), line.as_ref(), insn);
        if !rules.bases.contains(&2) || !allowed {
            return;
        }
        // c.mv rd, sp
        let look = 0x800a | u16::from(rules.target(r)) << 7;
        let look = Encoding::Short(look);
        if rules.obeyed(look) {
            self.code.extend([adjust(to), look, adjust(-to)]);
        }
    }

    /// Gives each jump a place to go: some instructions further on, or the end.
    fn aim(&mut self, ext: ExtSet, r: &mut Random) {
        let mut at = 0i32;
        let mut address = Vec::with_capacity(self.code.len() + 1);
        for e in &self.code {
            address.push(at);
            at += e.length() as i32;
        }
        address.push(at);
        self.starts.push(self.code.len());
        for (index, from) in std::mem::take(&mut self.jumps) {
            let ahead = self.starts.partition_point(|s| *s <= index);
            let last = self.starts.len() - 1;
            let target = self.starts[(ahead + r.below(4) as usize).min(last)];
            let to = address[target] - address[from];
            let e = self.code[index];
            self.code[index] = match e {
                Encoding::Long(raw) if matches!(raw & 0x7f, 0x13 | 0x67) => {
                    Encoding::Long(put(raw, 20, 12, part(to, 0, 12)))
                }
                _ => {
                    let line = e.decode(ext).1;
                    line.and_then(|l| displaced(e, &l, to)).unwrap_or(e.nop())
                }
            };
        }
    }
}
