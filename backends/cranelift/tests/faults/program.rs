//! Random programs whose every access has pages of its own, in every round of a loop: so
//! each can be made to fault alone.

use isoform_riscv::ExtSet;
use isoform_riscv::format::Format;
use isoform_riscv::generate::{self, Encoding, Random, Rules, Touches};

/// Rounds of a loop.
pub(crate) const ROUNDS: u64 = 3;
/// Accesses of a program, at most.
const ACCESSES: u64 = 6;
/// Pages that an access has in a round: one, and what crosses into the next.
const SPAN: u64 = 2;
/// Pages that programs access.
pub(crate) const PAGES: u64 = ACCESSES * ROUNDS * SPAN;
/// Where these lie, by virtual addresses.
pub(crate) const DATA: u64 = 0x1000_0000;
const PAGE: u64 = 4096;

/// Registers that hold addresses: compressed forms take `x2` and `x8` to `x15` only.
const BASES: [u8; 8] = [2, 8, 9, 12, 14, 15, 20, 28];
/// Offset of this round's pages, rounds left, and what the offset grows by.
pub(crate) const OFFSET: u8 = 27;
pub(crate) const LEFT: u8 = 26;
pub(crate) const STRIDE: u8 = 25;
/// What is added to [`OFFSET`] in each round.
pub(crate) const ROUND: u64 = SPAN * PAGE;
/// How far from its register an access may go.
const REACH: i32 = 64;

/// A program: its code, which ends by `ecall`.
pub(crate) struct Program {
    pub(crate) code: Vec<u8>,
    /// Whether it goes round [`ROUNDS`] times.
    pub(crate) loops: bool,
    /// Which page each access goes to in round 0.
    pub(crate) accesses: Vec<u64>,
}

/// Instructions in the making.
struct Maker<'a> {
    r: &'a mut Random,
    ext: ExtSet,
    code: Vec<Encoding>,
    loops: bool,
}

impl Program {
    /// Two stores off one register in each round, to a page and to the next.
    pub(crate) fn crossing(rounds: i32) -> Self {
        let base = BASES[0];
        let lui = Encoding::Long((DATA + PAGE) as u32 | u32::from(base) << 7 | 0x37);
        let round = [
            sd(base, -8),
            sd(base, 0),
            addi(LEFT, LEFT, -1),
            bnez(LEFT, -12),
        ];
        let ecall = Encoding::Long(0x73);
        let mut code = Vec::new();
        let all = [lui, addi(LEFT, 0, rounds)].into_iter().chain(round);
        all.chain([ecall]).for_each(|e| e.write(&mut code));
        Self {
            code,
            loops: false,
            accesses: Vec::new(),
        }
    }

    pub(crate) fn random(ext: ExtSet, loops: bool, r: &mut Random) -> Self {
        let count = 2 + r.below(ACCESSES - 1);
        let mut maker = Maker {
            r,
            ext,
            code: Vec::new(),
            loops,
        };
        let mut accesses = Vec::new();
        for n in 0..count {
            maker.filler();
            accesses.push(n * ROUNDS * SPAN);
            maker.access(n * ROUNDS * SPAN);
        }
        maker.filler();
        if loops {
            maker.round();
        }
        // ecall
        maker.code.push(Encoding::Long(0x73));
        let mut code = Vec::new();
        maker.code.iter().for_each(|e| e.write(&mut code));
        Self {
            code,
            loops,
            accesses,
        }
    }
}

/// sd x11, offset(rs1)
fn sd(rs1: u8, offset: i32) -> Encoding {
    let offset = offset as u32 & 0xfff;
    let fields = (offset >> 5) << 25 | (offset & 31) << 7 | 11 << 20;
    Encoding::Long(fields | u32::from(rs1) << 15 | 3 << 12 | 0x23)
}

/// addi rd, rs1, imm
fn addi(rd: u8, rs1: u8, imm: i32) -> Encoding {
    let imm = (imm as u32 & 0xfff) << 20;
    Encoding::Long(imm | u32::from(rs1) << 15 | u32::from(rd) << 7 | 0x13)
}

/// add rd, rs1, rs2
fn add(rd: u8, rs1: u8, rs2: u8) -> Encoding {
    let registers = u32::from(rs2) << 20 | u32::from(rs1) << 15 | u32::from(rd) << 7;
    Encoding::Long(registers | 0x33)
}

/// bne rs1, x0, offset
fn bnez(rs1: u8, offset: i32) -> Encoding {
    let bits = |from: u32, count: u32| (offset as u32 >> from) & ((1 << count) - 1);
    let high = bits(12, 1) << 31 | bits(5, 6) << 25;
    let low = bits(1, 4) << 8 | bits(11, 1) << 7;
    Encoding::Long(high | low | u32::from(rs1) << 15 | 1 << 12 | 0x63)
}

