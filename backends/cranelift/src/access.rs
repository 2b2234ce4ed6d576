//! Accesses to memory through the soft TLB.
//!
//! To follow a pointer takes as long as the table takes to be read, since the host's
//! address comes from there. So in a loop each load through a pointer that was itself
//! loaded has a *site*: the page that it last hit, and what leads from it to the host's
//! memory, which is there at once and mostly right. What a site has holds while the unit
//! runs: whatever drops translations or rights makes the unit be left first. Where it has
//! another page, and for all other accesses, the table is asked; where that has not, Rust
//! is. Some accesses rely on the look of another ([`crate::spans`]).

use crate::abi;
use crate::code::PAGE;
use crate::emit::{Emitter, Out};
use crate::region::Placed;
use crate::scan::{Facts, Reach};
use crate::spans::Span;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Block, InstBuilder, Value};
use cranelift_frontend::Variable;
use isoform_core::translate::{SITES, Site};
use isoform_core::{Helper, MemOp, MemTy, Scratch, Size, Translate};
use std::collections::BTreeMap;
use std::mem::offset_of;

/// Bits of an address above the offset in its page.
const PAGE_BITS: i64 = !0xfff;

/// The sites of a region: the accesses that have one, by offset, and which.
#[derive(Default)]
pub(crate) struct Sites(BTreeMap<u64, usize>);

/// The registers that hold what was loaded, or was copied from such.
fn loaded<'a, I: Iterator<Item = &'a Placed>>(placed: impl Fn() -> I) -> u32 {
    let mut loaded = 0;
    loop {
        let holds =
            |facts: &Facts| facts.loads || facts.copies.is_some_and(|from| loaded >> from & 1 != 0);
        let more = placed().filter(|p| holds(&p.facts));
        let more = more.fold(loaded, |all, p| all | p.facts.writes);
        if std::mem::replace(&mut loaded, more) == more {
            return loaded;
        }
    }
}

/// The place in the scratch of a field of a site.
fn site_field(site: usize, field: usize) -> usize {
    offset_of!(Scratch, sites) + site * size_of::<Site>() + field
}

/// Where an access goes.
pub(crate) struct Hit {
    /// The host's address, and what to add to it.
    pub(crate) host: Value,
    pub(crate) offset: i32,
    /// The block for misses, where there can be any.
    pub(crate) slow: Option<Block>,
}

impl<G: Translate> Emitter<'_, '_, G> {
    /// Makes the sites of a region with loops, all without a page.
    pub(crate) fn make_sites(&mut self) {
        if self.straight {
            return;
        }
        let placed = || self.region.blocks.values().flatten();
        let loaded = loaded(placed);
        let looks = self.region.blocks.values().flat_map(|block| {
            let spans = self.spans_of(block);
            let alone = move |(n, _): &(u64, &Placed)| !spans.follows(*n);
            (0..).zip(block).filter(alone).map(|(_, placed)| placed)
        });
        let through_pointers = looks.filter(|p| {
            let reach = p.facts.reach.filter(|reach| !reach.stores);
            reach.is_some_and(|reach| loaded >> reach.base & 1 != 0)
        });
        let sites: BTreeMap<_, _> = through_pointers.map(|p| p.at).zip(0..SITES).collect();
        for site in sites.values() {
            let none = self.b.ins().iconst(I64, 0);
            self.put(site_field(*site, offset_of!(Site, room)), none);
        }
        self.sites = Sites(sites);
    }

    /// The entry of the soft TLB for an address, and the tag that it holds.
    fn look_up(&mut self, addr: Value, tag: usize) -> (Value, Value) {
        let tlb = G::LAYOUT.tlb;
        // Nothing that changes the address space leaves the unit running.
        let flags = self.kinds.own.with_readonly().with_can_move();
        let table = self.b.ins().load(I64, flags, self.guest, tlb.table as i32);
        let shift = 12 - i64::from(tlb.log_entry);
        let mask = ((1i64 << tlb.log_entries) - 1) << tlb.log_entry;
        let index = self.b.ins().ushr_imm_u(addr, shift);
        let index = self.b.ins().band_imm_s(index, mask);
        let entry = self.b.ins().iadd(table, index);
        let found = self.b.ins().load(I64, self.kinds.table, entry, tag as i32);
        (entry, found)
    }

