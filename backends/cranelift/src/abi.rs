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

use crate::host;
use crate::jumps::{ENTRIES, Entry};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    AbiParam, Block, ExtFuncData, ExternalName, FuncRef, Function, InstBuilder,
    MemFlagsData as MemFlags, Signature, UserExternalName, Value,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use isoform_core::attention::CALM;
use isoform_core::translate::STAMP_MODE_BITS;
use isoform_core::{AmoOp, MemOp, MemTy, Order, Scratch, Size, Translate};
use serde::{Deserialize, Serialize};
use std::mem::offset_of;

/// A stub, by its number in names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Stub {
    /// From Rust into a unit: vCPU, program counter, instructions left, unit.
    Enter,
    /// To the unit at an address, or back to the run loop.
    Dispatch,
    /// To where a call of Rust left the program counter, as [`Stub::Dispatch`].
    Resume,
    /// Back to the run loop, the state being complete since a call of Rust.
    Bail,
    /// `call::memory`.
    Memory,
    /// `call::helper`.
    Helper,
    /// `call::pure_helper`.
    PureHelper,
}

/// All stubs, in the order of their numbers.
pub(crate) const STUBS: [Stub; 7] = [
    Stub::Enter,
    Stub::Dispatch,
    Stub::Resume,
    Stub::Bail,
    Stub::Memory,
    Stub::Helper,
    Stub::PureHelper,
];

impl Stub {
    /// The place of the Rust function that a stub calls.
    fn function(self) -> usize {
        match self {
            Stub::Helper => 1,
            Stub::PureHelper => 2,
            // The others call none.
            Stub::Memory | Stub::Enter | Stub::Dispatch | Stub::Resume | Stub::Bail => 0,
        }
    }

    /// The signature that callers in generated code see.
    fn signature(self, host: CallConv) -> Signature {
        match self {
            Stub::Enter => signature(host, 4, true),
            Stub::Dispatch | Stub::Resume | Stub::Bail => unit_signature(),
            Stub::Memory | Stub::Helper | Stub::PureHelper => {
                signature(CallConv::PreserveAll, 1, false)
            }
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

/// The space of names of stubs, and that of units elsewhere in the page.
const STUB_NAMES: u32 = 0;
const UNIT_NAMES: u32 = 1;

/// What a name that code is linked by stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Name {
    /// A stub, by its number.
    Stub(u8),
    /// The unit that is entered at this offset of the same page.
    Unit(u16),
}

impl Name {
    pub(crate) fn of(name: &UserExternalName) -> Self {
        match name.namespace {
            UNIT_NAMES => Name::Unit(name.index as u16),
            _ => Name::Stub(name.index as u8),
        }
    }

    /// What it is called, for people.
    pub(crate) fn label(self) -> &'static str {
        let Name::Stub(number) = self else {
            return "unit";
        };
        match STUBS.get(usize::from(number)) {
            Some(Stub::Enter) => "enter",
            Some(Stub::Dispatch) => "dispatch",
            Some(Stub::Resume) => "resume",
            Some(Stub::Bail) => "bail",
            Some(Stub::Memory) => "memory",
            Some(Stub::Helper) => "helper",
            Some(Stub::PureHelper) => "pure_helper",
            None => "?",
        }
    }
}

/// The stubs that a function calls.
pub(crate) struct Abi {
    pub(crate) dispatch: FuncRef,
    pub(crate) resume: FuncRef,
    pub(crate) bail: FuncRef,
    pub(crate) memory: FuncRef,
    pub(crate) helper: FuncRef,
    pub(crate) pure_helper: FuncRef,
}

impl Abi {
    /// Makes the stubs known to a function.
    pub(crate) fn import(func: &mut Function) -> Self {
        let mut import = |stub: Stub| {
            // Only `Enter` has the host's convention, and nothing generated calls it.
            let signature = stub.signature(CallConv::Tail);
            import(
                func,
                UserExternalName::new(STUB_NAMES, stub as u32),
                signature,
            )
        };
        Self {
            dispatch: import(Stub::Dispatch),
            resume: import(Stub::Resume),
            bail: import(Stub::Bail),
            memory: import(Stub::Memory),
            helper: import(Stub::Helper),
            pure_helper: import(Stub::PureHelper),
        }
    }
}

fn import(func: &mut Function, name: UserExternalName, signature: Signature) -> FuncRef {
    let signature = func.import_signature(signature);
    let name = func.declare_imported_user_function(name);
    func.import_function(ExtFuncData {
        name: ExternalName::user(name),
        signature,
        colocated: true,
        patchable: false,
    })
}

/// The unit that is entered at an offset of the same page, to be jumped to.
pub(crate) fn import_unit(func: &mut Function, at: u64) -> FuncRef {
    let name = UserExternalName::new(UNIT_NAMES, at as u32);
    import(func, name, unit_signature())
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
        Stub::Resume => resume::<G>(b, entry),
        Stub::Bail => bail::<G>(b, entry),
        Stub::Memory | Stub::Helper | Stub::PureHelper => {
            call_rust::<G>(b, entry, stub, host);
        }
    }
    b.seal_all_blocks();
}

