//! Floating point inline: the common case of an operation as one host instruction and a
//! look at its result, the soft-float helper for all else.
//!
//! The host's own flags are never read: operations are pure to Cranelift, which moves
//! and drops them. Instead, a result is taken only where its flags are known:
//!
//! 1. *Inexact is set already, and rounding is to nearest even* (the region is *ready*).
//!    Then no flag can be new where NV, DZ, OF and UF are ruled out, and the result alone
//!    shows that. NV gives a NaN, DZ and (to nearest) OF an infinity (IEEE 754-2019,
//!    7.2-7.4), so a finite result excludes them. UF needs a result that is tiny, after
//!    rounding or before (7.5), and so at most the smallest normal value once it is
//!    rounded: an exponent field above 1 excludes it. Sums need not look at that, as a
//!    tiny sum of values of one format is exact. Operands need no look: a NaN or an
//!    infinity either shows in the result or raises nothing.
//! 2. *The result is exact* (see [`exact`]): programs that compute on whole numbers never
//!    set the flag. No other flag goes with an exact finite result. It is the same in
//!    all rounding modes but for the sign of a sum of zero, so nearest even is required,
//!    which also rules out a reserved mode.
//!
//! A value is kept in the type that it was computed in ([`values`]), registers in
//! variables across a region ([`registers`]).

mod class;
mod convert;
mod exact;
mod memory;
mod registers;
mod values;

use crate::emit::Emitter;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F64, I32, I64};
use cranelift_codegen::ir::{Block, InstBuilder, Type, Value};
use exact::Exact;
use isoform_core::{Float, FloatOp, Helper, Rounding, SignOp, Size, Translate};
pub(crate) use registers::FloatRegs;

/// What not all hosts of an architecture have. Without the instructions Cranelift calls a
/// library.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    /// Fused multiply-add.
    pub(crate) fma: bool,
    /// Rounding to a whole number.
    pub(crate) round: bool,
    /// An atomic read-modify-write is a full fence, as it is on x86-64 and with AArch64's
    /// LSE (Arm ARM B2.3, "Barrier-ordered-before"); a pair of exclusive accesses lets
    /// later loads come before its store.
    pub(crate) atomics_fence: bool,
    /// What the baseline compiler writes.
    pub(crate) baseline: bool,
}

/// Ways off the common case.
#[derive(Default)]
struct Paths {
    /// To the helper.
    slow: Option<Block>,
    /// To the helper unless the result, which is computed, is exact.
    check: Option<(Block, Exact)>,
}

/// The host's type for a format; `None` for binary16.
fn float_type(format: Size) -> Option<Type> {
    match format {
        Size::B4 => Some(F32),
        Size::B8 => Some(F64),
        Size::B1 | Size::B2 => None,
    }
}

/// The type of an operation's result.
fn result_type(float: Float) -> Option<Type> {
    let operands = float_type(float.format)?;
    match float.op {
        FloatOp::ToFormat(to) => float_type(to),
        FloatOp::Equal | FloatOp::Less | FloatOp::LessOrEqual => Some(I64),
        FloatOp::ToInt { .. } | FloatOp::Classify => Some(I64),
        _ => Some(operands),
    }
}

impl<G: Translate> Emitter<'_, '_, G> {
    /// Computes what a helper would, by the helper where need be.
    pub(crate) fn compute(
        &mut self,
        helper: &'static Helper<G>,
        args: [Value; 3],
        rm: u8,
    ) -> Value {
        let inline = helper.float.filter(|f| self.is_inlined(*f, rm));
        let Some((float, ty)) = inline.and_then(|f| Some((f, result_type(f)?))) else {
            let args = self.helper_args(args, rm);
            return self.call_pure(helper, args);
        };
        let mut paths = Paths::default();
        let value = self.common_case(float, args, rm, &mut paths);
        if paths.slow.is_none() && paths.check.is_none() {
            return value;
        }
        let done = self.b.create_block();
        let result = self.b.append_block_param(done, ty);
        self.b.ins().jump(done, &[value.into()]);
        if let Some((check, exact)) = paths.check.take() {
            self.b.seal_block(check);
            self.b.switch_to_block(check);
            let dynamic = (G::LAYOUT.float.rounding)(rm) == Rounding::Dynamic;
            self.require_exact(exact, value, dynamic, &mut paths);
            self.b.ins().jump(done, &[value.into()]);
        }
        if let Some(slow) = paths.slow {
            self.b.seal_block(slow);
            self.b.switch_to_block(slow);
            let args = self.helper_args(args, rm);
            let bits = match self.floats.mode_may_trap {
                true => self.call_pure(helper, args),
                false => self.call_untrapped(helper, args),
            };
            self.look_whether_ready();
            let value = self.typed(ty, bits);
            self.b.ins().jump(done, &[value.into()]);
        }
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        result
    }

