//! Address translation (Priv. 12.3 to 12.6, "Svnapot", "Svpbmt", "Svade", "Svadu"),
//! and which translations the soft TLB may use.

use crate::csr::{envcfg, mstatus, satp};
use crate::ext::Ext;
use crate::hart::Hart;
use crate::pmp;
use crate::state::Priv;
use crate::trap::{Cause, Trap};
use isoform_core::Size;
use isoform_memory::{Mapping, PAGE, SpaceId};

/// Fields of a page-table entry (Priv. 12.4.1).
pub(crate) mod pte {
    pub(crate) const V: u64 = 1 << 0;
    pub(crate) const R: u64 = 1 << 1;
    pub(crate) const W: u64 = 1 << 2;
    pub(crate) const X: u64 = 1 << 3;
    pub(crate) const U: u64 = 1 << 4;
    pub(crate) const A: u64 = 1 << 6;
    pub(crate) const D: u64 = 1 << 7;
    pub(crate) const PPN_SHIFT: u32 = 10;
    pub(crate) const PPN: u64 = (1 << 44) - 1;
    /// Must be zero.
    pub(crate) const RESERVED: u64 = 0x7f << 54;
    pub(crate) const PBMT: u64 = 3 << 61;
    pub(crate) const N: u64 = 1 << 63;
}

/// Bits of an index into a page table.
const LEVEL_BITS: u32 = 9;
/// log2 of a page.
const PAGE_BITS: u32 = PAGE.trailing_zeros();
/// log2 of the range that a NAPOT entry stands for.
const NAPOT_BITS: u32 = 16;

/// What memory is accessed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// An instruction.
    Fetch,
    /// A load, load-reserved included.
    Load,
    /// A store, an atomic or a cache-block zero.
    Store,
}

impl Access {
    /// The page fault of this access.
    pub(crate) const fn page_fault(self, va: u64) -> Trap {
        let cause = match self {
            Access::Fetch => Cause::InstructionPage,
            Access::Load => Cause::LoadPage,
            Access::Store => Cause::StorePage,
        };
        Trap::new(cause, va)
    }

    /// The access fault of this access.
    pub(crate) const fn access_fault(self, va: u64) -> Trap {
        let cause = match self {
            Access::Fetch => Cause::InstructionAccess,
            Access::Load => Cause::LoadAccess,
            Access::Store => Cause::StoreAccess,
        };
        Trap::new(cause, va)
    }
}

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translation {
    /// The guest-physical address. Nothing need be there.
    pub(crate) gpa: u64,
    /// log2 of the size of the mapping: 12 or more.
    pub(crate) log_size: u8,
    /// The mode may load from all of the page.
    pub(crate) read: bool,
    /// The mode may store to all of the page; the entry is dirty.
    pub(crate) write: bool,
}

/// A leaf entry, found without looking at permissions.
struct Leaf {
    /// Where the entry lies.
    at: u64,
    pte: u64,
    /// log2 of what it maps.
    log_size: u32,
}

impl Leaf {
    fn gpa(&self, va: u64) -> u64 {
        let inside = (1u64 << self.log_size) - 1;
        let base = (self.pte >> pte::PPN_SHIFT & pte::PPN) << PAGE_BITS;
        base & !inside | va & inside
    }
}

/// Why a walk ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Page,
    Access,
}

impl Hart {
    /// The mode as which loads and stores are made (Priv. 3.1.6.3).
    pub(crate) fn data_privilege(&self) -> Priv {
        let status = self.state.mstatus;
        if status & mstatus::MPRV == 0 {
            return self.state.privilege;
        }
        Priv::from_bits(status >> mstatus::MPP_SHIFT).unwrap_or(self.state.privilege)
    }

    /// Translates an access of `len` bytes that lies within one page, and lets the
    /// soft TLB keep what it found. A fault names `va`.
    pub(crate) fn translate(
        &mut self,
        va: u64,
        len: u64,
        access: Access,
    ) -> Result<Translation, Trap> {
        debug_assert!(
            len > 0 && va % PAGE + len <= PAGE,
            "accesses are split at pages"
        );
        if access != Access::Fetch
            && let Some(gpa) = self.tlb.recall(va, access == Access::Store)
        {
            return Ok(Translation {
                gpa,
                log_size: PAGE_BITS as u8,
                read: access == Access::Load,
                write: access == Access::Store,
            });
        }
        self.tlb_misses[access as usize] += 1;
        let privilege = match access {
            Access::Fetch => self.state.privilege,
            Access::Load | Access::Store => self.data_privilege(),
        };
        let paged = privilege != Priv::M && satp::mode(self.state.satp) != satp::BARE;
        let mut found = if paged {
            self.walk(va, access, privilege)?
        } else {
            Translation {
                gpa: va,
                log_size: PAGE_BITS as u8,
                read: true,
                write: true,
            }
        };
        // The grain of PMP is a page: what holds for the access holds for all of it.
        let granted = self
            .pmp
            .permissions(found.gpa & !(PAGE - 1), PAGE, privilege);
        if granted & pmp::needed(access) == 0 {
            return Err(access.access_fault(va));
        }
        found.read &= granted & pmp::R != 0;
        found.write &= granted & pmp::W != 0;
        self.keep(va, access, &found);
        Ok(found)
    }

