//! A block of host code: its entry, its instructions, the ways out.

use super::memory::Slow;
use super::registers::{Dirty, Registers};
use crate::abi::{Name, Purpose, Stub};
use crate::call::{self, LAST};
use crate::code::PAGE;
use crate::host::assembler::{
    Alu, Assembler, Gpr, LEFT, Label, Mark, Operand, PC, Place, RETURNED, SCRATCH,
};
use crate::object::Object;
use crate::region::Placed;
use crate::scan::Flow;
use isoform_core::attention::CALM;
use isoform_core::{Cond, Helper, MemTy, Scratch, Size, Translate, Width};
use std::mem::offset_of;

/// A value: in a register or known, or what is to be computed of such where it is used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Val {
    Is(Operand),
    /// A register and a constant.
    Sum(Gpr, i32),
    /// The low 32 bits of a register, sign-extended.
    Word(Gpr),
    /// Whether a comparison holds.
    Holds(Cond, Width, Gpr, Operand),
}

/// A block in the making.
pub(super) struct Block<G: Translate> {
    pub(super) asm: Assembler,
    pub(super) registers: Registers,
    pub(super) mode: G::Mode,
    /// Offset in the page at which it is entered.
    entry: u64,
    /// Offsets of the current instruction and of the next.
    pub(super) at: u64,
    pub(super) next: u64,
    /// Instructions before the current one.
    pub(super) done: u64,
    pub(super) flow: Flow,
    pub(super) operand: Option<Val>,
    /// An instruction needs more than there is.
    pub(super) failed: bool,
    /// The state knows that floating-point registers are written.
    pub(super) floats_marked: bool,
    /// What is to be emitted behind the block.
    pub(super) cold: Vec<Cold>,
    /// Where the block is left for the interpreter after a call, once there was one.
    bail: Option<Label>,
    resume: Option<Label>,
    /// What slow accesses call, once there was one.
    pub(super) slow: Option<Label>,
}

/// What happens seldom, and where it is jumped to.
pub(super) struct Cold {
    pub(super) label: Label,
    pub(super) dirty: Dirty,
    /// The instruction, and how many were executed before it.
    pub(super) at: u64,
    pub(super) done: u64,
    pub(super) what: Seldom,
}

pub(super) enum Seldom {
    /// Goes on at an offset, the instruction being done.
    Exit(u64),
    /// Leaves the instruction to the interpreter.
    Interpret,
    /// An access that did not hit.
    Access(Slow),
}

/// The place of a field of the scratch.
pub(super) fn scratch<G: Translate>(field: usize) -> Place {
    Place::of_guest(G::LAYOUT.scratch + field)
}

fn stub(stub: Stub) -> Name {
    Name::Stub(stub as u8)
}

/// Compiles a block; `None` where an instruction needs more than there is.
pub(super) fn block<G: Translate>(
    insns: &[Placed],
    mode: G::Mode,
    count: usize,
) -> Option<(Object, Vec<Mark>)> {
    let entry = insns.first()?.at;
    let mut block = Block::<G> {
        asm: Assembler::default(),
        registers: Registers::new(G::LAYOUT.regs),
        mode,
        entry,
        at: entry,
        next: entry,
        done: 0,
        flow: Flow::Next,
        operand: None,
        failed: false,
        floats_marked: false,
        cold: Vec::new(),
        bail: None,
        resume: None,
        slow: None,
    };
    block.asm.mark(None, false);
    let (short, hot) = block.enter(insns.len(), count);
    for placed in insns {
        block.registers.next_instruction();
        block.at = placed.at;
        block.asm.mark(Some(placed.at), false);
        (block.flow, block.operand) = (Flow::Next, None);
        let Ok(()) = G::execute(&mut block, &placed.insn);
        block.done += 1;
        block.branch_away();
        if block.failed {
            return None;
        }
    }
    block.asm.mark(None, false);
    block.leave();
    block.end_cold();
    block.asm.mark(None, true);
    block.end_entry(short, hot, count);
    block.end_calls();
    block.asm.finish()
}

impl<G: Translate> Block<G> {
    // --- entry

    /// Where fewer instructions are left than the block has, or something is asked of the
    /// vCPU, the block is not entered: the attention word says both, with `CALM` for the
    /// instructions. Nor where it was so often already.
    fn enter(&mut self, insns: usize, count: usize) -> (Label, Label) {
        let (short, hot) = (self.asm.label(), self.asm.label());
        let [word, left] = SCRATCH;
        let field = |field| scratch::<G>(field);
        self.asm
            .load_word(word, field(offset_of!(Scratch, attention)));
        self.asm
            .address(left, Place::off(LEFT, CALM as i32 - insns as i32));
        self.asm.jump_if_less(left, Place::off(word, 0), short);
        self.asm.load_word(word, field(offset_of!(Scratch, counts)));
        self.asm.count_down(Place::off(word, 4 * count as i32));
        self.asm.jump_if_negative(hot);
        (short, hot)
    }

