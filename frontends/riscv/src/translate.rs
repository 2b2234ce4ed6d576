//! A hart as generated code sees it.

use crate::csr::mstatus;
use crate::hart::Hart;
use crate::mmu::Access;
use crate::state::State;
use isoform_core::{Guest, Layout, MemOp, Scratch, TlbLayout, Translate};
use isoform_memory::Tlb;
use std::mem::offset_of;

const STATE: usize = offset_of!(Hart, state);

impl Translate for Hart {
    const LAYOUT: Layout = Layout {
        regs: STATE + offset_of!(State, x),
        fregs: STATE + offset_of!(State, f),
        // Priv. 3.1.6.6: FS becomes Dirty.
        fregs_written: (
            STATE + offset_of!(State, mstatus),
            mstatus::FS | mstatus::SD,
        ),
        pc: STATE + offset_of!(State, pc),
        scratch: offset_of!(Hart, scratch),
        tlb: TlbLayout {
            table: offset_of!(Hart, tlb) + Tlb::LAYOUT.table,
            ..Tlb::LAYOUT
        },
    };

    fn scratch(&mut self) -> &mut Scratch {
        &mut self.scratch
    }

    fn code_context(&mut self) -> u64 {
        // The privilege for fetches is part of the TLB's space; 32-bit alignment of
        // instructions never changes.
        self.tlb.token() << 1 | u64::from(self.mode.fp_off)
    }

    fn code_settled(&self) -> bool {
        self.epoch.is_settled(self.id)
    }

    fn access_ram(&mut self, op: MemOp, addr: u64, a: u64, b: u64) -> Option<u64> {
        // A fault here has changed nothing but marks in page tables, which the
        // interpreter's access would set, too.
        match op {
            MemOp::Load(ty) if addr & (ty.size.bytes() - 1) != 0 => {
                self.load_misaligned(addr, ty).ok()
            }
            MemOp::Load(ty) => {
                let found = self.translate(addr, ty.size.bytes(), Access::Load).ok()?;
                self.ram.load(found.gpa, ty.size).map(|v| ty.extend(v))
            }
            MemOp::Store(size) if addr & (size.bytes() - 1) != 0 => {
                self.store_misaligned(addr, size, a).ok().map(|()| 0)
            }
            MemOp::Store(size) => {
                let found = self.translate(addr, size.bytes(), Access::Store).ok()?;
                self.ram.store(found.gpa, size, a).map(|()| 0)
            }
            // Atomics are for RAM alone.
            MemOp::Amo(op, size, order) => Guest::amo(self, op, addr, size, a, order).ok(),
            MemOp::Cas(size, order) => Guest::cas(self, addr, size, a, b, order).ok(),
            MemOp::LoadReserved(size, order) => Guest::load_reserved(self, addr, size, order).ok(),
            MemOp::StoreConditional(size, order) => {
                let reservation = self.state.reservation;
                let done = Guest::store_conditional(self, addr, size, a, order);
                if done.is_err() {
                    self.state.reservation = reservation;
                }
                done.ok()
            }
        }
    }
}