    fn keep(&mut self, va: u64, access: Access, found: &Translation) {
        let Translation {
            gpa,
            log_size,
            read,
            write,
        } = *found;
        if access != Access::Fetch {
            self.tlb.insert(Mapping {
                va,
                gpa,
                log_size,
                read,
                write,
            });
        } else if self.ram.page_index(gpa).is_some() || self.bus.rom(gpa).is_some() {
            self.tlb.insert_fetch(va, gpa, log_size);
        }
    }

    /// The translation process (Priv. 12.3.2).
    fn walk(&self, va: u64, access: Access, privilege: Priv) -> Result<Translation, Trap> {
        let fault = |fault| match fault {
            Fault::Page => access.page_fault(va),
            Fault::Access => access.access_fault(va),
        };
        loop {
            let leaf = self.find_leaf(va).map_err(fault)?;
            let (read, write) = self
                .leaf_rights(leaf.pte, access, privilege)
                .map_err(fault)?;
            let marks = pte::A | if access == Access::Store { pte::D } else { 0 };
            let marked = leaf.pte | marks;
            if marked == leaf.pte || self.update(&leaf, marked).map_err(fault)? {
                return Ok(Translation {
                    gpa: leaf.gpa(va),
                    log_size: leaf.log_size as u8,
                    read,
                    write: write && marked & pte::D != 0,
                });
            }
            // Somebody else changed the entry: what it says now counts.
        }
    }

    /// Steps 1 to 5: from the root to a leaf entry that is valid and aligned.
    #[inline]
    fn find_leaf(&self, va: u64) -> Result<Leaf, Fault> {
        let root = self.state.satp;
        let mut level = match satp::mode(root) {
            satp::SV39 => 2,
            satp::SV48 => 3,
            _ => 4,
        };
        let unused = 64 - (PAGE_BITS + LEVEL_BITS * (level + 1));
        if ((va << unused) as i64 >> unused) as u64 != va {
            return Err(Fault::Page);
        }
        let svpbmt = self.state.menvcfg & envcfg::PBMTE != 0;
        let mut table = (root & satp::PPN) << PAGE_BITS;
        loop {
            if !self.pmp.check(table, PAGE, Access::Load, Priv::S) {
                return Err(Fault::Access);
            }
            let shift = PAGE_BITS + LEVEL_BITS * level;
            let at = table + (va >> shift & ((1 << LEVEL_BITS) - 1)) * 8;
            let pte = self.ram.load(at, Size::B8).ok_or(Fault::Access)?;
            if pte & pte::V == 0 || pte & (pte::R | pte::W) == pte::W || pte & pte::RESERVED != 0 {
                return Err(Fault::Page);
            }
            if pte & (pte::R | pte::X) != 0 {
                let log_size = self.leaf_size(pte, level, svpbmt)?;
                return Ok(Leaf { at, pte, log_size });
            }
            // In a pointer all of these are reserved.
            let reserved = pte::D | pte::A | pte::U | pte::PBMT | pte::N;
            if level == 0 || pte & reserved != 0 {
                return Err(Fault::Page);
            }
            table = (pte >> pte::PPN_SHIFT & pte::PPN) << PAGE_BITS;
            level -= 1;
        }
    }

    /// log2 of what a leaf maps, having checked what is reserved or misaligned in it.
    #[inline]
    fn leaf_size(&self, pte: u64, level: u32, svpbmt: bool) -> Result<u32, Fault> {
        let ppn = pte >> pte::PPN_SHIFT & pte::PPN;
        let pbmt = pte & pte::PBMT;
        if pbmt != 0 && (!svpbmt || pbmt == pte::PBMT) {
            return Err(Fault::Page);
        }
        if pte & pte::N != 0 {
            // 64 KiB is the only size, told by the pattern of the low bits.
            let valid = self.cpu.ext.has(Ext::Svnapot) && level == 0 && ppn & 15 == 8;
            return if valid {
                Ok(NAPOT_BITS)
            } else {
                Err(Fault::Page)
            };
        }
        if ppn & ((1 << (LEVEL_BITS * level)) - 1) != 0 {
            return Err(Fault::Page);
        }
        Ok(PAGE_BITS + LEVEL_BITS * level)
    }

