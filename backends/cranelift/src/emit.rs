//! Emits the CLIF of a region: registers as variables, accesses through the soft TLB,
//! calls, and all ways out.
//!
//! Registers that may differ from the state (*dirty* ones) are written back wherever
//! the region is left, in cold blocks of their own for what seldom happens. An
//! instruction that cannot go on leaves with the state of before it.

use crate::abi::{self, Abi, scratch};
use crate::call::Helpers;
use crate::region::{Placed, Region};
use crate::scan::Flow;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AliasRegionData, Block, Function, InstBuilder, MemFlagsData as MemFlags, Value,
};
use cranelift_frontend::{FunctionBuilder, Variable};
use isoform_core::{Helper, MemOp, MemTy, Scratch, Size, Translate};
use std::collections::BTreeMap;
use std::mem::offset_of;

/// Registers that a region keeps in variables.
const REGS: usize = 32;

/// A region in the making.
pub(crate) struct Emitter<'a, 'b, G: Translate> {
    pub(crate) b: &'a mut FunctionBuilder<'b>,
    pub(crate) mode: G::Mode,
    abi: Abi,
    kinds: Kinds,
    helpers: &'a Helpers<G>,
    region: &'a Region,
    /// The code of each of the region's blocks.
    blocks: BTreeMap<u64, Block>,
    /// The vCPU.
    guest: Value,
    /// Virtual address of the page.
    page: Value,
    regs: [Option<Variable>; REGS],
    /// Instructions left, those of the current block taken off.
    left: Variable,
    /// Instructions of the block from the current one on.
    rest: i64,
    /// Registers are written to the state at once. That costs code without loops nothing,
    /// and makes all ways out of it short.
    through: bool,
    /// Registers that may differ from the state, a bit each.
    dirty: u32,
    /// The state knows that this block writes floating-point registers.
    fregs_marked: bool,
    /// Offsets of the current instruction and of the next.
    pub(crate) at: u64,
    pub(crate) next: u64,
    /// What the current instruction did to the flow of control, and the condition or
    /// the target.
    pub(crate) flow: Flow,
    pub(crate) operand: Option<Value>,
}

/// What is known of accesses: those of different kinds never meet.
#[derive(Clone, Copy)]
struct Kinds {
    /// To the vCPU itself.
    own: MemFlags,
    /// To the soft TLB.
    table: MemFlags,
    /// To guest RAM.
    ram: MemFlags,
}

impl Kinds {
    fn new(function: &mut Function) -> Self {
        let mut kind = |user_id, description: &'static str| {
            let region = function.dfg.alias_regions.insert(AliasRegionData {
                user_id,
                description: description.into(),
            });
            MemFlags::trusted().with_alias_region(Some(region))
        };
        Self {
            own: kind(0, "vcpu"),
            table: kind(1, "tlb"),
            ram: kind(2, "ram"),
        }
    }
}

/// Registers that may be dirty at the start of each block: the union over all ways to
/// get there.
fn dirty_at_start(region: &Region) -> BTreeMap<u64, u32> {
    let mut dirty: BTreeMap<u64, u32> = region.blocks.keys().map(|at| (*at, 0)).collect();
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for (at, block) in &region.blocks {
            let written = block.iter().fold(0, |all, p| all | p.facts.writes);
            let out = dirty[at] | written;
            for target in block.last().into_iter().flat_map(Placed::successors) {
                if let Some(known) = dirty.get_mut(&target) {
                    changed |= *known | out != *known;
                    *known |= out;
                }
            }
        }
    }
    dirty
}

