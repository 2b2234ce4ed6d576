//! Loads, stores and atomics: the fast path through the soft TLB, and the slow one.
//!
//! Both halves of an access that crosses pages are translated before anything is
//! written, so that a fault leaves memory as it was.

use crate::hart::Hart;
use crate::mmu::Access;
use crate::state::Reservation;
use crate::trap::{Cause, Trap};
use isoform_core::{AmoOp, MemTy, Size};
use isoform_memory::PAGE;

fn is_aligned(va: u64, size: Size) -> bool {
    va & (size.bytes() - 1) == 0
}

impl Hart {
    #[cold]
    #[inline(never)]
    pub(crate) fn load_slow(&mut self, va: u64, ty: MemTy) -> Result<u64, Trap> {
        if !is_aligned(va, ty.size) {
            return self.load_misaligned(va, ty);
        }
        let gpa = self.translate(va, ty.size.bytes(), Access::Load)?.gpa;
        if let Some(value) = self.bus.load(gpa, ty.size) {
            return Ok(ty.extend(value));
        }
        // A device's registers may change interrupt lines, even by a read.
        self.unit_end = true;
        let value = self
            .bus
            .read(gpa, ty.size)
            .map_err(|_| Access::Load.access_fault(va))?;
        Ok(ty.extend(value))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn store_slow(&mut self, va: u64, size: Size, value: u64) -> Result<(), Trap> {
        if !is_aligned(va, size) {
            return self.store_misaligned(va, size, value);
        }
        let gpa = self.translate(va, size.bytes(), Access::Store)?.gpa;
        if self.ram.store(gpa, size, value).is_some() {
            return Ok(());
        }
        self.unit_end = true;
        self.bus
            .write(gpa, size, value)
            .map_err(|_| Access::Store.access_fault(va))
    }

    /// The parts of a misaligned access, a page each: guest-physical address and
    /// length. All of it must be RAM (or, of a load, contents that answer directly):
    /// devices answer aligned accesses only.
    fn parts(&mut self, va: u64, size: Size, access: Access) -> Result<[(u64, usize); 2], Trap> {
        let bytes = size.bytes();
        let first = bytes.min(PAGE - va % PAGE);
        let mut part = |va: u64, len: u64| {
            let gpa = self.translate(va, len, access)?.gpa;
            let is_ram = |gpa| self.ram.page_index(gpa).is_some();
            let is_rom = || access == Access::Load && self.bus.rom(gpa).is_some();
            if is_ram(gpa) && is_ram(gpa + len - 1) || is_rom() {
                Ok((gpa, len as usize))
            } else {
                Err(access.access_fault(va))
            }
        };
        let low = part(va, first)?;
        let high = match bytes - first {
            0 => (low.0, 0),
            rest => part(va.wrapping_add(first), rest)?,
        };
        Ok([low, high])
    }

    pub(crate) fn load_misaligned(&mut self, va: u64, ty: MemTy) -> Result<u64, Trap> {
        let [(low, n), (high, m)] = self.parts(va, ty.size, Access::Load)?;
        let mut bytes = [0; 8];
        let (a, b) = bytes.split_at_mut(n);
        let read = self
            .bus
            .load_bytes(low, a)
            .and_then(|()| self.bus.load_bytes(high, b.get_mut(..m)?));
        read.ok_or(Access::Load.access_fault(va))?;
        Ok(ty.extend(u64::from_le_bytes(bytes)))
    }

    pub(crate) fn store_misaligned(&mut self, va: u64, size: Size, value: u64) -> Result<(), Trap> {
        let [(low, n), (high, m)] = self.parts(va, size, Access::Store)?;
        let bytes = value.to_le_bytes();
        let (a, b) = bytes.split_at(n);
        let written = self
            .ram
            .write(low, a)
            .and_then(|()| self.ram.write(high, b.get(..m)?));
        written.ok_or(Access::Store.access_fault(va))
    }

    /// Gets the page of an atomic access into the TLB for writing, then does it there.
    /// Atomics are for RAM alone: elsewhere they fault (their PMA, Priv. 3.6).
    fn atomic<T>(
        &mut self,
        va: u64,
        bytes: u64,
        access: impl Fn(&Self) -> Option<T>,
    ) -> Result<T, Trap> {
        if va & (bytes - 1) != 0 {
            return Err(Trap::new(Cause::StoreMisaligned, va));
        }
        // Another hart may decode code from the page in between: it is then not
        // writable once more.
        for _ in 0..64 {
            if let Some(done) = access(self) {
                return Ok(done);
            }
            let gpa = self.translate(va, bytes, Access::Store)?.gpa;
            let page = self
                .ram
                .page_index(gpa)
                .ok_or(Access::Store.access_fault(va))?;
            if self.ram.code().is_tracked(page) {
                self.ram.code().bump(page);
                self.translate(va, bytes, Access::Store)?;
            }
        }
        Err(Access::Store.access_fault(va))
    }

    pub(crate) fn amo(&mut self, op: AmoOp, va: u64, size: Size, value: u64) -> Result<u64, Trap> {
        let old = self.atomic(va, size.bytes(), |h| h.tlb.amo(op, va, size, value))?;
        Ok(size.sign_extend(old))
    }

    pub(crate) fn compare_exchange(
        &mut self,
        va: u64,
        size: Size,
        old: u64,
        new: u64,
    ) -> Result<u64, Trap> {
        let swap = |h: &Self| h.tlb.compare_exchange(va, size, old, new);
        Ok(size.sign_extend(self.atomic(va, size.bytes(), swap)?))
    }

    pub(crate) fn compare_exchange_128(
        &mut self,
        va: u64,
        old: u128,
        new: u128,
    ) -> Result<u128, Trap> {
        self.atomic(va, 16, |h| h.tlb.compare_exchange_128(va, old, new))
    }

    /// LR: the reservation is the value loaded (ABA is a documented deviation).
    pub(crate) fn load_reserved(&mut self, va: u64, size: Size) -> Result<u64, Trap> {
        if !is_aligned(va, size) {
            return Err(Trap::new(Cause::LoadMisaligned, va));
        }
        let value = match self.tlb.load(va, size) {
            Some(value) => value,
            None => {
                let gpa = self.translate(va, size.bytes(), Access::Load)?.gpa;
                self.ram
                    .load(gpa, size)
                    .ok_or(Access::Load.access_fault(va))?
            }
        };
        let bytes = size.bytes() as u8;
        self.state.reservation = Reservation {
            valid: true,
            size: bytes,
            addr: va,
            value,
        };
        Ok(size.sign_extend(value))
    }

    /// SC: 0 where it stored. Whatever happens, the reservation is gone.
    pub(crate) fn store_conditional(
        &mut self,
        va: u64,
        size: Size,
        value: u64,
    ) -> Result<u64, Trap> {
        if !is_aligned(va, size) {
            return Err(Trap::new(Cause::StoreMisaligned, va));
        }
        let r = std::mem::take(&mut self.state.reservation);
        if !r.valid || r.addr != va || u64::from(r.size) != size.bytes() {
            // A store that may not happen may still fault (Unpriv. 13.2).
            self.translate(va, size.bytes(), Access::Store)?;
            return Ok(1);
        }
        let swap = |h: &Self| h.tlb.compare_exchange(va, size, r.value, value);
        let found = self.atomic(va, size.bytes(), swap)?;
        Ok((found != r.value).into())
    }
}
