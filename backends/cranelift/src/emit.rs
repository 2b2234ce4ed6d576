//! Emits the CLIF of a region: registers as variables, accesses through the soft TLB,
//! calls, and all ways out.
//!
//! Registers that may differ from the state (*dirty* ones) are written back wherever a
//! loop is left, in cold blocks of their own for what seldom happens; in straight code,
//! before each instruction that may leave it. An
//! instruction that cannot go on leaves with the state of before it.

use crate::abi::{self, Abi, Purpose, scratch};
use crate::access::Sites;
use crate::call::{self, LAST};
use crate::code::PAGE;
use crate::explain;
use crate::float::{FloatRegs, Host};
use crate::region::{Placed, Region};
use crate::scan::{Facts, Flow};
use crate::spans::Spans;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    AliasRegionData, Block, FuncRef, Function, InstBuilder, MemFlagsData as MemFlags, SourceLoc,
    Value,
};
use cranelift_frontend::{FunctionBuilder, Variable};
use isoform_core::attention::CALM;
use isoform_core::{Helper, Scratch, Translate};
use std::collections::BTreeMap;
use std::mem::offset_of;

/// Registers that a region keeps in variables.
const REGS: usize = 32;

/// A region in the making.
pub(crate) struct Emitter<'a, 'b, G: Translate> {
    pub(crate) b: &'a mut FunctionBuilder<'b>,
    pub(crate) mode: G::Mode,
    pub(crate) abi: Abi,
    pub(crate) kinds: Kinds,
    pub(crate) host: Host,
    pub(crate) region: &'a Region,
    /// The code of each of the region's blocks.
    blocks: BTreeMap<u64, Block>,
    /// The vCPU.
    pub(crate) guest: Value,
    /// Virtual address of the entry.
    pub(crate) pc: Value,
    regs: [Option<Variable>; REGS],
    pub(crate) floats: FloatRegs,
    pub(crate) sites: Sites,
    /// The current block's.
    pub(crate) spans: Spans,
    /// Instructions on the longest way ahead of each block ([`Region::ahead`]).
    ahead: BTreeMap<u64, i64>,
    /// Instructions left at the start of the current block.
    pub(crate) left: Variable,
    /// Instructions of the block before the current one.
    pub(crate) done: u64,
    /// What the current instruction does.
    pub(crate) facts: Facts,
    /// Where the region is left after a call that gave nothing, once there was one, by
    /// [`Out`].
    outs: [Option<Block>; 2],
    /// Without loops ([`Emitter::settle`]).
    pub(crate) straight: bool,
    /// Registers that may differ from the state, a bit each.
    pub(crate) dirty: u32,
    /// Offsets of the current instruction and of the next.
    pub(crate) at: u64,
    pub(crate) next: u64,
    /// What the current instruction did to the flow of control, and the condition or
    /// the target.
    pub(crate) flow: Flow,
    pub(crate) operand: Option<Value>,
}

/// How a region is left after a call that gave nothing.
#[derive(Clone, Copy)]
pub(crate) enum Out {
    /// For the interpreter.
    Bail,
    /// For the handler of a trap.
    Resume,
}

