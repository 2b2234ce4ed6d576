//! How generated code calls and is called.
//!
//! * A *unit* is a function of the tail-call convention: vCPU, program counter and
//!   instructions left come in; what is left of these goes out. A unit ends by a tail
//!   call to the next, or returns to the run loop with the state complete.
//! * *Stubs* lie at the start of the arena: `enter` leads from Rust to a unit,
//!   `dispatch` from a unit to the one at any address; the others call Rust in a
//!   convention that preserves all registers, so that the hot path spills nothing.
//!
//! Nothing here holds an address: what is outside the arena is reached through the
//! vCPU's [`Scratch`].

use crate::jumps::{ENTRIES, Entry};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, ExtFuncData, ExternalName, FuncRef, Function, InstBuilder,
    MemFlagsData as MemFlags, Signature, UserExternalName, Value,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use isoform_core::{AmoOp, MemOp, MemTy, Order, Scratch, Size, Translate};
use std::mem::offset_of;

/// A stub, by its number in names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Stub {
    /// From Rust into a unit: vCPU, program counter, instructions left, unit.
    Enter,
    /// To the unit at an address, or back to the run loop.
    Dispatch,
    /// `call::memory`.
    Memory,
    /// `call::helper`.
    Helper,
    /// `call::pure_helper`.
    PureHelper,
}

/// All stubs, in the order of their numbers.
pub(crate) const STUBS: [Stub; 5] = [
    Stub::Enter,
    Stub::Dispatch,
    Stub::Memory,
    Stub::Helper,
    Stub::PureHelper,
];

impl Stub {
    /// Parameters of a stub that calls Rust, and the place of the function it calls.
    fn call(self) -> (usize, usize) {
        match self {
            Stub::Memory => (5, 0),
            Stub::Helper => (4, 1),
            Stub::PureHelper | Stub::Enter | Stub::Dispatch => (2, 2),
        }
    }

    /// The signature that callers in generated code see.
    fn signature(self, host: CallConv) -> Signature {
        match self {
            Stub::Enter => signature(host, 4, true),
            Stub::Dispatch => unit_signature(),
            _ => signature(CallConv::PreserveAll, self.call().0, false),
        }
    }
}

fn signature(convention: CallConv, params: usize, returns: bool) -> Signature {
    let mut signature = Signature::new(convention);
    signature.params.resize(params, AbiParam::new(I64));
    if returns {
        signature.returns.push(AbiParam::new(I64));
    }
    signature
}

/// The signature of a unit.
pub(crate) fn unit_signature() -> Signature {
    signature(CallConv::Tail, 3, true)
}

/// vCPU, program counter, instructions left.
pub(crate) fn unit_params(b: &FunctionBuilder<'_>, entry: Block) -> [Value; 3] {
    match b.block_params(entry) {
        [guest, pc, left] => [*guest, *pc, *left],
        _ => unreachable!("a unit has three parameters"),
    }
}

/// The stubs that a function calls.
pub(crate) struct Abi {
    pub(crate) dispatch: FuncRef,
    pub(crate) memory: FuncRef,
    pub(crate) helper: FuncRef,
    pub(crate) pure_helper: FuncRef,
}

impl Abi {
    /// Makes the stubs known to a function.
    pub(crate) fn import(func: &mut Function) -> Self {
        let mut import = |stub: Stub| {
            // Only `Enter` has the host's convention, and nothing generated calls it.
            let signature = func.import_signature(stub.signature(CallConv::Tail));
            let name = UserExternalName::new(0, stub as u32);
            let name = func.declare_imported_user_function(name);
            func.import_function(ExtFuncData {
                name: ExternalName::user(name),
                signature,
                colocated: true,
                patchable: false,
            })
        };
        Self {
            dispatch: import(Stub::Dispatch),
            memory: import(Stub::Memory),
            helper: import(Stub::Helper),
            pure_helper: import(Stub::PureHelper),
        }
    }
}

/// A stub's function, empty.
pub(crate) fn stub_function(stub: Stub, host: CallConv) -> Function {
    Function::with_name_signature(Default::default(), stub.signature(host))
}

/// Fills a stub's function.
pub(crate) fn stub<G: Translate>(b: &mut FunctionBuilder<'_>, stub: Stub, host: CallConv) {
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    match stub {
        Stub::Enter => enter(b, entry),
        Stub::Dispatch => dispatch::<G>(b, entry),
        _ => call_rust::<G>(b, entry, stub, host),
    }
    b.seal_all_blocks();
}

/// The place of a field of the scratch, from the vCPU's address.
pub(crate) fn scratch<G: Translate>(offset: usize) -> i32 {
    (G::LAYOUT.scratch + offset) as i32
}

fn enter(b: &mut FunctionBuilder<'_>, entry: Block) {
    let params = b.block_params(entry).to_vec();
    let unit = b.import_signature(unit_signature());
    let call = b.ins().call_indirect(unit, params[3], &params[..3]);
    let left = b.inst_results(call).to_vec();
    b.ins().return_(&left);
}

