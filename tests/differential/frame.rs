//! The test program: an ELF file that runs many blocks of random code and writes
//! what became of them to its standard output.
//!
//! Every block has an *area* in memory: its registers before and after, a log of the
//! faults that its code raised, and a scratch buffer. The program loads all registers
//! from the area, runs the block, and stores them back. A fault is logged and the
//! instruction skipped: by a signal handler on the peer, by the test itself here.
//! The same bytes run at the same addresses on both sides.

use super::asm::*;
use isoform_riscv::generate::Random;

/// Where code lies.
pub(crate) const CODE: u64 = 0x8000_0000;
/// Where data lies: a margin, the areas, the signal stack.
pub(crate) const DATA: u64 = 0x8100_0000;
/// Bytes before the first area: every other scratch buffer has the boundary of two
/// pages in its middle.
const MARGIN: u64 = 2560;
/// Bytes of the signal stack.
const STACK: u64 = 0x1_0000;
/// Bytes in an area.
pub(crate) const AREA: u64 = 2048;
/// Where an area holds what.
pub(crate) mod at {
    pub(crate) const X: u64 = 0;
    pub(crate) const F: u64 = 256;
    pub(crate) const FCSR: u64 = 512;
    pub(crate) const NEXT: u64 = 520;
    pub(crate) const FAULTS: u64 = 528;
    pub(crate) const LOG: u64 = 536;
    pub(crate) const SCRATCH: u64 = 1024;
}
/// Bytes of an entry in the log: signal, address of the instruction, address accessed.
pub(crate) const ENTRY: u64 = 24;
/// Faults after which a block ends.
pub(crate) const MOST_FAULTS: u64 = 16;
/// The register that holds the area's address while a block runs.
pub(crate) const AREA_REG: u8 = 3;
/// Registers that memory is accessed through. The first three point into the scratch
/// buffer, at multiples of 16.
pub(crate) const BASES: [u8; 5] = [2, 8, 9, UNALIGNED_BASE, FAULTING_BASE];
/// The one that points anywhere into the scratch buffer.
pub(crate) const UNALIGNED_BASE: u8 = 20;
/// The one that points where accesses fault, or some do.
pub(crate) const FAULTING_BASE: u8 = 21;
/// How far displacements may reach from them; each points at bytes 256 to 496.
pub(crate) const REACH: std::ops::RangeInclusive<i32> = -256..=504;

/// A block: its code, and the registers and memory it starts with.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) code: Vec<u8>,
    pub(crate) area: Vec<u8>,
}

impl Block {
    /// Random registers and memory for the block with this number.
    pub(crate) fn new(code: Vec<u8>, number: u64, r: &mut Random) -> Self {
        let mut area = vec![0; AREA as usize];
        let mut set = |at: u64, v: u64| {
            let at = at as usize;
            area[at..at + 8].copy_from_slice(&v.to_le_bytes());
        };
        for n in 1..32 {
            set(at::X + 8 * n, r.word());
        }
        for n in 0..32 {
            set(at::F + 8 * n, float(r));
        }
        for n in (at::SCRATCH..AREA).step_by(8) {
            set(n, if r.one_in(2) { r.word() } else { float(r) });
        }
        let frm = if r.one_in(16) { r.below(8) } else { r.below(5) };
        set(
            at::FCSR,
            frm << 5 | if r.one_in(2) { 0 } else { r.below(32) },
        );
        set(at::X + 8 * u64::from(FAULTING_BASE), faulting(r));
        let mut block = Self { code, area };
        block.place(number, |n| {
            256 + if n == 3 {
                r.below(241)
            } else {
                r.below(16) * 16
            }
        });
        block
    }

    /// Has the area's pointers point into the area with this number.
    fn place(&mut self, number: u64, mut offset: impl FnMut(usize) -> u64) {
        let area = area_address(number);
        self.set(at::X + 8 * u64::from(AREA_REG), area);
        for (n, base) in BASES.iter().filter(|b| **b != FAULTING_BASE).enumerate() {
            self.set(at::X + 8 * u64::from(*base), area + at::SCRATCH + offset(n));
        }
    }

    /// The same block with another number.
    pub(crate) fn moved(&self, number: u64) -> Self {
        let mut block = self.clone();
        let old = word(&self.area, at::X + 8 * u64::from(AREA_REG)) + at::SCRATCH;
        block.place(number, |n| {
            word(&self.area, at::X + 8 * u64::from(BASES[n])) - old
        });
        block
    }

    fn set(&mut self, at: u64, v: u64) {
        self.area[at as usize..at as usize + 8].copy_from_slice(&v.to_le_bytes());
    }
}

/// The word at `at` of an area.
pub(crate) fn word(area: &[u8], at: u64) -> u64 {
    let at = at as usize;
    area.get(at..at + 8)
        .map_or(0, |b| u64::from_le_bytes(b.try_into().unwrap_or_default()))
}

/// Where the area of a block lies.
pub(crate) fn area_address(number: u64) -> u64 {
    DATA + MARGIN + number * AREA
}