/// The place of a field of the scratch, from the vCPU's address.
pub(crate) fn scratch<G: Translate>(offset: usize) -> i32 {
    (G::LAYOUT.scratch + offset) as i32
}

fn enter(b: &mut FunctionBuilder<'_>, entry: Block) {
    let params = b.block_params(entry).to_vec();
    // It may change registers that other functions preserve.
    let mut unit = unit_signature();
    unit.call_conv = host::PRESERVES_NOTHING.unwrap_or(unit.call_conv);
    let unit = b.import_signature(unit);
    let call = b.ins().call_indirect(unit, params[3], &params[..3]);
    let left = b.inst_results(call).to_vec();
    b.ins().return_(&left);
}

/// Shorthands for code that reads what lies around the vCPU.
struct Reader<'a, 'b>(&'a mut FunctionBuilder<'b>);

impl Reader<'_, '_> {
    fn load(&mut self, base: Value, offset: usize) -> Value {
        let flags = MemFlags::trusted();
        self.0.ins().load(I64, flags, base, offset as i32)
    }

    /// A field of the scratch.
    fn field<G: Translate>(&mut self, guest: Value, offset: usize) -> Value {
        self.load(guest, G::LAYOUT.scratch + offset)
    }

    /// The entry of `table` for an index that bits `shift` and up of `key` are.
    fn entry(&mut self, table: Value, key: Value, shift: u32, log: (u32, u32)) -> Value {
        let (entries, size) = log;
        let mask = ((1i64 << entries) - 1) << size;
        let moved = match size.cmp(&shift) {
            std::cmp::Ordering::Less => self.0.ins().ushr_imm_u(key, i64::from(shift - size)),
            _ => self.0.ins().ishl_imm_u(key, i64::from(size - shift)),
        };
        let index = self.0.ins().band_imm_s(moved, mask);
        self.0.ins().iadd(table, index)
    }

    /// Goes on where `a` equals `b`, to `otherwise` where not.
    fn require(&mut self, a: Value, b: Value, otherwise: Block) {
        let same = self.0.ins().icmp(IntCC::Equal, a, b);
        let go_on = self.0.create_block();
        self.0.ins().brif(same, go_on, &[], otherwise, &[]);
        self.0.switch_to_block(go_on);
    }
}