    /// Steps 6 to 8: whether a leaf allows the access, and whether it allows loads
    /// and stores.
    #[inline]
    fn leaf_rights(
        &self,
        pte: u64,
        access: Access,
        privilege: Priv,
    ) -> Result<(bool, bool), Fault> {
        let status = self.state.mstatus;
        let of_user = pte & pte::U != 0;
        let allowed = match (privilege, access) {
            (Priv::U, _) => of_user,
            (_, Access::Fetch) => !of_user,
            _ => !of_user || status & mstatus::SUM != 0,
        };
        let readable = if status & mstatus::MXR != 0 {
            pte::R | pte::X
        } else {
            pte::R
        };
        let (read, write) = (pte & readable != 0, pte & pte::W != 0);
        let wanted = match access {
            Access::Fetch => pte & pte::X != 0,
            Access::Load => read,
            Access::Store => write,
        };
        if allowed && wanted {
            Ok((read, write))
        } else {
            Err(Fault::Page)
        }
    }

    /// Step 9: sets A and D in memory, or faults where software does that. False where
    /// the entry changed meanwhile.
    #[cold]
    fn update(&self, leaf: &Leaf, marked: u64) -> Result<bool, Fault> {
        if !self.updates_marks() {
            return Err(Fault::Page);
        }
        if !self.pmp.check(leaf.at, 8, Access::Store, Priv::S) {
            return Err(Fault::Access);
        }
        let found = self
            .ram
            .compare_exchange(leaf.at, Size::B8, leaf.pte, marked);
        Ok(found.ok_or(Fault::Access)? == leaf.pte)
    }

    /// Whether the hart sets A and D itself: where `menvcfg.ADUE` says so, or where it
    /// has no Svade that would tell software to (Priv. 12.3.1).
    fn updates_marks(&self) -> bool {
        if self.cpu.ext.has(Ext::Svadu) {
            self.state.menvcfg & envcfg::ADUE != 0
        } else {
            !self.cpu.ext.has(Ext::Svade)
        }
    }

    /// Where an address leads in the current mode, whatever may be done there. Changes
    /// nothing: for the debugger.
    pub fn debug_translate(&self, va: u64) -> Option<u64> {
        if self.state.privilege == Priv::M || satp::mode(self.state.satp) == satp::BARE {
            return Some(va);
        }
        self.find_leaf(va).ok().map(|leaf| leaf.gpa(va))
    }

    /// `sfence.vma` and `sinval.vma` for an address, or all, and an address space, or
    /// all (Priv. 12.2.1).
    pub(crate) fn sfence_vma(&mut self, va: Option<u64>, asid: Option<u64>) {
        let Some(asid) = asid else {
            match va {
                Some(va) => self.tlb.flush_page(va, |space| space.root != 0),
                None => self.tlb.flush_all(),
            }
            return;
        };
        // Global mappings could stay, but nothing marks them.
        let named = |space: SpaceId| space.root != 0 && satp::asid(space.root) == asid & 0xffff;
        match va {
            Some(va) => self.tlb.flush_page(va, named),
            None => self.tlb.flush_spaces(named),
        }
    }

    /// Uses the translations of the current address space and access rights. SUM and
    /// MXR are part of these: their changes take effect at once (Priv. 12.2.1).
    pub(crate) fn select_space(&mut self) {
        let (fetch, data) = (self.state.privilege, self.data_privilege());
        let id = if data == Priv::M && fetch == Priv::M {
            SpaceId { root: 0, class: 0 }
        } else {
            let status = self.state.mstatus;
            let paged = data != Priv::M && satp::mode(self.state.satp) != satp::BARE;
            let sum = paged && data == Priv::S && status & mstatus::SUM != 0;
            let mxr = paged && status & mstatus::MXR != 0;
            let class =
                1 + (fetch as u8 | (data as u8) << 2 | u8::from(sum) << 4 | u8::from(mxr) << 5);
            SpaceId {
                root: self.state.satp,
                class,
            }
        };
        self.tlb.switch(id);
    }
}

#[cfg(test)]
mod tests;
