//! Atomic accesses as the host's own: where the soft TLB has the page for writing and
//! the address is aligned. All are sequentially consistent, whatever order is asked for,
//! but for a load that reserves.

use crate::emit::Emitter;
use crate::ops::int;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I64};
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, MemFlagsData as MemFlags, Value};
use isoform_core::{AmoOp, MemOp, Order, Size, Translate};

fn operation(op: AmoOp) -> AtomicRmwOp {
    match op {
        AmoOp::Swap => AtomicRmwOp::Xchg,
        AmoOp::Add => AtomicRmwOp::Add,
        AmoOp::Xor => AtomicRmwOp::Xor,
        AmoOp::And => AtomicRmwOp::And,
        AmoOp::Or => AtomicRmwOp::Or,
        AmoOp::Min => AtomicRmwOp::Smin,
        AmoOp::Max => AtomicRmwOp::Smax,
        AmoOp::Minu => AtomicRmwOp::Umin,
        AmoOp::Maxu => AtomicRmwOp::Umax,
    }
}

impl<G: Translate> Emitter<'_, '_, G> {
    /// Has nothing that follows an atomic access come before it, where that is asked for.
    fn fence_behind(&mut self, order: Order) {
        let acquires = matches!(order, Order::Acquire | Order::AcqRel);
        if acquires && !self.host.atomics_fence {
            self.b.ins().fence();
        }
    }

    /// The old value, sign-extended.
    pub(crate) fn amo_inline(
        &mut self,
        op: AmoOp,
        addr: Value,
        size: Size,
        v: Value,
        order: Order,
    ) -> Value {
        let (host, slow) = self.hit_aligned(addr, size, G::LAYOUT.tlb.write);
        let operand = self.low(size, v);
        let flags = MemFlags::trusted();
        let old = self
            .b
            .ins()
            .atomic_rmw(int(size), flags, operation(op), host, operand);
        self.fence_behind(order);
        let old = self.sign_extended(size, old);
        self.or_slowly(old, slow, MemOp::Amo(op, size, order), [addr, v, v])
    }

    /// The old value, sign-extended.
    pub(crate) fn cas_inline(
        &mut self,
        addr: Value,
        size: Size,
        expected: Value,
        new: Value,
        order: Order,
    ) -> Value {
        let (host, slow) = self.hit_aligned(addr, size, G::LAYOUT.tlb.write);
        let (from, to) = (self.low(size, expected), self.low(size, new));
        let old = self.b.ins().atomic_cas(MemFlags::trusted(), host, from, to);
        self.fence_behind(order);
        let old = self.sign_extended(size, old);
        self.or_slowly(old, slow, MemOp::Cas(size, order), [addr, expected, new])
    }

    fn set_reservation(&mut self, [valid, size, addr, value]: [Value; 4]) {
        let places = G::LAYOUT.reservation;
        for (v, place) in [
            (valid, places.valid),
            (size, places.size),
            (addr, places.addr),
            (value, places.value),
        ] {
            self.b
                .ins()
                .store(self.kinds.own, v, self.guest, place as i32);
        }
    }

    /// The value loaded, sign-extended; the reservation is made.
    pub(crate) fn load_reserved_inline(&mut self, addr: Value, size: Size, order: Order) -> Value {
        if matches!(order, Order::Release | Order::AcqRel) {
            self.b.ins().fence();
        }
        let (host, slow) = self.hit_aligned(addr, size, G::LAYOUT.tlb.read);
        let loaded = self
            .b
            .ins()
            .atomic_load(int(size), MemFlags::trusted(), host);
        let valid = self.b.ins().iconst(I8, 1);
        let bytes = self.b.ins().iconst(I8, size.bytes() as i64);
        let value = self.zero_extended(size, loaded);
        self.set_reservation([valid, bytes, addr, value]);
        let result = self.sign_extended(size, loaded);
        self.or_slowly(result, slow, MemOp::LoadReserved(size, order), [addr; 3])
    }

    /// 0 where it stored, 1 where the reservation does not hold. Where there is none for
    /// this address and size, it still may fault: that is looked after slowly.
    pub(crate) fn store_conditional_inline(
        &mut self,
        addr: Value,
        size: Size,
        v: Value,
        order: Order,
    ) -> Value {
        // Both ways from here on may leave the region.
        self.settle();
        let places = G::LAYOUT.reservation;
        let load = |this: &mut Self, ty, place: usize| {
            let own = this.kinds.own;
            this.b.ins().load(ty, own, this.guest, place as i32)
        };
        let valid = load(self, I8, places.valid);
        let bytes = load(self, I8, places.size);
        let reserved = load(self, I64, places.addr);
        let same = self.b.ins().icmp(IntCC::Equal, reserved, addr);
        let fits = self
            .b
            .ins()
            .icmp_imm_u(IntCC::Equal, bytes, size.bytes() as i64);
        let holds = self.b.ins().band(same, fits);
        let holds = self.b.ins().band(holds, valid);
        let (held, slow) = (self.b.create_block(), self.cold_block());
        self.b.ins().brif(holds, held, &[], slow, &[]);
        self.b.seal_block(held);
        self.b.switch_to_block(held);
        let (host, missed) = self.hit_aligned(addr, size, G::LAYOUT.tlb.write);
        let expected = load(self, I64, places.value);
        let (from, to) = (self.low(size, expected), self.low(size, v));
        let old = self.b.ins().atomic_cas(MemFlags::trusted(), host, from, to);
        self.fence_behind(order);
        let failed = self.b.ins().icmp(IntCC::NotEqual, old, from);
        let failed = self.b.ins().uextend(I64, failed);
        let (no, none) = (self.b.ins().iconst(I8, 0), self.b.ins().iconst(I64, 0));
        self.set_reservation([no, no, none, none]);
        let done = self.done_with(failed);
        // Both ways to do it slowly are one.
        self.b.switch_to_block(missed);
        self.b.ins().jump(slow, &[]);
        self.b.seal_block(slow);
        let op = MemOp::StoreConditional(size, order);
        self.slowly(done, slow, op, [addr, v, v])
    }
}