    fn end_entry(&mut self, short: Label, hot: Label, count: usize) {
        self.asm.bind(short);
        self.put(offset_of!(Scratch, handed_back), Operand::Imm(CALM));
        let out = self.asm.label();
        self.asm.jump(out);
        self.asm.bind(hot);
        self.put(offset_of!(Scratch, hot), Operand::Imm(count as u64 + 1));
        self.asm.bind(out);
        self.return_at(self.entry);
    }

    // --- values

    /// A register for a value of the current instruction.
    pub(super) fn take(&mut self) -> Gpr {
        let taken = self.registers.take(&mut self.asm);
        // The block comes to nothing; what is emitted meanwhile does not matter.
        self.failed |= taken.is_none();
        taken.unwrap_or(SCRATCH[0])
    }

    /// A value, computed.
    pub(super) fn operand_of(&mut self, v: Val) -> Operand {
        match v {
            Val::Is(operand) => operand,
            Val::Sum(base, offset) => {
                let to = self.take();
                self.asm.address(to, Place::off(base, offset));
                Operand::Reg(to)
            }
            Val::Word(reg) => {
                let to = self.take();
                self.asm.extend(to, reg, MemTy::signed(Size::B4));
                Operand::Reg(to)
            }
            Val::Holds(c, w, a, b) => {
                let to = self.take();
                self.asm.set_if(c, w, to, a, b);
                Operand::Reg(to)
            }
        }
    }

    /// A value in a register, which is not to be changed.
    pub(super) fn register_of(&mut self, v: Val) -> Gpr {
        match self.operand_of(v) {
            Operand::Reg(reg) => reg,
            Operand::Imm(value) => {
                let to = self.take();
                self.asm.constant(to, value);
                to
            }
        }
    }

    pub(super) fn read(&mut self, r: u8) -> Val {
        if r & 31 == 0 {
            return Val::Is(Operand::Imm(0));
        }
        let read = self.registers.read(r & 31, &mut self.asm);
        self.failed |= read.is_none();
        Val::Is(Operand::Reg(read.unwrap_or(SCRATCH[0])))
    }

    pub(super) fn write(&mut self, r: u8, v: Val) {
        if r & 31 == 0 {
            return;
        }
        let value = self.register_of(v);
        let own = match self.registers.is_bound(value) {
            // It is another register's.
            true => {
                let to = self.take();
                self.asm.copy(to, value);
                to
            }
            false => value,
        };
        self.registers.write_to(r & 31, own);
    }

    /// The address of an offset in the page, or beyond it.
    pub(super) fn address(&mut self, at: u64) -> Val {
        let distance = at.wrapping_sub(self.entry) as i64;
        match i32::try_from(distance) {
            Ok(0) => Val::Is(Operand::Reg(PC)),
            Ok(distance) => Val::Sum(PC, distance),
            // From behind a jump back it may be a little more than 2 GiB.
            Err(_) => {
                let to = self.take();
                self.asm.constant(to, distance as u64);
                let pc = Operand::Reg(PC);
                self.asm.alu(Alu::Add, Width::W64, to, to, pc);
                Val::Is(Operand::Reg(to))
            }
        }
    }

    pub(super) fn put(&mut self, field: usize, value: Operand) {
        self.asm.store_word(scratch::<G>(field), value);
    }

    // --- ways out

    /// A branch leaves the block where it is taken.
    fn branch_away(&mut self) {
        let (Flow::Branch(offset), Some(c)) = (self.flow, self.operand) else {
            return;
        };
        let label = self.asm.label();
        match c {
            Val::Holds(c, w, a, b) => self.asm.jump_if(c, w, a, b, label),
            c => {
                let c = self.register_of(c);
                let zero = Operand::Imm(0);
                self.asm.jump_if(Cond::Ne, Width::W64, c, zero, label);
            }
        }
        self.seldom(label, Seldom::Exit(self.at.wrapping_add(offset as u64)));
    }

    /// Something is emitted behind the block, with what is dirty now.
    pub(super) fn seldom(&mut self, label: Label, what: Seldom) {
        self.cold.push(Cold {
            label,
            dirty: self.registers.dirty(),
            at: self.at,
            done: self.done,
            what,
        });
    }

    /// The block is over.
    fn leave(&mut self) {
        let target = match (self.flow, self.operand) {
            (Flow::Indirect | Flow::Leave, Some(target)) => target,
            (Flow::Leave, None) => self.address(self.next),
            (Flow::Jump(offset), _) => {
                self.registers.write(&mut self.asm);
                return self.go_to(self.at.wrapping_add(offset as u64), self.done);
            }
            _ => {
                self.registers.write(&mut self.asm);
                return self.go_to(self.next, self.done);
            }
        };
        let target = self.operand_of(target);
        self.registers.write(&mut self.asm);
        self.asm.put_operand(PC, target);
        self.take_off(self.done);
        self.asm.jump_to(stub(Stub::Dispatch));
    }

