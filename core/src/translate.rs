//! What a translator needs to know of a vCPU beside what every backend does: where
//! its state lies in memory, so that generated code reads and writes it in place.
//!
//! Generated code reaches everything through one pointer, that to the vCPU. It makes
//! ordinary accesses to RAM through the soft TLB by itself; whatever else an
//! instruction may need, a device access or a fault among it, it leaves to the
//! interpreter, which executes that instruction anew from a complete state.

use crate::float::FloatLayout;
use crate::guest::{Guest, PageId};
use crate::ops::{AmoOp, Helper, MemTy, Order, Size};

/// Offsets in bytes from the vCPU's address.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Integer registers: 32 words of 64 bits. Register 0 reads as zero.
    pub regs: usize,
    /// Floating-point registers: 32 words of 64 bits.
    pub fregs: usize,
    /// A word of 64 bits, and the bits that become one in it when a floating-point
    /// register is written.
    pub fregs_written: (usize, u64),
    /// What floating-point operations depend on. [`Ops::boxed`](crate::Ops::boxed) says
    /// how narrower values stand in registers.
    pub float: FloatLayout,
    /// The program counter.
    pub pc: usize,
    /// The [`Scratch`].
    pub scratch: usize,
    /// The load reservation.
    pub reservation: ReservationLayout,
    /// The soft TLB's current table.
    pub tlb: TlbLayout,
}

/// What a load reservation consists of: offsets from the vCPU's address.
#[derive(Clone, Copy, Debug)]
pub struct ReservationLayout {
    /// A byte: 1 where there is one.
    pub valid: usize,
    /// A byte: its size in bytes.
    pub size: usize,
    /// A word of 64 bits: its virtual address.
    pub addr: usize,
    /// A word of 64 bits: the value loaded, zero-extended.
    pub value: usize,
}

/// A direct-mapped soft TLB of 4 KiB pages. An access hits where all of its bytes lie in
/// the page whose address is the tag; a tag whose own entry is another one never does.
#[derive(Clone, Copy, Debug)]
pub struct TlbLayout {
    /// Offset from the vCPU's address to the pointer to the table.
    pub table: usize,
    /// log2 of the number of entries.
    pub log_entries: u32,
    /// log2 of the size of an entry in bytes.
    pub log_entry: u32,
    /// In an entry: the tag for loads.
    pub read: usize,
    /// In an entry: the tag for stores.
    pub write: usize,
    /// In an entry: what to add to the address to get the host's.
    pub addend: usize,
    /// The table for fetches.
    pub fetch: FetchLayout,
}

/// A direct-mapped soft TLB for fetches.
#[derive(Clone, Copy, Debug)]
pub struct FetchLayout {
    /// Offset from the vCPU's address to the pointer to the table.
    pub table: usize,
    /// log2 of the number of entries.
    pub log_entries: u32,
    /// log2 of the size of an entry in bytes.
    pub log_entry: u32,
    /// In an entry: the virtual page that it is for.
    pub tag: usize,
    /// In an entry: a word that stands for where that page leads.
    pub page: usize,
}

/// Functions that generated code calls by their place in [`Scratch::functions`].
pub const FUNCTIONS: usize = 3;

/// Low bits of [`Translate::code_stamp`] that tell the mode.
pub const STAMP_MODE_BITS: u32 = 4;

/// Accesses of a unit that have a [`Site`], at most.
pub const SITES: usize = 16;

/// Where an access of generated code went last.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Site {
    /// The page.
    pub page: u64,
    /// The host's address of it.
    pub host: u64,
    /// How large an offset in it may be, by one more; 0 where there is no page.
    pub room: u64,
}

