//! A hart as backends see it.

use crate::decode;
use crate::format::SHORT;
use crate::hart::{Hart, Mode};
use crate::mmu::Access;
use crate::table;
use crate::trap::{Cause, Trap};
use isoform_core::translate::STAMP_MODE_BITS;
use std::sync::atomic::{Ordering, fence};

use isoform_core::{
    AmoOp, Attention, Exit, FReg, Guest, Insn, MemTy, Ops, Order, PageId, Reg, Requests, Size,
};

impl Guest for Hart {
    type Trap = Trap;
    type Mode = Mode;

    const NAME: &'static str = "riscv64";
    const ALIGN: u64 = 2;

    #[inline(always)]
    fn reg(&self, r: Reg) -> u64 {
        self.state.x[usize::from(r.0 & 31)]
    }

    #[inline(always)]
    fn set_reg(&mut self, r: Reg, v: u64) {
        // Two stores cost less than a branch on the register's number.
        self.state.x[usize::from(r.0 & 31)] = v;
        self.state.x[0] = 0;
    }

    #[inline(always)]
    fn freg(&self, r: FReg) -> u64 {
        self.state.f[usize::from(r.0 & 31)]
    }

    #[inline(always)]
    fn set_freg(&mut self, r: FReg, v: u64) {
        self.state.f[usize::from(r.0 & 31)] = v;
        self.set_fp_dirty();
    }

    fn pc(&self) -> u64 {
        self.state.pc
    }

    fn set_pc(&mut self, pc: u64) {
        self.state.pc = pc;
    }

    fn advance(&mut self, instructions: u64) {
        self.state.icount = self.state.icount.wrapping_add(instructions);
        self.timebase.advance(instructions);
    }

    #[inline(always)]
    fn mode(&self) -> Mode {
        self.mode
    }

    #[inline(always)]
    fn attention(&self) -> &Attention {
        self.lines.attention()
    }

    fn fetch_page(&mut self) -> Result<PageId, Trap> {
        let pc = self.state.pc;
        let gpa = match self.tlb.fetch(pc) {
            Some(gpa) => gpa,
            None => self.translate(pc, 2, Access::Fetch)?.gpa & !(isoform_memory::PAGE - 1),
        };
        let version = match self.ram.page_index(gpa) {
            Some(page) => Some(self.ram.code().version(page)),
            None => self.bus.rom(gpa).map(|rom| rom.version(gpa)),
        };
        version
            .map(|version| PageId { gpa, version })
            .ok_or(Trap::new(Cause::InstructionAccess, pc))
    }

    fn read_code(&mut self, page: PageId, offset: u64, bytes: &mut [u8]) -> u32 {
        let Some(index) = self.ram.page_index(page.gpa) else {
            let rom = self.bus.rom(page.gpa);
            return rom
                .and_then(|rom| rom.read_code(page.gpa + offset, bytes))
                .unwrap_or_else(|| {
                    // `fetch_page` gives pages of memory only; these bytes are illegal.
                    bytes.fill(0);
                    page.version
                });
        };
        let (version, epoch) = self.epoch.track(self.id, self.ram.code(), index);
        // Also where another hart tracked the page: its request may not be served yet.
        self.tlb.drop_page_writes(page.gpa, version);
        if !self.epoch.settled(self.id, epoch) {
            self.unsettled.insert(page.gpa, epoch);
        }
        if self.ram.read(page.gpa + offset, bytes).is_none() {
            bytes.fill(0);
        }
        version
    }

    fn fetch_straddling(&mut self) -> Result<Insn, Trap> {
        let pc = self.state.pc;
        let mut half = |va: u64| {
            let gpa = self.translate(va, 2, Access::Fetch)?.gpa;
            self.bus
                .fetch_half(gpa)
                .map(|v| v as u16)
                .ok_or(Trap::new(Cause::InstructionAccess, va))
        };
        let low = half(pc)?;
        if decode::is_short(low) {
            return Ok(decode::short(low, self.cpu.ext).0);
        }
        let high = half(pc.wrapping_add(2))?;
        Ok(decode::long(u32::from(low) | u32::from(high) << 16, self.cpu.ext).0)
    }

    fn decode(&self, bytes: &[u8]) -> Option<Insn> {
        decode::decode(bytes, self.cpu.ext).map(|(insn, _)| insn)
    }