    /// The entry for accesses to so many bytes, and whether it hits: it does where they
    /// lie in one page.
    fn look_up_within(&mut self, addr: Value, bytes: i64, tag: usize) -> (Value, Value) {
        let (entry, found) = self.look_up(addr, tag);
        let distance = self.b.ins().bxor(addr, found);
        let cc = IntCC::UnsignedLessThanOrEqual;
        let hit = self.b.ins().icmp_imm_u(cc, distance, PAGE as i64 - bytes);
        (entry, hit)
    }

    fn addend(&mut self, entry: Value) -> Value {
        let addend = G::LAYOUT.tlb.addend as i32;
        self.b.ins().load(I64, self.kinds.table, entry, addend)
    }

    /// An address with what an aligned access to the same page has in common.
    fn probe(&mut self, addr: Value, size: Size) -> Value {
        let probe = PAGE_BITS | (size.bytes() as i64 - 1);
        self.b.ins().band_imm_s(addr, probe)
    }

    /// Goes on where `hit` is not 0, else in the cold block that is given.
    fn or_cold(&mut self, hit: Value) -> Block {
        let (fast, slow) = (self.b.create_block(), self.cold_block());
        self.b.ins().brif(hit, fast, &[], slow, &[]);
        self.b.seal_block(fast);
        self.b.seal_block(slow);
        self.b.switch_to_block(fast);
        slow
    }

    /// Where an access goes. Control is then in the block for hits.
    pub(crate) fn hit(&mut self, addr: Value, size: Size, tag: usize) -> Hit {
        if let Some(n) = self.spans.at(self.done)
            && let Some(reach) = self.facts.reach
        {
            return self.hit_span(n, reach, tag);
        }
        let (host, slow) = self.hit_any(addr, size.bytes() as i64, tag);
        Hit {
            host,
            offset: 0,
            slow: Some(slow),
        }
    }

    /// The host's address of so many bytes where they hit; control is then in the fast
    /// block, and the block for misses is given.
    fn hit_any(&mut self, addr: Value, bytes: i64, tag: usize) -> (Value, Block) {
        self.settle();
        if let Some(site) = self.sites.0.get(&self.at).copied() {
            return self.hit_site(addr, bytes, tag, site);
        }
        let (entry, hit) = self.look_up_within(addr, bytes, tag);
        let slow = self.or_cold(hit);
        let addend = self.addend(entry);
        (self.b.ins().iadd(addr, addend), slow)
    }

    /// As [`Emitter::hit_any`], where there is a site.
    fn hit_site(&mut self, addr: Value, bytes: i64, tag: usize, site: usize) -> (Value, Block) {
        let (same, other) = (self.b.create_block(), self.cold_block());
        let page = self.get(site_field(site, offset_of!(Site, page)));
        let offset = self.b.ins().bxor(addr, page);
        let room = self.get(site_field(site, offset_of!(Site, room)));
        let hit = self.b.ins().icmp(IntCC::UnsignedLessThan, offset, room);
        self.b.ins().brif(hit, same, &[], other, &[]);
        self.b.seal_block(same);
        self.b.seal_block(other);
        self.b.switch_to_block(same);
        let host = self.get(site_field(site, offset_of!(Site, host)));
        let host = self.b.ins().iadd(host, offset);
        let fast = self.done_with(host);
        self.b.switch_to_block(other);
        let (entry, hit) = self.look_up_within(addr, bytes, tag);
        let (refill, slow) = (self.cold_block(), self.cold_block());
        self.b.ins().brif(hit, refill, &[], slow, &[]);
        self.b.seal_block(refill);
        self.b.seal_block(slow);
        self.b.switch_to_block(refill);
        let addend = self.addend(entry);
        let page = self.b.ins().band_imm_s(addr, PAGE_BITS);
        let host = self.b.ins().iadd(page, addend);
        let room = self.b.ins().iconst(I64, PAGE as i64 - bytes + 1);
        for (value, field) in [
            (page, offset_of!(Site, page)),
            (host, offset_of!(Site, host)),
            (room, offset_of!(Site, room)),
        ] {
            self.put(site_field(site, field), value);
        }
        let host = self.b.ins().iadd(addr, addend);
        self.b.ins().jump(fast, &[host.into()]);
        self.b.seal_block(fast);
        self.b.switch_to_block(fast);
        (self.b.block_params(fast)[0], slow)
    }

