//! What a backend needs to know about a guest.

use crate::attention::Attention;
use crate::exit::Exit;
use crate::ops::{AmoOp, FReg, Insn, MemTy, Ops, Order, Reg, Size};

/// A page of guest code, as a backend sees it: where the bytes of the page that
/// holds the program counter are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageId {
    /// Guest-physical address of the page.
    pub gpa: u64,
    /// Changes whenever the page's content may have.
    pub version: u32,
}

/// A vCPU of one guest architecture with its view of the machine: the canonical
/// state, the soft TLB, the bus. Backends are generic over it.
///
/// The state is complete whenever a backend returns: any other backend can go on.
pub trait Guest: Sized + 'static {
    /// An exception to be delivered to the guest.
    type Trap: Copy + std::fmt::Debug;
    /// All that semantics specialise on beside the instruction itself.
    type Mode: Copy + Eq + std::hash::Hash + Send + std::fmt::Debug;

    /// How the architecture is named on the command line.
    const NAME: &'static str;
    /// Bytes between two possible instruction starts: 1, 2 or 4.
    const ALIGN: u64;

    // --- state

    /// Reads an integer register.
    fn reg(&self, r: Reg) -> u64;
    /// Writes an integer register.
    fn set_reg(&mut self, r: Reg, v: u64);
    /// Reads a floating-point register.
    fn freg(&self, r: FReg) -> u64;
    /// Writes a floating-point register.
    fn set_freg(&mut self, r: FReg, v: u64);
    /// The program counter.
    fn pc(&self) -> u64;
    /// Sets the program counter.
    fn set_pc(&mut self, pc: u64);
    /// Counts instructions attempted. Those that trap are counted, too.
    fn advance(&mut self, instructions: u64);
    /// The mode that code runs in now.
    fn mode(&self) -> Self::Mode;
    /// The word that stops this vCPU.
    fn attention(&self) -> &Attention;

    // --- code

    /// Translates the program counter for a fetch: the page it lies in.
    fn fetch_page(&mut self) -> Result<PageId, Self::Trap>;
    /// Copies the content of a code page from an offset on, both it and the length
    /// multiples of 8, having arranged that the page's version changes with the next
    /// write to it. Afterwards the version is the one given back.
    fn read_code(&mut self, page: PageId, offset: u64, bytes: &mut [u8]) -> u32;
    /// Decodes the instruction at the program counter where it does not lie within
    /// one page. Both halves are fetched, and their faults are precise.
    fn fetch_straddling(&mut self) -> Result<Insn, Self::Trap>;
    /// Decodes the instruction at the start of `bytes`; `None` where more bytes are
    /// needed to tell. What is no instruction decodes to one that traps.
    fn decode(&self, bytes: &[u8]) -> Option<Insn>;
    /// Length in bytes.
    fn length(insn: Insn) -> u64;
    /// Gives the instruction its meaning. It is looked at where it lies: of a copy,
    /// all fields would be unpacked, whether the operation needs them or not.
    fn execute<O: Ops<Guest = Self>>(ops: &mut O, insn: &Insn) -> Result<(), O::Exit>;

    // --- memory

    /// Loads from a virtual address, extended as `ty` says, if that needs no more than
    /// the soft TLB.
    fn load_fast(&self, addr: u64, ty: MemTy) -> Option<u64>;
    /// Stores to a virtual address, if that needs no more than the soft TLB.
    fn store_fast(&self, addr: u64, size: Size, value: u64) -> Option<()>;
    /// Loads from a virtual address, extended as `ty` says. Program counter and
    /// instruction count are those of the instruction, here and below.
    fn load(&mut self, addr: u64, ty: MemTy) -> Result<u64, Self::Trap>;
    /// Stores to a virtual address.
    fn store(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Self::Trap>;
    /// See [`Ops::amo`].
    fn amo(
        &mut self,
        op: AmoOp,
        addr: u64,
        size: Size,
        value: u64,
        order: Order,
    ) -> Result<u64, Self::Trap>;
    /// See [`Ops::cas`].
    fn cas(
        &mut self,
        addr: u64,
        size: Size,
        expected: u64,
        new: u64,
        order: Order,
    ) -> Result<u64, Self::Trap>;
    /// See [`Ops::load_reserved`].
    fn load_reserved(&mut self, addr: u64, size: Size, order: Order) -> Result<u64, Self::Trap>;
    /// See [`Ops::store_conditional`].
    fn store_conditional(
        &mut self,
        addr: u64,
        size: Size,
        value: u64,
        order: Order,
    ) -> Result<u64, Self::Trap>;

    // --- events

    /// Whether an instruction just executed asks for the unit to end: a device was
    /// accessed, so that interrupt lines may have changed. Reading clears it.
    fn take_unit_end(&mut self) -> bool;
    /// The VM exit that the instruction just executed asked for, if any.
    fn take_exit(&mut self) -> Option<Exit>;
    /// Delivers a trap: state becomes that of the handler's first instruction.
    fn deliver(&mut self, trap: Self::Trap);
    /// Serves what the attention word asks that concerns the vCPU alone, and takes
    /// an interrupt if one is pending and enabled. Returns what is left for the run
    /// loop.
    fn serve_attention(&mut self) -> Option<Exit>;
}