impl Maker<'_> {
    fn rules<'a>(
        &self,
        bases: &'a [u8],
        kept: &'a [u8],
        allows: &'a dyn Fn(
            Encoding,
            Option<&isoform_riscv::decode::Line>,
            isoform_core::Insn,
        ) -> bool,
    ) -> Rules<'a> {
        Rules {
            ext: self.ext,
            bases,
            kept,
            reach: -REACH..=REACH,
            allows,
        }
    }

    /// Instructions that access nothing, so that registers differ from the state; some of
    /// them branch among themselves, some look at counters.
    fn filler(&mut self) {
        let kept = [OFFSET, LEFT, STRIDE];
        let allows = |_: Encoding, line: Option<&_>, i| {
            line.is_some_and(|line| {
                let system = matches!(generate::format_of(line), Format::None | Format::Rs12);
                !system && Touches::new(line, i).base.is_none()
            })
        };
        let count = self.r.below(6) as usize;
        let rules = self.rules(&BASES, &kept, &allows);
        let filler = generate::Program::random(&rules, count, self.r);
        self.code.extend(filler.code);
        if self.r.one_in(4) {
            // csrrs x10, instret, x0
            self.code
                .push(Encoding::Long(0xc02 << 20 | 2 << 12 | 10 << 7 | 0x73));
        }
    }

    /// An access to a page, further by [`OFFSET`].
    fn access(&mut self, page: u64) {
        let base = *self.r.pick(&BASES);
        if self.r.one_in(3) {
            // ld base, 0(x0 + DATA): what is loaded through it has a site then.
            self.lead(base, PAGES / 2, 8);
            let registers = u32::from(base) << 15 | u32::from(base) << 7;
            self.code.push(Encoding::Long(registers | 3 << 12 | 0x03));
        }
        let accesses = self.accesses(base);
        let first = accesses.first().map(|e| e.decode(self.ext));
        let displacement = first.map_or(0, |(i, line)| {
            line.map_or(0, |line| Touches::new(&line, i).displacement)
        });
        let at = match self.r.below(4) {
            // At the end of the page, with what comes in the next.
            0 => 4096 - displacement - 1 - self.r.below(8) as i32,
            1 => REACH + self.r.below(3900) as i32,
            _ => REACH + 16 * self.r.below(240) as i32,
        };
        self.lead(base, page, at);
        if self.loops && !self.r.one_in(4) {
            self.code.push(add(base, base, OFFSET));
        }
        let registers = 11 << 20 | u32::from(base) << 15;
        match self.r.below(4) {
            // sb x11, -64(base); lb x11, -64(base): the page is known before.
            0 => self
                .code
                .push(Encoding::Long(0x7e << 25 | registers | 0x23)),
            1 => {
                let lb = 0xfc0 << 20 | u32::from(base) << 15 | 11 << 7 | 0x03;
                self.code.push(Encoding::Long(lb));
            }
            _ => {}
        }
        self.code.extend(accesses);
        // More off the same register, which may share a look.
        for _ in 0..self.r.below(3) {
            let more = self.accesses(base);
            self.code.extend(more);
        }
    }

    /// Puts the address of a place in a page into a register: lui, addi.
    fn lead(&mut self, base: u8, page: u64, at: i32) {
        let (mut page, mut at) = (page, at);
        if at >= 2048 {
            (page, at) = (page + 1, at - 4096);
        }
        let upper = (DATA + page * PAGE) as u32;
        self.code
            .push(Encoding::Long(upper | u32::from(base) << 7 | 0x37));
        self.code.push(addi(base, base, at));
    }

    /// One access, or some that belong together: a reservation and what ends it.
    fn accesses(&mut self, base: u8) -> Vec<Encoding> {
        let kept: Vec<u8> = BASES.into_iter().chain([OFFSET, LEFT, STRIDE]).collect();
        let bases = [base];
        let allows = |_: Encoding, line: Option<&_>, i| {
            line.is_some_and(|line| Touches::new(line, i).base.is_some())
        };
        if self.r.one_in(6) {
            return self.reservation(base);
        }
        let ext = self.ext;
        let accesses = |e: &Encoding| {
            let (i, line) = e.decode(ext);
            line.is_some_and(|line| Touches::new(&line, i).base.is_some())
        };
        loop {
            let rules = self.rules(&bases, &kept, &allows);
            let made = generate::Program::random(&rules, 1, self.r).code;
            if made.iter().all(accesses) && !made.is_empty() {
                return made;
            }
        }
    }

    /// lr, an instruction or none, sc: of a word or a doubleword, by the same register.
    fn reservation(&mut self, base: u8) -> Vec<Encoding> {
        let size = 2 + self.r.below(2) as u32;
        let common = size << 12 | u32::from(base) << 15 | 0x2f;
        let order = (self.r.below(4) as u32) << 25;
        let (lr, sc) = (
            0x1000_0000 | common | 10 << 7,
            0x1800_0000 | common | 11 << 7,
        );
        let value = (self.r.below(2) as u32 + 10) << 20;
        let mut made = vec![Encoding::Long(lr | order)];
        if self.r.one_in(3) {
            made.push(addi(13, 10, 1));
        }
        made.push(Encoding::Long(sc | order | value));
        made
    }

    /// Once more, a round further on.
    fn round(&mut self) {
        self.code.push(add(OFFSET, OFFSET, STRIDE));
        self.code.push(addi(LEFT, LEFT, -1));
        let back: u64 = self.code.iter().map(|e| e.length()).sum();
        self.code.push(bnez(LEFT, -(back as i32)));
    }
}