/// An address where nothing is, where nothing may be written, or just below the first
/// byte that may.
fn faulting(r: &mut Random) -> u64 {
    match r.below(4) {
        0 => 0x1000 + r.below(0x1000),
        1 => 0x9000_0000 + r.below(0x1000),
        2 => CODE + 0x1000 + r.below(0x1000),
        _ => DATA - 8 + r.below(8),
    }
}

/// A value for a floating-point register: of any format, often special, sometimes
/// badly boxed.
fn float(r: &mut Random) -> u64 {
    let sign = r.below(2);
    let special = |bits: u32, mantissa: u32, r: &mut Random| {
        let exponents = (1u64 << (bits - mantissa - 1)) - 1;
        let exponent = match r.below(8) {
            0 => 0,
            1 => exponents,
            2 => exponents - 1,
            3 => 1,
            // Near one, and near where integers end.
            4 => exponents / 2 + r.below(4),
            5 => (exponents / 2 + 30 + r.below(4)).min(exponents),
            6 => (exponents / 2 + 62 + r.below(4)).min(exponents),
            _ => r.below(exponents + 1),
        };
        let all = (1u64 << mantissa) - 1;
        let fraction = match r.below(4) {
            0 => 0,
            1 => all,
            2 => 1 << r.below(mantissa.into()),
            _ => r.next() & all,
        };
        sign << (bits - 1) | exponent << mantissa | fraction
    };
    match r.below(16) {
        0 => r.next(),
        1..6 => special(64, 52, r),
        6..11 => !0 << 32 | special(32, 23, r),
        11..15 => !0 << 16 | special(16, 10, r),
        _ => special(32, 23, r),
    }
}

/// The program, laid out.
pub(crate) struct Image {
    pub(crate) code: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) entry: u64,
    /// What a block's code ends with a jump to.
    pub(crate) epilogue: u64,
    /// Where each block's own code starts.
    pub(crate) starts: Vec<u64>,
    /// Instructions that are executed around those of the blocks.
    pub(crate) around: u64,
}

impl Image {
    /// Lays out blocks; at most [`MOST_BLOCKS`], each with the area of its number.
    pub(crate) fn new(blocks: &[Block]) -> Self {
        let mut a = Asm::new(CODE);
        let mut data = vec![0; MARGIN as usize];
        data.extend(blocks.iter().flat_map(|b| &b.area));
        let areas = data.len() as u64;
        let epilogue = a.here();
        write_epilogue(&mut a);
        let handler = a.here();
        let mut around = (handler - epilogue) / 4 * blocks.len() as u64;
        write_handler(&mut a, epilogue);
        let end = a.here();
        write_end(&mut a, areas);
        let entry = a.here();
        // Signal number, handler, flags and mask of `rt_sigaction`, and a stack.
        let action = DATA + areas;
        data.extend(handler.to_le_bytes());
        data.extend((SA_SIGINFO | SA_ONSTACK).to_le_bytes());
        data.extend(0u64.to_le_bytes());
        let stack = DATA + data.len() as u64;
        data.extend((stack + 24).to_le_bytes());
        data.extend(0u64.to_le_bytes());
        data.extend(STACK.to_le_bytes());
        write_setup(&mut a, action, stack);
        let mut starts = Vec::new();
        for (n, block) in blocks.iter().enumerate() {
            let this = a.here();
            let previous = n
                .checked_sub(1)
                .map(|n| MARGIN + n as u64 * AREA + at::NEXT);
            if let Some(at) = previous {
                data[at as usize..at as usize + 8].copy_from_slice(&this.to_le_bytes());
            }
            write_prologue(&mut a, area_address(n as u64));
            starts.push(a.here());
            // With the jump to the epilogue.
            around += (a.here() - this) / 4 + 1;
            a.code.extend(&block.code);
            if !a.code.len().is_multiple_of(4) {
                a.code.extend(1u16.to_le_bytes());
            }
            a.j(epilogue);
        }
        if let Some(last) = blocks.len().checked_sub(1) {
            let at = (MARGIN + last as u64 * AREA + at::NEXT) as usize;
            data[at..at + 8].copy_from_slice(&end.to_le_bytes());
        }
        data.resize(data.len() + STACK as usize, 0);
        Self {
            code: a.code,
            data,
            entry,
            epilogue,
            starts,
            around,
        }
    }