    /// So many instructions fewer are left.
    fn take_off(&mut self, done: u64) {
        if done > 0 {
            self.asm
                .alu(Alu::Sub, Width::W64, LEFT, LEFT, Operand::Imm(done));
        }
    }

    /// Goes on at an offset, with the state complete.
    fn go_to(&mut self, to: u64, done: u64) {
        self.advance_pc(to);
        self.take_off(done);
        let unit = match to < PAGE as u64 {
            true => Name::Unit(to as u16),
            false => stub(Stub::Dispatch),
        };
        self.asm.jump_to(unit);
    }

    fn advance_pc(&mut self, to: u64) {
        if let Val::Sum(pc, distance) = self.address(to) {
            self.asm.address(PC, Place::off(pc, distance));
        }
    }

    /// Returns to the run loop, with the state complete, which goes on at an offset.
    fn return_at(&mut self, to: u64) {
        self.advance_pc(to);
        self.asm
            .store_word(Place::of_guest(G::LAYOUT.pc), Operand::Reg(PC));
        self.asm.copy(RETURNED, LEFT);
        self.asm.ret();
    }

    fn end_cold(&mut self) {
        for cold in std::mem::take(&mut self.cold) {
            self.asm.mark(Some(cold.at), true);
            self.asm.bind(cold.label);
            cold.dirty.write(&mut self.asm, G::LAYOUT.regs);
            match cold.what {
                Seldom::Exit(to) => self.go_to(to, cold.done),
                Seldom::Interpret => {
                    self.put(offset_of!(Scratch, handed_back), Operand::Imm(1));
                    self.take_off(cold.done);
                    self.return_at(cold.at);
                }
                Seldom::Access(slow) => self.access_slowly(slow, cold.at, cold.done),
            }
        }
    }

    // --- calls

    pub(super) fn purpose(&self, what: u64, at: u64, done: u64) -> Operand {
        Operand::Imm(Purpose { what, done, at }.encode() as u64)
    }

    fn pass(&mut self, args: [Val; 4]) {
        for (n, arg) in args.into_iter().enumerate() {
            let arg = self.operand_of(arg);
            self.put(offset_of!(Scratch, args) + 8 * n, arg);
        }
    }

    /// What the last call gave.
    fn given(&mut self) -> Val {
        let to = self.take();
        self.asm
            .load_word(to, scratch::<G>(offset_of!(Scratch, value)));
        Val::Is(Operand::Reg(to))
    }

    /// Goes to a label where the last call gave nothing.
    pub(super) fn unless_given(&mut self, to: Label) {
        let status = scratch::<G>(offset_of!(Scratch, status));
        self.asm.jump_unless_zero(status, to);
    }

    /// As [`crate::emit::Emitter::call_pure`].
    pub(super) fn call_pure(&mut self, h: &'static Helper<G>, args: [Val; 4]) -> Val {
        self.pass(args);
        let number = Operand::Imm(call::number(h));
        self.put(offset_of!(Scratch, purpose), number);
        self.asm.call(stub(Stub::PureHelper));
        if h.effects.traps {
            let label = self.asm.label();
            self.unless_given(label);
            self.seldom(label, Seldom::Interpret);
        }
        self.given()
    }

    /// A helper that sees the whole state: within the block, or as its last instruction.
    pub(super) fn call_helper(&mut self, h: &'static Helper<G>, args: [Val; 4], last: bool) -> Val {
        self.pass(args);
        self.registers.write(&mut self.asm);
        let what = call::number(h) | if last { LAST } else { 0 };
        let purpose = self.purpose(what, self.at, self.done);
        self.pass_on(purpose);
        self.asm.call(stub(Stub::Helper));
        let out = match last {
            true => &mut self.resume,
            false => &mut self.bail,
        };
        let out = *out.get_or_insert_with(|| self.asm.label());
        self.unless_given(out);
        self.given()
    }

    /// What a call of Rust asks for beside its arguments.
    fn pass_on(&mut self, purpose: Operand) {
        self.put(offset_of!(Scratch, entry), Operand::Reg(PC));
        self.put(offset_of!(Scratch, left), Operand::Reg(LEFT));
        self.put(offset_of!(Scratch, purpose), purpose);
    }

    /// The label of where the block is left for the interpreter after a call.
    pub(super) fn bail(&mut self) -> Label {
        *self.bail.get_or_insert_with(|| self.asm.label())
    }

    fn end_calls(&mut self) {
        if let Some(slow) = self.slow {
            self.asm.bind(slow);
            let [address, purpose] = SCRATCH;
            self.put(offset_of!(Scratch, args), Operand::Reg(address));
            self.pass_on(Operand::Reg(purpose));
            self.asm.jump_to(stub(Stub::Memory));
        }
        for (label, to) in [(self.bail, Stub::Bail), (self.resume, Stub::Resume)] {
            if let Some(label) = label {
                self.asm.bind(label);
                self.asm.jump_to(stub(to));
            }
        }
    }
}