/// What is known of accesses: those of different kinds never meet.
#[derive(Clone, Copy)]
pub(crate) struct Kinds {
    /// To the vCPU itself.
    pub(crate) own: MemFlags,
    /// To the soft TLB.
    pub(crate) table: MemFlags,
    /// To guest RAM.
    pub(crate) ram: MemFlags,
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
/// get there. `writes` gives those that an instruction writes.
fn dirty_at_start(region: &Region, writes: fn(&Facts) -> u32) -> BTreeMap<u64, u32> {
    let mut dirty: BTreeMap<u64, u32> = region.blocks.keys().map(|at| (*at, 0)).collect();
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for (at, block) in &region.blocks {
            let written = block.iter().fold(0, |all, p| all | writes(&p.facts));
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
    region: &Region,
    mode: G::Mode,
    host: Host,
) {
    let abi = Abi::import(b.func);
    let kinds = Kinds::new(b.func);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let [guest, pc, granted] = abi::unit_params(b, entry);
    let left = b.declare_var(I64);
    b.def_var(left, granted);
    let blocks = region.blocks.keys().map(|at| (*at, b.create_block()));
    let blocks = blocks.collect();
    let mut emitter = Emitter::<G> {
        b,
        mode,
        abi,
        kinds,
        host,
        region,
        blocks,
        guest,
        pc,
        regs: [None; REGS],
        floats: FloatRegs::default(),
        sites: Sites::default(),
        spans: Spans::default(),
        ahead: region.ahead(),
        left,
        done: 0,
        facts: Facts::default(),
        outs: [None; 2],
        straight: !region.loops(),
        dirty: 0,
        at: region.entry,
        next: region.entry,
        flow: Flow::Next,
        operand: None,
    };
    emitter.require_budget(region.entry);
    emitter.load_registers();
    emitter.load_floats();
    emitter.make_sites();
    emitter.require_valid_mode(granted);
    let first = emitter.blocks[&region.entry];
    emitter.b.ins().jump(first, &[]);
    let dirty = |writes| match emitter.straight {
        true => BTreeMap::new(),
        false => dirty_at_start(region, writes),
    };
    let (dirty, floats) = (dirty(|f| f.writes), dirty(|f| f.float_writes));
    for (at, block) in &region.blocks {
        emitter.begin_floats(floats.get(at).copied().unwrap_or(0));
        emitter.block(*at, block, dirty.get(at).copied().unwrap_or(0));
    }
    emitter.end_outs();
    emitter.b.seal_all_blocks();
}

impl<G: Translate> Emitter<'_, '_, G> {
    // --- registers

    fn load_registers(&mut self) {
        let used = self.region.registers();
        // In a loop a way out may write back what only others wrote.
        let needed = match self.straight {
            true => self.region.needs(),
            false => used,
        };
        for r in (0..REGS).filter(|r| used >> r & 1 != 0) {
            let variable = self.b.declare_var(I64);
            if needed >> r & 1 != 0 {
                let offset = self.reg_offset(r);
                let value = self.b.ins().load(I64, self.kinds.own, self.guest, offset);
                self.b.def_var(variable, value);
            }
            self.regs[r] = Some(variable);
        }
    }

    fn reg_offset(&self, r: usize) -> i32 {
        (G::LAYOUT.regs + 8 * r) as i32
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
            self.dirty |= 1 << (r & 31);
        }
    }

    /// Makes the state's registers complete.
    pub(crate) fn write_back(&mut self, dirty: u32) {
        self.write_back_floats();
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

    /// Code without loops has its registers in the state wherever it may be left, and so
    /// short ways out: that costs it no more than to write them there in the end.
    pub(crate) fn settle(&mut self) {
        if self.straight {
            self.write_back(self.dirty);
            (self.dirty, self.floats.dirty) = (0, 0);
        }
    }

    /// The virtual address of an offset in the page, or beyond it.
    pub(crate) fn address(&mut self, at: u64) -> Value {
        match at.wrapping_sub(self.region.entry) as i64 {
            0 => self.pc,
            distance => self.b.ins().iadd_imm_s(self.pc, distance),
        }
    }

    // --- blocks, and the ways between them

    fn block(&mut self, at: u64, block: &[Placed], dirty: u32) {
        let start = self.blocks[&at];
        self.b.switch_to_block(start);
        self.dirty = dirty;
        self.at = at;
        self.spans = self.spans_of(block);
        self.b.set_srcloc(SourceLoc::default());
        for (done, placed) in (0..).zip(block) {
            (self.at, self.done, self.facts) = (placed.at, done, placed.facts);
            self.b.set_srcloc(explain::location(placed.at));
            (self.flow, self.operand) = (Flow::Next, None);
            let Ok(()) = G::execute(self, &placed.insn);
        }
        let left = self.b.use_var(self.left);
        let left = self.b.ins().iadd_imm_s(left, -(block.len() as i64));
        self.b.def_var(self.left, left);
        self.settle();
        self.end();
    }

    pub(crate) fn spans_of(&self, block: &[Placed]) -> Spans {
        match self.region.shares {
            true => Spans::of_block(block),
            false => Spans::default(),
        }
    }

    /// Where fewer instructions are left than the longest way ahead of a block has, the
    /// interpreter does the rest: it can stop between any two.
    fn require_budget(&mut self, to: u64) {
        let ahead = self.ahead.get(&to).copied().unwrap_or(0);
        let left = self.b.use_var(self.left);
        let short = self.b.ins().icmp_imm_s(IntCC::SignedLessThan, left, ahead);
        let go_on = self.unless(short, |this| {
            this.hand_back(CALM);
            this.leave_at(to, left);
        });
        self.b.switch_to_block(go_on);
    }

    /// A block for what happens seldom.
    pub(crate) fn cold_block(&mut self) -> Block {
        let block = self.b.create_block();
        self.b.set_cold_block(block);
        block
    }

    /// A block that is entered as often as the current one.
    fn block_beside(&mut self) -> Block {
        let current = self.b.current_block();
        match current.is_some_and(|block| self.b.func.layout.is_cold(block)) {
            true => self.cold_block(),
            false => self.b.create_block(),
        }
    }

    /// Does something seldom where `c` is not 0, which leaves the region; gives the
    /// block to go on in otherwise.
    pub(crate) fn unless(&mut self, c: Value, seldom: impl FnOnce(&mut Self)) -> Block {
        let (cold, go_on) = (self.cold_block(), self.block_beside());
        self.b.ins().brif(c, cold, &[], go_on, &[]);
        self.b.seal_block(cold);
        self.b.seal_block(go_on);
        self.b.switch_to_block(cold);
        seldom(self);
        go_on
    }

    /// The interpreter is to execute so many instructions at most.
    pub(crate) fn hand_back(&mut self, instructions: u64) {
        let count = self.b.ins().iconst(I64, instructions as i64);
        self.put(offset_of!(Scratch, handed_back), count);
    }

    /// Leaves for the interpreter, which executes the instruction at an offset.
    pub(crate) fn interpret_from(&mut self, at: u64, left: Value) {
        self.hand_back(1);
        self.leave_at(at, left);
    }

    /// Returns to the run loop, which goes on at an offset.
    pub(crate) fn leave_at(&mut self, to: u64, left: Value) {
        self.write_back(self.dirty);
        let pc = self.address(to);
        self.b
            .ins()
            .store(self.kinds.own, pc, self.guest, G::LAYOUT.pc as i32);
        self.b.ins().return_(&[left]);
    }

    /// The current block ends as its last instruction says.
    fn end(&mut self) {
        match (self.flow, self.operand) {
            (Flow::Branch(offset), Some(c)) => {
                let to = self.at.wrapping_add(offset as u64);
                let (taken, not) = (self.block_for(to), self.block_for(self.next));
                self.b.ins().brif(c, taken, &[], not, &[]);
                self.b.seal_block(taken);
                self.b.seal_block(not);
                self.b.switch_to_block(taken);
                self.edge(to);
                self.b.switch_to_block(not);
                self.edge(self.next);
            }
            (Flow::Jump(offset), _) => self.edge(self.at.wrapping_add(offset as u64)),
            (Flow::Indirect, Some(target)) => self.tail_call(self.abi.dispatch, target),
            (Flow::Leave, target) => {
                let pc = target.unwrap_or_else(|| self.address(self.next));
                self.tail_call(self.abi.dispatch, pc);
            }
            _ => self.edge(self.next),
        }
    }

    /// A block for the way to an offset: in a loop those out of it are seldom taken.
    fn block_for(&mut self, to: u64) -> Block {
        match self.straight || self.blocks.contains_key(&to) {
            true => self.b.create_block(),
            false => self.cold_block(),
        }
    }

    /// To an offset: within the region, to another unit of the page, or out of it. Every
    /// way round looks at the attention word and the budget.
    fn edge(&mut self, to: u64) {
        let block = self.blocks.get(&to).copied();
        if to <= self.at {
            self.poll(to);
        }
        if let Some(block) = block {
            self.b.ins().jump(block, &[]);
            return;
        }
        let unit = match to < PAGE as u64 {
            true => abi::import_unit(self.b.func, to),
            false => self.abi.dispatch,
        };
        let pc = self.address(to);
        self.tail_call(unit, pc);
    }

    /// Leaves the region for a unit, or for whatever is at an address.
    fn tail_call(&mut self, unit: FuncRef, pc: Value) {
        self.write_back(self.dirty);
        let left = self.b.use_var(self.left);
        self.b.ins().return_call(unit, &[self.guest, pc, left]);
    }

    /// Looks at the attention word, which says how many instructions are to be left. The
    /// atomic load also keeps the guest's loads in their iteration.
    fn poll(&mut self, to: u64) {
        let word = scratch::<G>(offset_of!(Scratch, attention));
        let flags = self.kinds.own.with_readonly().with_can_move();
        let word = self.b.ins().load(I64, flags, self.guest, word);
        let wanted = self.b.ins().atomic_load(I64, MemFlags::trusted(), word);
        let left = self.b.use_var(self.left);
        let short = self.b.ins().icmp(IntCC::SignedLessThan, left, wanted);
        let go_on = self.unless(short, |this| {
            this.hand_back(CALM);
            this.leave_at(to, left);
        });
        self.b.switch_to_block(go_on);
    }

    // --- calls

    /// What the last call gave.
    pub(crate) fn value(&mut self) -> Value {
        self.get(offset_of!(Scratch, value))
    }

    /// Where the last call gave nothing, the unit is left: the state is complete.
    pub(crate) fn or_leave(&mut self, out: Out) {
        let block = match self.outs[out as usize] {
            Some(block) => block,
            None => self.cold_block(),
        };
        self.outs[out as usize] = Some(block);
        let status = self.status();
        let go_on = self.block_beside();
        self.b.ins().brif(status, block, &[], go_on, &[]);
        self.b.seal_block(go_on);
        self.b.switch_to_block(go_on);
    }

    /// The blocks that [`Emitter::or_leave`] leads to.
    fn end_outs(&mut self) {
        for (out, stub) in [(Out::Bail, self.abi.bail), (Out::Resume, self.abi.resume)] {
            if let Some(block) = self.outs[out as usize] {
                self.b.switch_to_block(block);
                self.b.set_srcloc(SourceLoc::default());
                // The stub looks at nothing but the vCPU.
                let args = [self.guest, self.pc, self.pc];
                self.b.ins().return_call(stub, &args);
            }
        }
    }

    fn status(&mut self) -> Value {
        self.get(offset_of!(Scratch, status))
    }

    fn unless_given(&mut self, seldom: impl FnOnce(&mut Self)) -> Block {
        let status = self.status();
        self.unless(status, seldom)
    }

    /// Tells a call what it is for.
    pub(crate) fn pass_purpose(&mut self, what: u64) {
        let (done, at) = (self.done, self.at);
        let purpose = Purpose { what, done, at };
        let purpose = self.b.ins().iconst(I64, purpose.encode());
        let left = self.b.use_var(self.left);
        for (value, field) in [
            (self.pc, offset_of!(Scratch, entry)),
            (left, offset_of!(Scratch, left)),
            (purpose, offset_of!(Scratch, purpose)),
        ] {
            self.put(field, value);
        }
    }

    /// Reads a field of the scratch.
    pub(crate) fn get(&mut self, field: usize) -> Value {
        let place = scratch::<G>(field);
        self.b.ins().load(I64, self.kinds.own, self.guest, place)
    }

    /// Writes a field of the scratch.
    pub(crate) fn put(&mut self, field: usize, value: Value) {
        let place = scratch::<G>(field);
        self.b.ins().store(self.kinds.own, value, self.guest, place);
    }

    pub(crate) fn pass(&mut self, args: &[Value]) {
        for (n, arg) in args.iter().enumerate() {
            self.put(offset_of!(Scratch, args) + 8 * n, *arg);
        }
    }

    /// A helper that neither looks at the program counter nor at counts, and changes
    /// nothing where it traps.
    pub(crate) fn call_pure(&mut self, h: &'static Helper<G>, args: [Value; 4]) -> Value {
        let value = self.call_untrapped(h, args);
        if h.effects.traps {
            let go_on = self.unless_given(|this| {
                let left = this.b.use_var(this.left);
                let left = this.b.ins().iadd_imm_s(left, -(this.done as i64));
                this.interpret_from(this.at, left);
            });
            self.b.switch_to_block(go_on);
        }
        value
    }

    /// The same where it is known not to trap.
    pub(crate) fn call_untrapped(&mut self, h: &'static Helper<G>, args: [Value; 4]) -> Value {
        self.pass(&args);
        let number = call::number(h);
        let number = self.b.ins().iconst(I64, number as i64);
        self.put(offset_of!(Scratch, purpose), number);
        self.b.ins().call(self.abi.pure_helper, &[self.guest]);
        self.value()
    }

    /// A helper after which the region goes on.
    pub(crate) fn call_within(&mut self, h: &'static Helper<G>, args: [Value; 4]) -> Value {
        if h.effects == isoform_core::ops::Effects::NONE {
            return self.call_pure(h, args);
        }
        self.settle();
        self.write_back(self.dirty);
        self.call(h, args, 0);
        self.or_leave(Out::Bail);
        self.look_whether_ready();
        self.value()
    }

    /// A helper after which the region is left. Where it traps, the unit goes on with
    /// the handler.
    pub(crate) fn call_last(&mut self, h: &'static Helper<G>, args: [Value; 4]) -> Value {
        self.write_back(self.dirty);
        (self.dirty, self.floats.dirty) = (0, 0);
        self.call(h, args, LAST);
        self.or_leave(Out::Resume);
        self.value()
    }

    fn call(&mut self, h: &'static Helper<G>, args: [Value; 4], last: u64) {
        self.pass(&args);
        self.pass_purpose(call::number(h) | last);
        self.b.ins().call(self.abi.helper, &[self.guest]);
    }
}

/// Nothing but the function it fills.
pub(crate) fn unit_function() -> Function {
    Function::with_name_signature(Default::default(), abi::unit_signature())
}