    fn helper_args(&mut self, args: [Value; 3], rm: u8) -> [Value; 4] {
        let [a, b, c] = args.map(|arg| self.as_bits(arg));
        let rm = self.b.ins().iconst(I64, i64::from(rm));
        [a, b, c, rm]
    }

    /// Whether there is a common case. Exact operations have no rounding mode.
    fn is_inlined(&self, float: Float, rm: u8) -> bool {
        let rounding = (G::LAYOUT.float.rounding)(rm);
        let nearest = matches!(rounding, Rounding::NearestEven | Rounding::Dynamic);
        match float.op {
            FloatOp::Add | FloatOp::Sub | FloatOp::Mul | FloatOp::Div | FloatOp::Sqrt => nearest,
            FloatOp::MulAdd { .. } => nearest && self.host.fma,
            FloatOp::ToInt { .. } => rounding != Rounding::Other && self.host.round,
            FloatOp::FromInt { .. } | FloatOp::ToFormat(_) => nearest,
            FloatOp::Min | FloatOp::Max | FloatOp::Sign(_) | FloatOp::Classify => true,
            FloatOp::Equal | FloatOp::Less | FloatOp::LessOrEqual => true,
        }
    }

    fn common_case(
        &mut self,
        float: Float,
        [a, b, c]: [Value; 3],
        rm: u8,
        paths: &mut Paths,
    ) -> Value {
        let rounding = (G::LAYOUT.float.rounding)(rm);
        if let FloatOp::FromInt { size, signed } = float.op {
            return self.convert_from_int(float.format, size, signed, a, rounding, paths);
        }
        let a = self.operand(float.format, a, paths);
        match float.op {
            FloatOp::Sqrt => {
                let root = self.b.ins().sqrt(a);
                self.rounded(root, Exact::Root { a }, paths)
            }
            FloatOp::Classify => self.class(a),
            FloatOp::ToFormat(to) => self.convert_format(to, a, rounding, paths),
            FloatOp::ToInt { size, signed } => {
                self.convert_to_int(size, signed, a, rounding, paths)
            }
            FloatOp::MulAdd { .. } => {
                let b = self.operand(float.format, b, paths);
                let c = self.operand(float.format, c, paths);
                self.fused(float.op, [a, b, c], paths)
            }
            op => {
                let b = self.operand(float.format, b, paths);
                self.two(op, a, b, paths)
            }
        }
    }

    fn fused(&mut self, op: FloatOp, [a, b, c]: [Value; 3], paths: &mut Paths) -> Value {
        let negate = |this: &mut Self, v, negated| match negated {
            true => this.b.ins().fneg(v),
            false => v,
        };
        let (product, addend) = match op {
            FloatOp::MulAdd {
                negate_product,
                negate_addend,
            } => (negate_product, negate_addend),
            _ => (false, false),
        };
        let (a, c) = (negate(self, a, product), negate(self, c, addend));
        let value = self.b.ins().fma(a, b, c);
        self.rounded(value, Exact::Fused { a, b, c }, paths)
    }

    fn two(&mut self, op: FloatOp, a: Value, b: Value, paths: &mut Paths) -> Value {
        let ins = self.b.ins();
        let (value, exact) = match op {
            FloatOp::Add => (ins.fadd(a, b), Exact::Sum { a, b }),
            FloatOp::Sub => (ins.fsub(a, b), Exact::Difference { a, b }),
            FloatOp::Mul => (ins.fmul(a, b), Exact::Product { a, b }),
            FloatOp::Div => (ins.fdiv(a, b), Exact::Quotient { a, b }),
            FloatOp::Min | FloatOp::Max => return self.choose(op, a, b, paths),
            FloatOp::Sign(op) => return self.with_sign(op, a, b),
            FloatOp::Less => return self.compare(FloatCC::LessThan, a, b, paths),
            FloatOp::LessOrEqual => return self.compare(FloatCC::LessThanOrEqual, a, b, paths),
            _ => return self.compare(FloatCC::Equal, a, b, paths),
        };
        self.rounded(value, exact, paths)
    }