/// What generated code keeps beside the canonical state: nothing that outlives a run of
/// it but how it was left, and nothing that the guest can see.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Scratch {
    /// Address of the attention word.
    pub attention: usize,
    /// [`Translate::code_stamp`], and [`Translate::code_since`]; both all ones where no
    /// other unit is to be entered.
    pub stamp: u64,
    /// See [`Scratch::stamp`].
    pub since: u64,
    /// Address of the vCPU's table of jump targets.
    pub jumps: usize,
    /// Addresses of functions of the backend's.
    pub functions: [usize; FUNCTIONS],
    /// Of a call: where the unit was entered. Nothing but the vCPU is passed in registers,
    /// so that calls in cold code do not have the hot code make room.
    pub entry: u64,
    /// Instructions that were left before the block that calls.
    pub left: u64,
    /// What the call is for.
    pub purpose: u64,
    /// Its arguments.
    pub args: [u64; 4],
    /// What a call gave; where it gave nothing, the instructions left.
    pub value: u64,
    /// Not 0 where a call gave nothing.
    pub status: u64,
    /// Instructions that the interpreter is to execute before generated code is entered
    /// again, at most.
    pub handed_back: u64,
    /// Not 0 where the unit that was entered at `entry` was left because accesses that
    /// share a look into the soft TLB do not lie in one page.
    pub crossed: u64,
    /// Address of the vCPU's counts of how often blocks were entered: words of 32 bits that
    /// are counted down.
    pub counts: usize,
    /// Where not 0, the block that is to be entered was so often that there should be better
    /// code for it; one more than the place of its count.
    pub hot: u64,
    /// Instructions left when the state's count was last brought up to date.
    pub told: u64,
    /// For the unit that runs, which empties those that it uses first.
    pub sites: [Site; SITES],
}

/// An access to memory that needs more than a hit in the soft TLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemOp {
    /// See [`crate::Ops::load`].
    Load(MemTy),
    /// See [`crate::Ops::store`].
    Store(Size),
    /// See [`crate::Ops::amo`].
    Amo(AmoOp, Size, Order),
    /// See [`crate::Ops::cas`].
    Cas(Size, Order),
    /// See [`crate::Ops::load_reserved`].
    LoadReserved(Size, Order),
    /// See [`crate::Ops::store_conditional`].
    StoreConditional(Size, Order),
}

/// A guest that can be translated.
pub trait Translate: Guest {
    /// Where things are.
    const LAYOUT: Layout;

    /// All helpers that semantics call, each once. Generated code names them by their
    /// places, which are the same in every run of one build.
    const HELPERS: &'static [&'static Helper<Self>];

    /// The place for what generated code keeps.
    fn scratch(&mut self) -> &mut Scratch;

    /// A number that stands for what decides which code is at a virtual address and what it
    /// means: where the table for fetches leads, the content of code pages as of the last
    /// instruction fence, and the mode, which its low [`STAMP_MODE_BITS`] tell alone. While
    /// it is the same, so is the code at each address that was executed. Never all ones.
    fn code_stamp(&self) -> u64;

    /// The least stamp since code pages changed as of the last instruction fence: whatever
    /// page the table for fetches leads to has the content that it had at any stamp from
    /// this on. Never 0, which is the stamp of no unit.
    fn code_since(&self) -> u64;

    /// The word in the table for fetches that stands for where the page of the program
    /// counter leads; `None` where the table does not hold it.
    fn fetch_word(&self) -> Option<u64>;

    /// Whether [`Guest::take_exit`] would give an exit.
    fn exits(&self) -> bool;

    /// Whether no other vCPU can write unseen to a page that was read as code before
    /// ([`Guest::read_code`]).
    fn code_settled(&self, page: PageId) -> bool;

    /// Does an access if all of it goes to RAM and nothing faults; otherwise changes
    /// nothing that the guest can see, and the interpreter is to execute the
    /// instruction. `a` and `b` are the operands in the order of the vocabulary's.
    fn access_ram(&mut self, op: MemOp, addr: u64, a: u64, b: u64) -> Option<u64>;
}

/// The form that code runs in before it is translated.
pub trait Cold<G: Guest> {
    /// Runs at most `limit` instructions (1 or more), fewer where the code comes to a
    /// place at which it may have come round: after a jump back or to a computed
    /// address. Gives how many were attempted. The attention word and
    /// [`Guest::take_exit`] are the caller's to look at.
    fn piece(&mut self, guest: &mut G, limit: u64) -> u64;
}