/// Fills `function`, which has the signature of a unit, with the code of a region.
pub(crate) fn region<G: Translate>(
    b: &mut FunctionBuilder<'_>,
    helpers: &Helpers<G>,
    region: &Region,
    mode: G::Mode,
) {
    let abi = Abi::import(b.func);
    let kinds = Kinds::new(b.func);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let [guest, pc, granted] = abi::unit_params(b, entry);
    let page = b.ins().iadd_imm_s(pc, -(region.entry as i64));
    let left = b.declare_var(I64);
    b.def_var(left, granted);
    let blocks = region.blocks.keys().map(|at| (*at, b.create_block()));
    let blocks = blocks.collect();
    let mut emitter = Emitter::<G> {
        b,
        mode,
        abi,
        kinds,
        helpers,
        region,
        blocks,
        guest,
        page,
        regs: [None; REGS],
        left,
        rest: 0,
        through: !region.loops(),
        dirty: 0,
        fregs_marked: false,
        at: region.entry,
        next: region.entry,
        flow: Flow::Next,
        operand: None,
    };
    emitter.load_registers();
    let first = emitter.blocks[&region.entry];
    emitter.b.ins().jump(first, &[]);
    let dirty = match emitter.through {
        true => BTreeMap::new(),
        false => dirty_at_start(region),
    };
    for (at, block) in &region.blocks {
        emitter.block(*at, block, dirty.get(at).copied().unwrap_or(0));
    }
    emitter.b.seal_all_blocks();
}

impl<G: Translate> Emitter<'_, '_, G> {
    // --- registers

    fn load_registers(&mut self) {
        let all = self.region.blocks.values().flatten();
        let used = all.fold(0, |used, p| used | p.facts.reads | p.facts.writes) & !1;
        for r in (0..REGS).filter(|r| used >> r & 1 != 0) {
            let variable = self.b.declare_var(I64);
            let offset = self.reg_offset(r);
            let value = self.b.ins().load(I64, self.kinds.own, self.guest, offset);
            self.b.def_var(variable, value);
            self.regs[r] = Some(variable);
        }
    }

    fn reg_offset(&self, r: usize) -> i32 {
        (G::LAYOUT.regs + 8 * r) as i32
    }

    fn freg_offset(&self, r: u8) -> i32 {
        (G::LAYOUT.fregs + 8 * usize::from(r & 31)) as i32
    }

    pub(crate) fn read(&mut self, r: u8) -> Value {
        match self.regs[usize::from(r & 31)] {
            Some(variable) => self.b.use_var(variable),
            // Register 0: all others that are named were found by the scan.
            None => self.b.ins().iconst(I64, 0),
        }
    }

    pub(crate) fn write(&mut self, r: u8, v: Value) {
        if let Some(variable) = self.regs[usize::from(r & 31)] {
            self.b.def_var(variable, v);
            if self.through {
                let offset = self.reg_offset(usize::from(r & 31));
                self.b.ins().store(self.kinds.own, v, self.guest, offset);
            } else {
                self.dirty |= 1 << (r & 31);
            }
        }
    }

    /// Floating-point registers stay in the state: what computes on them is a call.
    pub(crate) fn read_float(&mut self, r: u8) -> Value {
        let offset = self.freg_offset(r);
        self.b.ins().load(I64, self.kinds.own, self.guest, offset)
    }

    pub(crate) fn write_float(&mut self, r: u8, v: Value) {
        let offset = self.freg_offset(r);
        self.b.ins().store(self.kinds.own, v, self.guest, offset);
        if !std::mem::replace(&mut self.fregs_marked, true) {
            let (word, bits) = G::LAYOUT.fregs_written;
            let old = self
                .b
                .ins()
                .load(I64, self.kinds.own, self.guest, word as i32);
            let bits = self.b.ins().iconst(I64, bits as i64);
            let new = self.b.ins().bor(old, bits);
            self.b
                .ins()
                .store(self.kinds.own, new, self.guest, word as i32);
        }
    }

    /// Makes the state's registers complete.
    fn write_back(&mut self, dirty: u32) {
        for r in (1..REGS).filter(|r| dirty >> r & 1 != 0) {
            if let Some(variable) = self.regs[r] {
                let value = self.b.use_var(variable);
                let offset = self.reg_offset(r);
                self.b
                    .ins()
                    .store(self.kinds.own, value, self.guest, offset);
            }
        }
    }