    #[inline(always)]
    fn length(insn: Insn) -> u64 {
        4 - u64::from(insn.op & SHORT) / 256
    }

    #[inline(always)]
    fn execute<O: Ops<Guest = Self>>(ops: &mut O, insn: &Insn) -> Result<(), O::Exit> {
        table::execute(ops, insn)
    }

    #[inline(always)]
    fn load_fast(&self, addr: u64, ty: MemTy) -> Option<u64> {
        self.tlb.load(addr, ty.size).map(|v| ty.extend(v))
    }

    #[inline(always)]
    fn store_fast(&self, addr: u64, size: Size, value: u64) -> Option<()> {
        self.tlb.store(addr, size, value)
    }

    fn load(&mut self, addr: u64, ty: MemTy) -> Result<u64, Trap> {
        self.load_slow(addr, ty)
    }

    fn store(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Trap> {
        self.store_slow(addr, size, value)
    }

    // What reads and writes is sequentially consistent on the host, whatever order is
    // asked for.

    fn amo(&mut self, op: AmoOp, a: u64, s: Size, v: u64, _: Order) -> Result<u64, Trap> {
        Hart::amo(self, op, a, s, v)
    }

    fn cas(&mut self, a: u64, s: Size, old: u64, new: u64, _: Order) -> Result<u64, Trap> {
        self.compare_exchange(a, s, old, new)
    }

    fn load_reserved(&mut self, a: u64, s: Size, order: Order) -> Result<u64, Trap> {
        if matches!(order, Order::Release | Order::AcqRel) {
            fence(Ordering::SeqCst);
        }
        let value = Hart::load_reserved(self, a, s)?;
        if matches!(order, Order::Acquire | Order::AcqRel) {
            fence(Ordering::Acquire);
        }
        Ok(value)
    }

    fn store_conditional(&mut self, a: u64, s: Size, v: u64, _: Order) -> Result<u64, Trap> {
        Hart::store_conditional(self, a, s, v)
    }

    #[inline(always)]
    fn take_unit_end(&mut self) -> bool {
        std::mem::take(&mut self.unit_end)
    }

    fn take_exit(&mut self) -> Option<Exit> {
        self.exit.take()
    }

    fn deliver(&mut self, trap: Trap) {
        self.deliver_trap(trap);
    }

    fn serve_attention(&mut self) -> Option<Exit> {
        let requests = self.lines.attention().take();
        if requests.contains(Requests::FLUSH_TLB) {
            self.tlb.flush_all();
        }
        if requests.contains(Requests::FLUSH_CODE) {
            self.settle_code();
        }
        if requests.contains(Requests::DROP_WRITES) {
            let tlb = &mut self.tlb;
            self.epoch.serve(self.id, || tlb.drop_code_writes());
        }
        self.lines.attention().served();
        self.update_timer();
        if let Some(interrupt) = self.pending_interrupt() {
            self.take_interrupt(interrupt);
        }
        requests
            .intersects(Requests::STOP | Requests::STEP)
            .then_some(Exit::Attention)
    }
}

impl Hart {
    /// Floating-point state was written: `mstatus.FS` becomes Dirty (Priv. 3.1.6.6).
    #[inline(always)]
    pub(crate) fn set_fp_dirty(&mut self) {
        self.state.mstatus |= crate::csr::mstatus::FS | crate::csr::mstatus::SD;
    }

    /// The architectural instruction fence: what this hart decoded is compared with
    /// memory before it runs again, wherever a store may have gone unseen.
    pub(crate) fn settle_code(&mut self) {
        let (epoch, ram, me) = (&self.epoch, &self.ram, self.id);
        self.unsettled.retain(|gpa, since| {
            // Asked before the version changes: a store seen by nobody came earlier.
            let settled = epoch.settled(me, *since);
            if let Some(page) = ram.page_index(*gpa) {
                ram.code().bump(page);
            }
            !settled
        });
        self.note_code_changes();
    }

    /// Translated code of before is looked up anew, if any code page has changed.
    pub(crate) fn note_code_changes(&mut self) {
        let changes = self.ram.code().changes();
        if std::mem::replace(&mut self.code_changes, changes) != changes {
            self.code_since = self.tlb.begin_epochs() << STAMP_MODE_BITS;
        }
    }
}