fn dispatch<G: Translate>(b: &mut FunctionBuilder<'_>, entry: Block) {
    let [guest, pc, left] = unit_params(b, entry);
    let flags = MemFlags::trusted();
    let out = b.create_block();
    b.set_cold_block(out);
    let mut r = Reader(b);

    let word = r.field::<G>(guest, offset_of!(Scratch, attention));
    let wanted = r.0.ins().atomic_load(I64, flags, word);
    let short = r.0.ins().icmp(IntCC::SignedLessThan, left, wanted);
    let (look, stop) = (r.0.create_block(), r.0.create_block());
    r.0.set_cold_block(stop);
    r.0.ins().brif(short, stop, &[], look, &[]);
    r.0.switch_to_block(look);

    // Which unit was last reached at this address.
    let jumps = r.field::<G>(guest, offset_of!(Scratch, jumps));
    let log = (ENTRIES.ilog2(), size_of::<Entry>().ilog2());
    let jump = r.entry(jumps, pc, 1, log);
    let at = r.load(jump, offset_of!(Entry, pc));
    r.require(at, pc, out);
    let stamp = r.field::<G>(guest, offset_of!(Scratch, stamp));
    let known = r.load(jump, offset_of!(Entry, stamp));
    let (valid, otherwise) = (r.0.create_block(), r.0.create_block());
    r.0.set_cold_block(otherwise);
    let same = r.0.ins().icmp(IntCC::Equal, known, stamp);
    r.0.ins().brif(same, valid, &[], otherwise, &[]);

    // Whether it is valid under another stamp, too.
    r.0.switch_to_block(otherwise);
    let mode = r.0.ins().bxor(known, stamp);
    let mode = r.0.ins().band_imm_s(mode, (1 << STAMP_MODE_BITS) - 1);
    let none = r.0.ins().iconst(I64, 0);
    r.require(mode, none, out);
    let since = r.field::<G>(guest, offset_of!(Scratch, since));
    let cc = IntCC::UnsignedLessThan;
    let changed = r.0.ins().icmp(cc, known, since);
    let go_on = r.0.create_block();
    r.0.ins().brif(changed, out, &[], go_on, &[]);
    r.0.switch_to_block(go_on);
    let tlb = G::LAYOUT.tlb.fetch;
    let table = r.load(guest, tlb.table);
    let fetch = r.entry(table, pc, 12, (tlb.log_entries, tlb.log_entry));
    let page = r.0.ins().band_imm_s(pc, !0xfff);
    let tag = r.load(fetch, tlb.tag);
    r.require(tag, page, out);
    let (leads, led) = (
        r.load(fetch, tlb.page),
        r.load(jump, offset_of!(Entry, page)),
    );
    r.require(leads, led, out);
    let place = offset_of!(Entry, stamp) as i32;
    r.0.ins().store(flags, stamp, jump, place);
    r.0.ins().jump(valid, &[]);

    r.0.switch_to_block(valid);
    let code = r.load(jump, offset_of!(Entry, code));
    let unit = b.import_signature(unit_signature());
    b.ins().return_call_indirect(unit, code, &[guest, pc, left]);

    b.switch_to_block(stop);
    let rest = b.ins().iconst(I64, CALM as i64);
    let handed_back = scratch::<G>(offset_of!(Scratch, handed_back));
    b.ins().store(flags, rest, guest, handed_back);
    b.ins().jump(out, &[]);

    b.switch_to_block(out);
    b.ins().store(flags, pc, guest, G::LAYOUT.pc as i32);
    b.ins().return_(&[left]);
}

/// Instructions left as the last call of Rust gave them.
fn left_by_rust<G: Translate>(b: &mut FunctionBuilder<'_>, guest: Value) -> Value {
    Reader(b).field::<G>(guest, offset_of!(Scratch, value))
}

fn resume<G: Translate>(b: &mut FunctionBuilder<'_>, entry: Block) {
    let [guest, ..] = unit_params(b, entry);
    let left = left_by_rust::<G>(b, guest);
    let pc = Reader(b).load(guest, G::LAYOUT.pc);
    let dispatch = Abi::import(b.func).dispatch;
    b.ins().return_call(dispatch, &[guest, pc, left]);
}

fn bail<G: Translate>(b: &mut FunctionBuilder<'_>, entry: Block) {
    let [guest, ..] = unit_params(b, entry);
    let left = left_by_rust::<G>(b, guest);
    b.ins().return_(&[left]);
}

/// Calls a Rust function with the vCPU.
fn call_rust<G: Translate>(b: &mut FunctionBuilder<'_>, entry: Block, stub: Stub, host: CallConv) {
    let params = b.block_params(entry).to_vec();
    let signature = b.import_signature(signature(host, 1, false));
    let place = offset_of!(Scratch, functions) + stub.function() * size_of::<usize>();
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

/// What a call of Rust is for, in one number that generated code holds as a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purpose {
    /// An access ([`encode`]), or the number of a helper ([`crate::call::LAST`]).
    pub(crate) what: u64,
    /// Instructions of the block executed before this one.
    pub(crate) done: u64,
    /// Offset of the instruction in the page.
    pub(crate) at: u64,
}

impl Purpose {
    const WHAT_BITS: u32 = 12;
    const DONE_BITS: u32 = 7;

    pub(crate) fn encode(self) -> i64 {
        let high = self.at << Self::DONE_BITS | self.done;
        (high << Self::WHAT_BITS | self.what) as i64
    }

    pub(crate) fn decode(bits: u64) -> Self {
        let high = bits >> Self::WHAT_BITS;
        Self {
            what: bits & ((1 << Self::WHAT_BITS) - 1),
            done: high & ((1 << Self::DONE_BITS) - 1),
            at: high >> Self::DONE_BITS,
        }
    }
}

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
    fn purposes_survive_as_numbers() {
        for (what, done, at) in [(0, 0, 0), (4095, 127, 4094), (1, 80, 2)] {
            let purpose = Purpose { what, done, at };
            assert_eq!(Purpose::decode(purpose.encode() as u64), purpose);
        }
    }

    #[test]
    fn stubs_are_numbered_in_order() {
        for (n, stub) in STUBS.into_iter().enumerate() {
            assert_eq!(stub as usize, n);
        }
    }
}