    /// As [`Emitter::hit`], for an access of a span.
    fn hit_span(&mut self, n: usize, reach: Reach, tag: usize) -> Hit {
        let span = self.spans.all[n];
        let offset = span.within(reach);
        if let Some(host) = span.host {
            let (host, slow) = (self.b.use_var(host), None);
            return Hit { host, offset, slow };
        }
        let low = self.span_start(&span);
        let (host, slow) = self.hit_any(low, span.bytes(), tag);
        let variable = self.b.declare_var(I64);
        self.b.def_var(variable, host);
        self.spans.all[n].host = Some(variable);
        let slow = Some(slow);
        Hit { host, offset, slow }
    }

    fn span_start(&mut self, span: &Span) -> Value {
        let (base, low) = span.start();
        let base = self.read(base);
        self.b.ins().iadd_imm_s(base, low)
    }

    /// Behind a slow access that opens a span: looks for the whole of it once more. Where
    /// it is not to be had the interpreter executes what is left of it; a load anew,
    /// since where it leads to is RAM and nobody can tell.
    fn open_slowly(&mut self, span: Span, host: Variable) {
        let low = self.span_start(&span);
        let tag = match span.stores() {
            true => G::LAYOUT.tlb.write,
            false => G::LAYOUT.tlb.read,
        };
        let (entry, hit) = self.look_up_within(low, span.bytes(), tag);
        let (go_on, leave) = (self.cold_block(), self.cold_block());
        self.b.ins().brif(hit, go_on, &[], leave, &[]);
        self.b.seal_block(go_on);
        self.b.seal_block(leave);
        self.b.switch_to_block(leave);
        let (to, done) = match span.stores() {
            true => (self.next, self.done + 1),
            false => (self.at, self.done),
        };
        self.hand_back(self.done + span.behind() + 1 - done);
        let crossed = self.b.ins().iconst(I64, 1);
        self.put(offset_of!(Scratch, crossed), crossed);
        let left = self.b.use_var(self.left);
        let left = self.b.ins().iadd_imm_s(left, -(done as i64));
        self.leave_at(to, left);
        self.b.switch_to_block(go_on);
        let addend = self.addend(entry);
        let found = self.b.ins().iadd(low, addend);
        self.b.def_var(host, found);
    }

    /// As [`Emitter::hit`], for accesses that must be aligned.
    pub(crate) fn hit_aligned(&mut self, addr: Value, size: Size, tag: usize) -> (Value, Block) {
        self.settle();
        let (entry, found) = self.look_up(addr, tag);
        let wanted = self.probe(addr, size);
        let hit = self.b.ins().icmp(IntCC::Equal, found, wanted);
        let slow = self.or_cold(hit);
        let addend = self.addend(entry);
        (self.b.ins().iadd(addr, addend), slow)
    }

    /// Does a slow access in its block, and goes on behind both; gives the value, which
    /// is `fast` where the fast block did it.
    pub(crate) fn or_slowly(
        &mut self,
        fast: Value,
        slow: Block,
        op: MemOp,
        operands: [Value; 3],
    ) -> Value {
        let done = self.done_with(fast);
        self.slowly(done, slow, op, operands)
    }

    /// Leaves the fast block with its value, for the block that is given.
    pub(crate) fn done_with(&mut self, fast: Value) -> Block {
        let done = self.b.create_block();
        self.b.append_block_param(done, I64);
        self.b.ins().jump(done, &[fast.into()]);
        done
    }