fn dispatch<G: Translate>(b: &mut FunctionBuilder<'_>, entry: Block) {
    let [guest, pc, left] = unit_params(b, entry);
    let flags = MemFlags::trusted();
    let (look, hit, out) = (b.create_block(), b.create_block(), b.create_block());
    b.set_cold_block(out);
    let field =
        |b: &mut FunctionBuilder<'_>, offset| b.ins().load(I64, flags, guest, scratch::<G>(offset));

    let word = field(b, offset_of!(Scratch, attention));
    let asked = b.ins().atomic_load(I32, flags, word);
    b.ins().brif(asked, out, &[], look, &[]);

    b.switch_to_block(look);
    let jumps = field(b, offset_of!(Scratch, jumps));
    // Instructions are two bytes apart, entries `size_of::<Entry>()`.
    let shift = i64::from(size_of::<Entry>().ilog2()) - 1;
    let index = b.ins().ishl_imm_u(pc, shift);
    let mask = (ENTRIES as i64 - 1) << (shift + 1);
    let index = b.ins().band_imm_s(index, mask);
    let entry = b.ins().iadd(jumps, index);
    let context = field(b, offset_of!(Scratch, context));
    let load =
        |b: &mut FunctionBuilder<'_>, offset: usize| b.ins().load(I64, flags, entry, offset as i32);
    let (at, within) = (
        load(b, offset_of!(Entry, pc)),
        load(b, offset_of!(Entry, context)),
    );
    let same_pc = b.ins().icmp(IntCC::Equal, at, pc);
    let same_context = b.ins().icmp(IntCC::Equal, within, context);
    let same = b.ins().band(same_pc, same_context);
    b.ins().brif(same, hit, &[], out, &[]);

    b.switch_to_block(hit);
    let code = load(b, offset_of!(Entry, code));
    let unit = b.import_signature(unit_signature());
    b.ins().return_call_indirect(unit, code, &[guest, pc, left]);

    b.switch_to_block(out);
    b.ins().store(flags, pc, guest, G::LAYOUT.pc as i32);
    b.ins().return_(&[left]);
}

/// Passes the parameters on to a Rust function.
fn call_rust<G: Translate>(b: &mut FunctionBuilder<'_>, entry: Block, stub: Stub, host: CallConv) {
    let params = b.block_params(entry).to_vec();
    let (count, place) = stub.call();
    let signature = b.import_signature(signature(host, count, false));
    let place = offset_of!(Scratch, functions) + place * size_of::<usize>();
    let flags = MemFlags::trusted();
    let function = b.ins().load(I64, flags, params[0], scratch::<G>(place));
    b.ins().call_indirect(signature, function, &params);
    b.ins().return_(&[]);
}

const AMOS: [AmoOp; 9] = [
    AmoOp::Swap,
    AmoOp::Add,
    AmoOp::Xor,
    AmoOp::And,
    AmoOp::Or,
    AmoOp::Min,
    AmoOp::Max,
    AmoOp::Minu,
    AmoOp::Maxu,
];
const SIZES: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];
const ORDERS: [Order; 4] = [
    Order::Relaxed,
    Order::Acquire,
    Order::Release,
    Order::AcqRel,
];

/// An access as a number: kind in bits 2:0, size in 4:3, order in 6:5, sign in 7, the
/// operation of an AMO in 11:8.
pub(crate) fn encode(op: MemOp) -> u64 {
    let (kind, size, order, detail) = match op {
        MemOp::Load(ty) => (0, ty.size, Order::Relaxed, u64::from(ty.signed) << 7),
        MemOp::Store(size) => (1, size, Order::Relaxed, 0),
        MemOp::Amo(op, size, order) => (2, size, order, (op as u64) << 8),
        MemOp::Cas(size, order) => (3, size, order, 0),
        MemOp::LoadReserved(size, order) => (4, size, order, 0),
        MemOp::StoreConditional(size, order) => (5, size, order, 0),
    };
    kind | (size as u64) << 3 | (order as u64) << 5 | detail
}

/// The access that [`encode`] made the number from.
pub(crate) fn decode(op: u64) -> MemOp {
    let size = SIZES[(op >> 3 & 3) as usize];
    let order = ORDERS[(op >> 5 & 3) as usize];
    let signed = op >> 7 & 1 != 0;
    match op & 7 {
        0 => MemOp::Load(MemTy { size, signed }),
        1 => MemOp::Store(size),
        2 => MemOp::Amo(AMOS[(op >> 8 & 15) as usize % AMOS.len()], size, order),
        3 => MemOp::Cas(size, order),
        4 => MemOp::LoadReserved(size, order),
        _ => MemOp::StoreConditional(size, order),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_survive_as_numbers() {
        let mut all = Vec::new();
        for size in SIZES {
            all.extend([true, false].map(|signed| MemOp::Load(MemTy { size, signed })));
            all.push(MemOp::Store(size));
            for order in ORDERS {
                all.extend(AMOS.map(|op| MemOp::Amo(op, size, order)));
                all.push(MemOp::Cas(size, order));
                all.push(MemOp::LoadReserved(size, order));
                all.push(MemOp::StoreConditional(size, order));
            }
        }
        for op in all {
            assert_eq!(decode(encode(op)), op);
        }
    }

    #[test]
    fn stubs_are_numbered_in_order() {
        for (n, stub) in STUBS.into_iter().enumerate() {
            assert_eq!(stub as usize, n);
        }
    }
}
