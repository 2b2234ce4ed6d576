//! The translator: instruction semantics as host code, by Cranelift.
//!
//! Code is interpreted at first. What is executed some times is compiled by the vCPU
//! itself, in microseconds, by templates; what is hot, in the background, by Cranelift. A
//! vCPU never waits for a compiler.
//!
//! * [`Translator`]: one per machine: the code cache and the thread that compiles.
//! * [`Jit`]: one per vCPU: its run loop, its interpreter, its table of jump targets.
//! * `scan`, `region`: what instructions do, and which are translated together.
//! * `warmth`, `queue`: when it is time to, and what comes first.
//! * `baseline`: the first of the two compilers.
//! * `ops`, `access`, `atomic`, `emit`: the vocabulary on CLIF values, and the code around it;
//!   `spans`: accesses that share a look into the soft TLB.
//! * `float`: floating point inline.
//! * `abi`, `call`: how generated code calls and is called.
//! * `target`, `compile`, `object`, `arena`, `link`, `linker`, `code`: from CLIF to published code; `host`:
//!   what of it depends on the host; `pieces`: what of guest memory it was made from. `store`:
//!   code kept between runs. `heap`: memory given back.
//! * [`explain`]: what becomes of a piece of code, for people to read.
//!
//! Generated code does the common case of each instruction: what faults, reaches a
//! device or always traps is left to the interpreter, which executes that instruction
//! from the state of before it. So traps are precise, and equal in both forms.
//!
//! It knows no guest by name. `unsafe` lies where code is written (`arena`), made known to
//! the host (`host`), entered (`enter`) and calls back (`call`); all of it rests on the
//! code being what the two compilers make of the semantics of a guest. A word to the
//! allocator (`heap`) needs it, too.

mod abi;
mod access;
mod arena;
mod atomic;
mod baseline;
mod call;
mod code;
mod compile;
mod emit;
mod exits;
mod explain;
mod float;
mod heap;
mod host;
mod jumps;
mod link;
mod linker;
mod object;
mod ops;
mod pieces;
mod queue;
mod region;
mod run;
mod scan;
mod spans;
mod store;
mod target;
mod translator;
mod warmth;

pub use exits::Exits;
pub use explain::{Clif, Explained, Explanation, Processor, Span, Unit, explain};
pub use run::{Counts, Jit};
#[doc(hidden)]
pub use store::examine;
pub use translator::{Made, Translator, TranslatorError, TranslatorStats};