    /// The other part of [`Emitter::or_slowly`].
    pub(crate) fn slowly(
        &mut self,
        done: Block,
        slow: Block,
        op: MemOp,
        operands: [Value; 3],
    ) -> Value {
        self.b.switch_to_block(slow);
        let [addr, a, b] = operands;
        let value = self.access(op, addr, a, b);
        self.b.ins().jump(done, &[value.into()]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        self.b.block_params(done)[0]
    }

    pub(crate) fn load_inline(&mut self, addr: Value, ty: MemTy) -> Value {
        let Hit { host, offset, slow } = self.hit(addr, ty.size, G::LAYOUT.tlb.read);
        let (ins, ram) = (self.b.ins(), self.kinds.ram);
        let value = match (ty.size, ty.signed) {
            (Size::B1, true) => ins.sload8(I64, ram, host, offset),
            (Size::B1, false) => ins.uload8(I64, ram, host, offset),
            (Size::B2, true) => ins.sload16(I64, ram, host, offset),
            (Size::B2, false) => ins.uload16(I64, ram, host, offset),
            (Size::B4, true) => ins.sload32(ram, host, offset),
            (Size::B4, false) => ins.uload32(ram, host, offset),
            (Size::B8, _) => ins.load(I64, ram, host, offset),
        };
        match slow {
            Some(slow) => self.or_slowly(value, slow, MemOp::Load(ty), [addr; 3]),
            None => value,
        }
    }

    pub(crate) fn store_inline(&mut self, addr: Value, size: Size, v: Value) {
        let Hit { host, offset, slow } = self.hit(addr, size, G::LAYOUT.tlb.write);
        let (ins, ram) = (self.b.ins(), self.kinds.ram);
        match size {
            Size::B1 => ins.istore8(ram, v, host, offset),
            Size::B2 => ins.istore16(ram, v, host, offset),
            Size::B4 => ins.istore32(ram, v, host, offset),
            Size::B8 => ins.store(ram, v, host, offset),
        };
        if let Some(slow) = slow {
            self.or_slowly(v, slow, MemOp::Store(size), [addr, v, v]);
        }
    }

    /// Zeroes the block of an address; by its helper where it does not hit.
    pub(crate) fn zero_inline(&mut self, h: &'static Helper<G>, addr: Value, bytes: u64) {
        let start = self.b.ins().band_imm_s(addr, -(bytes as i64));
        let (host, slow) = self.hit_any(start, bytes as i64, G::LAYOUT.tlb.write);
        let zero = self.b.ins().iconst(I64, 0);
        for at in (0..bytes as i32).step_by(8) {
            self.b.ins().store(self.kinds.ram, zero, host, at);
        }
        let done = self.done_with(zero);
        self.b.switch_to_block(slow);
        // It looks at the first argument alone. (With constants for the others Cranelift's
        // elimination of dead stores panics, in loops.)
        let value = self.call_within(h, [addr; 4]);
        self.b.ins().jump(done, &[value.into()]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
    }

    /// An access by call. Where that cannot do it the unit is left, with all that the
    /// interpreter needs to.
    pub(crate) fn access(&mut self, op: MemOp, addr: Value, a: Value, b: Value) -> Value {
        self.write_back(self.dirty);
        match op {
            MemOp::Load(_) | MemOp::LoadReserved(..) => self.pass(&[addr]),
            MemOp::Cas(..) => self.pass(&[addr, a, b]),
            MemOp::Store(_) | MemOp::Amo(..) | MemOp::StoreConditional(..) => {
                self.pass(&[addr, a]);
            }
        }
        self.pass_purpose(abi::encode(op));
        self.b.ins().call(self.abi.memory, &[self.guest]);
        self.or_leave(Out::Bail);
        if let Some(n) = self.spans.at(self.done)
            && let Some(host) = self.spans.all[n].host
        {
            self.open_slowly(self.spans.all[n], host);
        }
        self.value()
    }
}