    /// The virtual address of an offset in the page, or beyond it.
    pub(crate) fn address(&mut self, at: u64) -> Value {
        self.b.ins().iadd_imm_s(self.page, at as i64)
    }

    // --- blocks, and the ways between them

    fn block(&mut self, at: u64, block: &[Placed], dirty: u32) {
        let start = self.blocks[&at];
        self.b.switch_to_block(start);
        self.dirty = dirty;
        self.fregs_marked = false;
        self.at = at;
        self.take_off(block.len() as i64);
        for placed in block {
            self.at = placed.at;
            (self.flow, self.operand) = (Flow::Next, None);
            let Ok(()) = G::execute(self, &placed.insn);
            self.rest -= 1;
        }
        self.end();
    }

    /// Takes the instructions of a block off what is left; where that is not enough the
    /// interpreter does the rest.
    fn take_off(&mut self, instructions: i64) {
        let before = self.b.use_var(self.left);
        let after = self.b.ins().iadd_imm_s(before, -instructions);
        let short = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, after, 0);
        let go_on = self.unless(short, |this| {
            this.interpret_from(this.at, before);
        });
        self.b.switch_to_block(go_on);
        self.b.def_var(self.left, after);
        self.rest = instructions;
    }

    /// Does something seldom where `c` is not 0, which leaves the region; gives the
    /// block to go on in otherwise.
    fn unless(&mut self, c: Value, seldom: impl FnOnce(&mut Self)) -> Block {
        let (cold, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(cold);
        self.b.ins().brif(c, cold, &[], go_on, &[]);
        self.b.seal_block(cold);
        self.b.seal_block(go_on);
        self.b.switch_to_block(cold);
        seldom(self);
        go_on
    }

    /// Instructions left before the current one.
    fn left_here(&mut self) -> Value {
        let left = self.b.use_var(self.left);
        self.b.ins().iadd_imm_s(left, self.rest)
    }

    /// Leaves for the interpreter, which goes on at offset `at`.
    fn interpret_from(&mut self, at: u64, left: Value) {
        self.write_back(self.dirty);
        let one = self.b.ins().iconst(I64, 1);
        let status = scratch::<G>(offset_of!(Scratch, status));
        self.b.ins().store(self.kinds.own, one, self.guest, status);
        let pc = self.address(at);
        self.leave(pc, left);
    }

    /// Returns to the run loop, the registers being written back.
    fn leave(&mut self, pc: Value, left: Value) {
        self.b
            .ins()
            .store(self.kinds.own, pc, self.guest, G::LAYOUT.pc as i32);
        self.b.ins().return_(&[left]);
    }

    /// Goes on at any address.
    fn go_to(&mut self, pc: Value) {
        self.write_back(self.dirty);
        let left = self.b.use_var(self.left);
        let args = [self.guest, pc, left];
        self.b.ins().return_call(self.abi.dispatch, &args);
    }

    /// The current block ends as its last instruction says.
    fn end(&mut self) {
        match (self.flow, self.operand) {
            (Flow::Branch(offset), Some(c)) => {
                let (taken, not) = (self.b.create_block(), self.b.create_block());
                self.b.ins().brif(c, taken, &[], not, &[]);
                self.b.seal_block(taken);
                self.b.seal_block(not);
                self.b.switch_to_block(taken);
                self.edge(self.at.wrapping_add(offset as u64));
                self.b.switch_to_block(not);
                self.edge(self.next);
            }
            (Flow::Jump(offset), _) => self.edge(self.at.wrapping_add(offset as u64)),
            (Flow::Indirect, Some(target)) => self.go_to(target),
            (Flow::Leave, target) => {
                let pc = target.unwrap_or_else(|| self.address(self.next));
                self.write_back(self.dirty);
                let left = self.b.use_var(self.left);
                self.leave(pc, left);
            }
            _ => self.edge(self.next),
        }
    }

    /// To an offset: within the region, or out of it.
    fn edge(&mut self, to: u64) {
        let Some(block) = self.blocks.get(&to).copied() else {
            let pc = self.address(to);
            return self.go_to(pc);
        };
        if to <= self.at {
            self.poll(to);
        }
        self.b.ins().jump(block, &[]);
    }

    /// Looks at the attention word. The atomic load also keeps the guest's loads in
    /// their iteration.
    fn poll(&mut self, to: u64) {
        let word = scratch::<G>(offset_of!(Scratch, attention));
        let word = self
            .b
            .ins()
            .load(I64, self.kinds.own.with_readonly(), self.guest, word);
        let asked = self.b.ins().atomic_load(I32, MemFlags::trusted(), word);
        let go_on = self.unless(asked, |this| {
            this.write_back(this.dirty);
            let (pc, left) = (this.address(to), this.b.use_var(this.left));
            this.leave(pc, left);
        });
        self.b.switch_to_block(go_on);
    }

    // --- memory

    /// The host address of an access where it hits; control is then in the fast block,
    /// and the block for misses is given.
    fn look_up(&mut self, addr: Value, size: Size, tag: usize) -> (Value, Block) {
        let tlb = G::LAYOUT.tlb;
        let entries = self
            .b
            .ins()
            .load(I64, self.kinds.own, self.guest, tlb.table as i32);
        let shift = 12 - i64::from(tlb.log_entry);
        let mask = ((1i64 << tlb.log_entries) - 1) << tlb.log_entry;
        let index = self.b.ins().ushr_imm_u(addr, shift);
        let index = self.b.ins().band_imm_s(index, mask);
        let entry = self.b.ins().iadd(entries, index);
        let found = self.b.ins().load(I64, self.kinds.table, entry, tag as i32);
        let probe = !0xfffi64 | (size.bytes() as i64 - 1);
        let wanted = self.b.ins().band_imm_s(addr, probe);
        let hit = self.b.ins().icmp(IntCC::Equal, found, wanted);
        let (fast, slow) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(slow);
        self.b.ins().brif(hit, fast, &[], slow, &[]);
        self.b.seal_block(fast);
        self.b.seal_block(slow);
        self.b.switch_to_block(fast);
        let addend = self
            .b
            .ins()
            .load(I64, self.kinds.table, entry, tlb.addend as i32);
        (self.b.ins().iadd(addr, addend), slow)
    }

    pub(crate) fn load_inline(&mut self, addr: Value, ty: MemTy) -> Value {
        let (host, slow) = self.look_up(addr, ty.size, G::LAYOUT.tlb.read);
        let ins = self.b.ins();
        let value = match (ty.size, ty.signed) {
            (Size::B1, true) => ins.sload8(I64, self.kinds.ram, host, 0),
            (Size::B1, false) => ins.uload8(I64, self.kinds.ram, host, 0),
            (Size::B2, true) => ins.sload16(I64, self.kinds.ram, host, 0),
            (Size::B2, false) => ins.uload16(I64, self.kinds.ram, host, 0),
            (Size::B4, true) => ins.sload32(self.kinds.ram, host, 0),
            (Size::B4, false) => ins.uload32(self.kinds.ram, host, 0),
            (Size::B8, _) => ins.load(I64, self.kinds.ram, host, 0),
        };
        let done = self.b.create_block();
        let result = self.b.append_block_param(done, I64);
        self.b.ins().jump(done, &[value.into()]);
        self.b.switch_to_block(slow);
        let value = self.access(MemOp::Load(ty), addr, addr, addr);
        self.b.ins().jump(done, &[value.into()]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        result
    }

    pub(crate) fn store_inline(&mut self, addr: Value, size: Size, v: Value) {
        let (host, slow) = self.look_up(addr, size, G::LAYOUT.tlb.write);
        let ins = self.b.ins();
        match size {
            Size::B1 => ins.istore8(self.kinds.ram, v, host, 0),
            Size::B2 => ins.istore16(self.kinds.ram, v, host, 0),
            Size::B4 => ins.istore32(self.kinds.ram, v, host, 0),
            Size::B8 => ins.store(self.kinds.ram, v, host, 0),
        };
        let done = self.b.create_block();
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(slow);
        self.access(MemOp::Store(size), addr, v, v);
        self.b.ins().jump(done, &[]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
    }

    /// An access by call. What it cannot do is left to the interpreter.
    pub(crate) fn access(&mut self, op: MemOp, addr: Value, a: Value, b: Value) -> Value {
        let op = self.b.ins().iconst(I64, abi::encode(op) as i64);
        let args = [self.guest, op, addr, a, b];
        self.b.ins().call(self.abi.memory, &args);
        self.or_interpret();
        self.value()
    }

    // --- calls

    /// What the last call gave.
    fn value(&mut self) -> Value {
        let value = scratch::<G>(offset_of!(Scratch, value));
        self.b.ins().load(I64, self.kinds.own, self.guest, value)
    }

    fn status(&mut self) -> Value {
        let status = scratch::<G>(offset_of!(Scratch, status));
        self.b.ins().load(I64, self.kinds.own, self.guest, status)
    }

    /// Leaves the current instruction to the interpreter where the call did nothing.
    fn or_interpret(&mut self) {
        let status = self.status();
        let go_on = self.unless(status, |this| {
            let left = this.left_here();
            this.interpret_from(this.at, left);
        });
        self.b.switch_to_block(go_on);
    }

    fn pass(&mut self, args: [Value; 4]) {
        for (n, arg) in args.into_iter().enumerate() {
            let offset = scratch::<G>(offset_of!(Scratch, args) + 8 * n);
            self.b.ins().store(self.kinds.own, arg, self.guest, offset);
        }
    }

    /// A helper that neither looks at the program counter nor at counts, and changes
    /// nothing where it traps.
    pub(crate) fn call_pure(&mut self, h: &'static Helper<G>, args: [Value; 4]) -> Value {
        self.pass(args);
        let number = self.b.ins().iconst(I64, self.helpers.number(h));
        let args = [self.guest, number];
        self.b.ins().call(self.abi.pure_helper, &args);
        if h.effects.traps {
            self.or_interpret();
        }
        self.value()
    }

    /// A helper after which the region goes on.
    pub(crate) fn call_within(&mut self, h: &'static Helper<G>, args: [Value; 4]) -> Value {
        if h.effects == isoform_core::ops::Effects::NONE {
            return self.call_pure(h, args);
        }
        self.call(h, args, false);
        self.or_interpret();
        self.value()
    }

    /// A helper after which the region is left. Where it traps, the trap is delivered.
    pub(crate) fn call_last(&mut self, h: &'static Helper<G>, args: [Value; 4]) -> Value {
        self.write_back(self.dirty);
        self.dirty = 0;
        self.call(h, args, true);
        let status = self.status();
        let go_on = self.unless(status, |this| {
            // The state is the handler's already; the instruction counts.
            let left = this.left_here();
            let left = this.b.ins().iadd_imm_s(left, -1);
            this.b.ins().return_(&[left]);
        });
        self.b.switch_to_block(go_on);
        self.value()
    }

    fn call(&mut self, h: &'static Helper<G>, args: [Value; 4], deliver: bool) {
        self.pass(args);
        let pc = self.address(self.at);
        self.b
            .ins()
            .store(self.kinds.own, pc, self.guest, G::LAYOUT.pc as i32);
        let left = self.left_here();
        let number = self.b.ins().iconst(I64, self.helpers.number(h));
        let deliver = self.b.ins().iconst(I64, i64::from(deliver));
        let args = [self.guest, number, left, deliver];
        self.b.ins().call(self.abi.helper, &args);
    }
}

/// Nothing but the function it fills.
pub(crate) fn unit_function() -> Function {
    Function::with_name_signature(Default::default(), abi::unit_signature())
}
