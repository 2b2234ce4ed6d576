//! Accesses to memory: through the soft TLB where it hits, by a call of Rust elsewhere.

use super::emit::{Block, Seldom, Val, scratch};
use crate::abi;
use crate::code::PAGE;
use crate::host::assembler::{Alu, Gpr, Label, Operand, Place, SCRATCH, Shift};
use isoform_core::{Cond, MemOp, MemTy, Scratch, Size, Translate, Width};
use std::mem::offset_of;

/// An access that did not hit.
pub(super) struct Slow {
    call: Call,
    /// What is stored.
    value: Option<Gpr>,
    /// Where to go on.
    back: Label,
}

/// An access that is done by a call of Rust.
struct Call {
    op: MemOp,
    address: Gpr,
    /// Where what it gives is wanted.
    to: Option<Gpr>,
}

impl<G: Translate> Block<G> {
    /// The host's address of so many bytes, as a sum of two registers: to add to the
    /// address that is given. Goes to the label where they do not lie in one page that
    /// the table has.
    fn look_up(&mut self, address: Gpr, bytes: u64, tag: usize, miss: Label) -> Place {
        let tlb = G::LAYOUT.tlb;
        let [entry, other] = SCRATCH;
        let shift = u64::from(12 - tlb.log_entry);
        let mask = ((1 << tlb.log_entries) - 1) << tlb.log_entry;
        let (w, asm) = (Width::W64, &mut self.asm);
        asm.shift(Shift::Right, w, entry, address, Operand::Imm(shift));
        asm.alu(Alu::And, w, entry, entry, Operand::Imm(mask));
        asm.alu_place(Alu::Add, entry, Place::of_guest(tlb.table));
        asm.copy(other, address);
        asm.alu_place(Alu::Xor, other, Place::off(entry, tag as i32));
        let room = Operand::Imm(PAGE as u64 - bytes + 1);
        asm.jump_if(Cond::Geu, w, other, room, miss);
        asm.load_word(other, Place::off(entry, tlb.addend as i32));
        Place::sum(address, other)
    }

    pub(super) fn load_inline(&mut self, address: Val, ty: MemTy) -> Val {
        let address = self.register_of(address);
        let to = self.take();
        let (miss, back) = (self.asm.label(), self.asm.label());
        let tag = G::LAYOUT.tlb.read;
        let place = self.look_up(address, ty.size.bytes(), tag, miss);
        self.asm.load(to, place, ty);
        self.asm.bind(back);
        let call = Call {
            op: MemOp::Load(ty),
            address,
            to: Some(to),
        };
        let value = None;
        self.seldom(miss, Seldom::Access(Slow { call, value, back }));
        Val::Is(Operand::Reg(to))
    }

    pub(super) fn store_inline(&mut self, address: Val, size: Size, v: Val) {
        let address = self.register_of(address);
        let value = self.register_of(v);
        let (miss, back) = (self.asm.label(), self.asm.label());
        let tag = G::LAYOUT.tlb.write;
        let place = self.look_up(address, size.bytes(), tag, miss);
        self.asm.store(place, size, value);
        self.asm.bind(back);
        let call = Call {
            op: MemOp::Store(size),
            address,
            to: None,
        };
        let value = Some(value);
        self.seldom(miss, Seldom::Access(Slow { call, value, back }));
    }

    /// An atomic access, always by a call; what it gives.
    pub(super) fn access(&mut self, op: MemOp, address: Val, operands: &[Val]) -> Val {
        let address = self.register_of(address);
        for (n, operand) in operands.iter().enumerate() {
            let operand = self.operand_of(*operand);
            self.put(offset_of!(Scratch, args) + 8 * (n + 1), operand);
        }
        let to = self.take();
        self.registers.write(&mut self.asm);
        let call = Call {
            op,
            address,
            to: Some(to),
        };
        self.call_memory(&call, self.at, self.done);
        Val::Is(Operand::Reg(to))
    }

    /// An access that did not hit, in its cold part.
    pub(super) fn access_slowly(&mut self, slow: Slow, at: u64, done: u64) {
        if let Some(value) = slow.value {
            self.put(offset_of!(Scratch, args) + 8, Operand::Reg(value));
        }
        self.call_memory(&slow.call, at, done);
        self.asm.jump(slow.back);
    }

    fn call_memory(&mut self, call: &Call, at: u64, done: u64) {
        let [address, purpose] = SCRATCH;
        let what = self.purpose(abi::encode(call.op), at, done);
        self.asm.copy(address, call.address);
        self.asm.put_operand(purpose, what);
        let thunk = *self.slow.get_or_insert_with(|| self.asm.label());
        self.asm.call_label(thunk);
        let bail = self.bail();
        self.unless_given(bail);
        if let Some(to) = call.to {
            self.asm
                .load_word(to, scratch::<G>(offset_of!(Scratch, value)));
        }
    }
}
