//! A hart as generated code sees it.

use crate::csr::mstatus;
use crate::hart::Hart;
use crate::helpers;
use crate::mmu::Access;
use crate::state::{Reservation, State};
use isoform_core::translate::STAMP_MODE_BITS;
use isoform_core::{
    FetchLayout, FloatLayout, Guest, Helper, Layout, MemOp, PageId, ReservationLayout, Rounding,
    Scratch, TlbLayout, Translate,
};
use isoform_memory::Tlb;
use std::mem::offset_of;

const STATE: usize = offset_of!(Hart, state);
const TLB: usize = offset_of!(Hart, tlb);
const RESERVATION: usize = STATE + offset_of!(State, reservation);

/// The `rm` field (Unpriv. 20.2).
fn rounding(rm: u8) -> Rounding {
    match rm {
        0 => Rounding::NearestEven,
        1 => Rounding::TowardZero,
        7 => Rounding::Dynamic,
        _ => Rounding::Other,
    }
}

impl Translate for Hart {
    const LAYOUT: Layout = Layout {
        regs: STATE + offset_of!(State, x),
        fregs: STATE + offset_of!(State, f),
        // Priv. 3.1.6.6: FS becomes Dirty.
        fregs_written: (
            STATE + offset_of!(State, mstatus),
            mstatus::FS | mstatus::SD,
        ),
        // Unpriv. 20.2: NX is bit 0, frm bits 7:5, where 0 is RNE and 5 to 7 are
        // reserved.
        float: FloatLayout {
            control: STATE + offset_of!(State, fcsr),
            inexact: 1,
            direction: 7 << 5,
            reserved: 5 << 5,
            rounding,
        },
        pc: STATE + offset_of!(State, pc),
        scratch: offset_of!(Hart, scratch),
        reservation: ReservationLayout {
            valid: RESERVATION + offset_of!(Reservation, valid),
            size: RESERVATION + offset_of!(Reservation, size),
            addr: RESERVATION + offset_of!(Reservation, addr),
            value: RESERVATION + offset_of!(Reservation, value),
        },
        tlb: TlbLayout {
            table: TLB + Tlb::LAYOUT.table,
            fetch: FetchLayout {
                table: TLB + Tlb::LAYOUT.fetch.table,
                ..Tlb::LAYOUT.fetch
            },
            ..Tlb::LAYOUT
        },
    };

    const HELPERS: &'static [&'static Helper<Self>] = helpers::ALL;

    fn scratch(&mut self) -> &mut Scratch {
        &mut self.scratch
    }

    fn code_stamp(&self) -> u64 {
        // 32-bit alignment of instructions never changes.
        let mode = u64::from(self.mode.zeroes) << 3
            | u64::from(self.mode.fp_off) << 2
            | self.mode.privilege as u64;
        self.tlb.epoch() << STAMP_MODE_BITS | mode
    }

    fn code_since(&self) -> u64 {
        self.code_since.max(1)
    }

    fn fetch_word(&self) -> Option<u64> {
        self.tlb.fetch_word(self.state.pc)
    }

    fn exits(&self) -> bool {
        self.exit.is_some()
    }

    fn code_settled(&self, page: PageId) -> bool {
        let since = self.unsettled.get(&page.gpa);
        since.is_none_or(|since| self.epoch.settled(self.id, *since))
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
                self.bus.load(found.gpa, ty.size).map(|v| ty.extend(v))
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