    /// A rounded result: as it is in the first case of the module's documentation, else
    /// it is looked whether it is exact.
    fn rounded(&mut self, value: Value, exact: Exact, paths: &mut Paths) -> Value {
        let (exponent, special) = self.exponent(value);
        let unready = self.unready();
        let (exponent, limit) = match exact {
            Exact::Sum { .. } | Exact::Difference { .. } => (exponent, special),
            _ => (self.b.ins().iadd_imm_s(exponent, -2), special - 2),
        };
        let judged = self.b.ins().bor(exponent, unready);
        let cc = IntCC::UnsignedGreaterThanOrEqual;
        let doubtful = self.b.ins().icmp_imm_u(cc, judged, limit);
        self.or_check(doubtful, exact, paths);
        value
    }

    /// The exponent field as 32 bits, and its greatest value: that of infinities and NaNs.
    fn exponent(&mut self, value: Value) -> (Value, i64) {
        if self.type_of(value) == F32 {
            let bits = self.b.ins().bitcast(I32, values::raw(), value);
            let top = self.b.ins().ushr_imm_u(bits, 23);
            return (self.b.ins().band_imm_u(top, 0xff), 0xff);
        }
        let bits = self.b.ins().bitcast(I64, values::raw(), value);
        let top = self.b.ins().ushr_imm_u(bits, 52);
        let top = self.b.ins().ireduce(I32, top);
        (self.b.ins().band_imm_u(top, 0x7ff), 0x7ff)
    }

    /// The helper's where a NaN is involved; both zeros are told apart.
    fn choose(&mut self, op: FloatOp, a: Value, b: Value, paths: &mut Paths) -> Value {
        let value = match op {
            FloatOp::Min => self.b.ins().fmin(a, b),
            _ => self.b.ins().fmax(a, b),
        };
        self.or_nan(value, value, paths);
        value
    }

    fn compare(&mut self, cc: FloatCC, a: Value, b: Value, paths: &mut Paths) -> Value {
        self.or_nan(a, b, paths);
        let holds = self.b.ins().fcmp(cc, a, b);
        self.b.ins().uextend(I64, holds)
    }

    /// Signs are bits: nothing is raised, whatever the operands are.
    fn with_sign(&mut self, op: SignOp, a: Value, b: Value) -> Value {
        match op {
            SignOp::Copy if a == b => a,
            SignOp::Negate if a == b => self.b.ins().fneg(a),
            SignOp::Xor if a == b => self.b.ins().fabs(a),
            SignOp::Copy => self.b.ins().fcopysign(a, b),
            SignOp::Negate => {
                let b = self.b.ins().fneg(b);
                self.b.ins().fcopysign(a, b)
            }
            SignOp::Xor => {
                let mask = match self.type_of(a) {
                    F32 => self.b.ins().f32const(-0.0),
                    _ => self.b.ins().f64const(-0.0),
                };
                let sign = self.b.ins().band(b, mask);
                self.b.ins().bxor(a, sign)
            }
        }
    }

    // --- ways off

    /// Goes to the helper where `a` or `b` is a NaN.
    fn or_nan(&mut self, a: Value, b: Value, paths: &mut Paths) {
        let nan = self.b.ins().fcmp(FloatCC::Unordered, a, b);
        self.or_helper(nan, paths);
    }

    /// Goes to the helper where `c` is not 0.
    fn or_helper(&mut self, c: Value, paths: &mut Paths) {
        let slow = *paths.slow.get_or_insert_with(|| {
            let slow = self.b.create_block();
            self.b.set_cold_block(slow);
            slow
        });
        self.go_on_unless(c, slow);
    }

    /// Goes where it is looked whether the result is exact if `c` is not 0.
    fn or_check(&mut self, c: Value, exact: Exact, paths: &mut Paths) {
        let check = self.b.create_block();
        self.b.set_cold_block(check);
        paths.check = Some((check, exact));
        self.go_on_unless(c, check);
    }

    fn go_on_unless(&mut self, c: Value, off: Block) {
        let go_on = self.b.create_block();
        self.b.ins().brif(c, off, &[], go_on, &[]);
        self.b.seal_block(go_on);
        self.b.switch_to_block(go_on);
    }
}