    /// The bytes of an executable file: a header, code that may not be written, data
    /// that may not be executed.
    pub(crate) fn elf(&self) -> Vec<u8> {
        const PAGE: usize = 4096;
        let data_at = PAGE + self.code.len().next_multiple_of(PAGE);
        let mut file = Vec::with_capacity(data_at + self.data.len());
        file.extend(b"\x7fELF\x02\x01\x01");
        file.resize(16, 0);
        // Executable, RISC-V, version 1; double-float ABI and C in the flags.
        file.extend([2, 0, 243, 0, 1, 0, 0, 0]);
        file.extend(self.entry.to_le_bytes());
        file.extend(64u64.to_le_bytes());
        file.extend(0u64.to_le_bytes());
        file.extend([5, 0, 0, 0, 64, 0, 56, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        for (flags, offset, address, size) in [
            (5u32, PAGE, CODE, self.code.len()),
            (6, data_at, DATA, self.data.len()),
        ] {
            file.extend(1u32.to_le_bytes());
            file.extend(flags.to_le_bytes());
            for field in [
                offset as u64,
                address,
                address,
                size as u64,
                size as u64,
                PAGE as u64,
            ] {
                file.extend(field.to_le_bytes());
            }
        }
        file.resize(PAGE, 0);
        file.extend(&self.code);
        file.resize(data_at, 0);
        file.extend(&self.data);
        file
    }
}

const SA_SIGINFO: u64 = 4;
const SA_ONSTACK: u64 = 0x0800_0000;
/// Signals that faults become.
pub(crate) const SIGILL: u64 = 4;
pub(crate) const SIGTRAP: u64 = 5;
pub(crate) const SIGBUS: u64 = 7;
pub(crate) const SIGSEGV: u64 = 11;
/// Linux system calls.
pub(crate) const SYS_WRITE: u64 = 64;
const SYS_EXIT: u64 = 93;
const SYS_SIGALTSTACK: u64 = 132;
const SYS_RT_SIGACTION: u64 = 134;

/// Installs the handler for all signals of faults.
fn write_setup(a: &mut Asm, action: u64, stack: u64) {
    a.la(A0, stack);
    a.addi(A1, ZERO, 0);
    a.addi(A7, ZERO, SYS_SIGALTSTACK as i32);
    a.ecall();
    for signal in [SIGILL, SIGTRAP, SIGBUS, SIGSEGV] {
        a.addi(A0, ZERO, signal as i32);
        a.la(A1, action);
        a.addi(A2, ZERO, 0);
        a.addi(A3, ZERO, 8);
        a.addi(A7, ZERO, SYS_RT_SIGACTION as i32);
        a.ecall();
    }
}

/// Loads all registers from an area.
fn write_prologue(a: &mut Asm, area: u64) {
    a.la(GP, area);
    a.drop_reservation(GP);
    a.ld(T0, GP, at::FCSR as i32);
    a.write_fcsr(T0);
    for n in 0..32 {
        a.fld(n, GP, (at::F + 8 * u64::from(n)) as i32);
    }
    for n in (1..32).filter(|n| *n != GP) {
        a.ld(n, GP, (at::X + 8 * u64::from(n)) as i32);
    }
}

/// Stores all registers to the area, and goes to the next block.
fn write_epilogue(a: &mut Asm) {
    for n in 0..32 {
        a.sd(n, GP, (at::X + 8 * u64::from(n)) as i32);
    }
    for n in 0..32 {
        a.fsd(n, GP, (at::F + 8 * u64::from(n)) as i32);
    }
    a.read_fcsr(T0);
    a.sd(T0, GP, at::FCSR as i32);
    a.ld(T0, GP, at::NEXT as i32);
    a.jr(T0);
}

/// In Linux's `struct ucontext`, the program counter; the registers follow it.
const UC_PC: i32 = 176;
/// In Linux's `siginfo_t`, the address of the fault.
const SI_ADDR: i32 = 16;

/// Logs a fault in the area, and goes on behind the instruction.
fn write_handler(a: &mut Asm, epilogue: u64) {
    a.ld(T0, A2, UC_PC + 8 * GP as i32);
    a.ld(T1, T0, at::FAULTS as i32);
    a.addi(T2, T1, 1);
    a.sd(T2, T0, at::FAULTS as i32);
    // 24 bytes an entry.
    a.slli(T3, T1, 3);
    a.slli(T4, T1, 4);
    a.add(T4, T4, T3);
    a.add(T4, T4, T0);
    a.ld(T3, A2, UC_PC);
    a.sd(A0, T4, at::LOG as i32);
    a.sd(T3, T4, at::LOG as i32 + 8);
    a.ld(T5, A1, SI_ADDR);
    a.sd(T5, T4, at::LOG as i32 + 16);
    // Two bytes, or four where the lowest two bits are set.
    a.lhu(T5, T3, 0);
    a.andi(T5, T5, 3);
    a.addi(T5, T5, -3);
    a.sltiu(T5, T5, 1);
    a.slli(T5, T5, 1);
    a.addi(T5, T5, 2);
    a.add(T3, T3, T5);
    a.addi(T5, ZERO, MOST_FAULTS as i32);
    a.skip_if_less(T2, T5, 2);
    a.la(T3, epilogue);
    a.sd(T3, A2, UC_PC);
    a.jr(RA);
}

/// Writes all areas to standard output, and exits.
fn write_end(a: &mut Asm, length: u64) {
    a.la(A1, DATA + MARGIN);
    a.la(T1, DATA + length);
    let again = a.here();
    a.addi(A0, ZERO, 1);
    a.sub(A2, T1, A1);
    a.addi(A7, ZERO, SYS_WRITE as i32);
    a.ecall();
    a.add(A1, A1, A0);
    a.skip_if_less(A1, T1, 3);
    a.addi(A0, ZERO, 0);
    a.addi(A7, ZERO, SYS_EXIT as i32);
    a.ecall();
    a.j(again);
}
