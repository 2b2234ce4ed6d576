//! Why a vCPU returned to its run loop.

/// A VM exit: something only the run loop can decide. Guest traps never appear
/// here; the frontend delivers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The instructions granted were executed.
    Budget,
    /// Something is asked of the vCPU.
    Attention,
    /// The vCPU waits for an interrupt. `spurious_ok` when it may also simply
    /// go on after a bounded time (RISC-V `wrs.sto`, `pause`).
    Wait {
        /// May resume without an interrupt.
        spurious_ok: bool,
    },
    /// A call to firmware that Isoform itself answers (SBI, PSCI). The program
    /// counter is past the calling instruction.
    Firmware,
    /// A breakpoint of the debugger or of semihosting.
    Breakpoint,
}
