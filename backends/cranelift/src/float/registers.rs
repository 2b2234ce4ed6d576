//! Floating-point registers of a region, kept in variables as the integer ones are, and
//! whether results may be taken as they come.

use super::Emitter;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F32, F64, I32, I64};
use cranelift_codegen::ir::{InstBuilder, Value};
use cranelift_frontend::Variable;
use isoform_core::Translate;

const REGS: usize = 32;

/// A region's floating-point registers.
#[derive(Default)]
pub(crate) struct FloatRegs {
    /// Each as an `F64`.
    variables: [Option<Variable>; REGS],
    /// What the current block put into a register, in the type it was computed in.
    known: [Option<Value>; REGS],
    /// Registers that may differ from the state, a bit each.
    pub(crate) dirty: u32,
    /// The state knows that this block writes floating-point registers.
    marked: bool,
    /// `I32`: 0 where inexact is set and rounding is to nearest even, else all ones. It
    /// may be out of date while no instruction but floating-point ones was executed: then
    /// it is all ones although it could be 0.
    unready: Option<Variable>,
    /// Dynamic rounding may be none that is valid: some helper of the region may set it.
    pub(super) mode_may_trap: bool,
}

impl<G: Translate> Emitter<'_, '_, G> {
    /// Registers as they are where the region is entered.
    pub(crate) fn load_floats(&mut self) {
        let facts = || self.region.blocks.values().flatten().map(|p| p.facts);
        let used = facts().fold(0, |used, f| used | f.float_reads | f.float_writes);
        let computes = facts().any(|f| f.computes);
        self.floats.mode_may_trap = facts().any(|f| f.calls);
        for r in (0..REGS).filter(|r| used >> r & 1 != 0) {
            let variable = self.b.declare_var(F64);
            let (own, guest, offset) = (self.kinds.own, self.guest, self.freg_offset(r));
            let value = self.b.ins().load(F64, own, guest, offset);
            self.b.def_var(variable, value);
            self.floats.variables[r] = Some(variable);
        }
        if computes {
            self.floats.unready = Some(self.b.declare_var(I32));
            self.look_whether_ready();
        }
    }

    /// Leaves the region to the interpreter where dynamic rounding traps. Unless something
    /// in the region may change that, helpers do not trap then, which saves a way out of
    /// each.
    pub(crate) fn require_valid_mode(&mut self, left: Value) {
        if self.floats.unready.is_none() || self.floats.mode_may_trap {
            return;
        }
        let float = G::LAYOUT.float;
        let (own, guest) = (self.kinds.own, self.guest);
        let control = self.b.ins().uload8(I32, own, guest, float.control as i32);
        let cc = IntCC::UnsignedGreaterThanOrEqual;
        let reserved = self
            .b
            .ins()
            .icmp_imm_u(cc, control, i64::from(float.reserved));
        let entry = self.region.entry;
        let go_on = self.unless(reserved, |this| this.interpret_from(entry, left));
        self.b.switch_to_block(go_on);
    }

    /// A block begins, with these registers dirty.
    pub(crate) fn begin_floats(&mut self, dirty: u32) {
        self.floats.known = [None; REGS];
        self.floats.marked = false;
        self.floats.dirty = dirty;
    }

    fn freg_offset(&self, r: usize) -> i32 {
        (G::LAYOUT.fregs + 8 * r) as i32
    }

    pub(crate) fn read_float(&mut self, r: u8) -> Value {
        let r = usize::from(r & 31);
        match (self.floats.known[r], self.floats.variables[r]) {
            (Some(value), _) => value,
            (None, Some(variable)) => self.b.use_var(variable),
            // All that are named were found by the scan.
            (None, None) => self.b.ins().f64const(0.0),
        }
    }

    pub(crate) fn write_float(&mut self, r: u8, v: Value) {
        let r = usize::from(r & 31);
        let whole = self.as_double(v);
        self.floats.known[r] = (self.type_of(v) == F32).then_some(v);
        if let Some(variable) = self.floats.variables[r] {
            self.b.def_var(variable, whole);
        }
        self.floats.dirty |= 1 << r;
        if !std::mem::replace(&mut self.floats.marked, true) {
            self.mark_floats_written();
        }
    }

    fn mark_floats_written(&mut self) {
        let (word, bits) = G::LAYOUT.fregs_written;
        let (own, guest, word) = (self.kinds.own, self.guest, word as i32);
        let old = self.b.ins().load(I64, own, guest, word);
        let bits = self.b.ins().iconst(I64, bits as i64);
        let new = self.b.ins().bor(old, bits);
        self.b.ins().store(own, new, guest, word);
    }

    /// Makes the state's floating-point registers complete.
    pub(crate) fn write_back_floats(&mut self) {
        let dirty = self.floats.dirty;
        for r in (0..REGS).filter(|r| dirty >> r & 1 != 0) {
            if let Some(variable) = self.floats.variables[r] {
                let value = self.b.use_var(variable);
                let (own, guest, offset) = (self.kinds.own, self.guest, self.freg_offset(r));
                self.b.ins().store(own, value, guest, offset);
            }
        }
    }

    /// See [`FloatRegs::unready`].
    pub(super) fn unready(&mut self) -> Value {
        match self.floats.unready {
            Some(variable) => self.b.use_var(variable),
            None => self.b.ins().iconst(I32, -1),
        }
    }

    /// Takes note of flags and rounding mode as they now are. To be called wherever
    /// anything but a floating-point helper may have changed them.
    pub(crate) fn look_whether_ready(&mut self) {
        let Some(variable) = self.floats.unready else {
            return;
        };
        let float = G::LAYOUT.float;
        let (own, guest) = (self.kinds.own, self.guest);
        let control = self.b.ins().uload8(I32, own, guest, float.control as i32);
        let both = i64::from(float.inexact | float.direction);
        let seen = self.b.ins().band_imm_u(control, both);
        let differs = self.b.ins().bxor_imm_u(seen, i64::from(float.inexact));
        let unready = self.b.ins().bmask(I32, differs);
        self.b.def_var(variable, unready);
    }
}
