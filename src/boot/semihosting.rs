//! Semihosting: calls of bare-metal programs to the one who debugs or emulates them
//! (Arm "Semihosting for AArch32 and AArch64", and the RISC-V specification that
//! takes its operations over).
//!
//! Offered to programs that start in M mode without firmware. Of the host they reach
//! the console and the exit status: there is no way to its files.

use super::sbi::Machine;
use isoform_core::Size;
use isoform_riscv::Hart;

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Go on behind the call.
    Continue,
    /// The program ends with this code.
    Exit(u32),
}

/// Operation numbers.
mod sys {
    pub(super) const OPEN: u64 = 0x01;
    pub(super) const CLOSE: u64 = 0x02;
    pub(super) const WRITEC: u64 = 0x03;
    pub(super) const WRITE0: u64 = 0x04;
    pub(super) const WRITE: u64 = 0x05;
    pub(super) const READC: u64 = 0x07;
    pub(super) const ISTTY: u64 = 0x09;
    pub(super) const EXIT: u64 = 0x18;
    pub(super) const EXIT_EXTENDED: u64 = 0x20;
}

/// `ADP_Stopped_ApplicationExit`: the only reason whose subcode counts.
const APPLICATION_EXIT: u64 = 0x2_0026;
/// What fails gives -1.
const FAILED: u64 = u64::MAX;
/// The handle of the console; every open gives it.
const CONSOLE: u64 = 1;
/// Bytes that one call writes at most.
const WRITE_MAX: u64 = 64 << 10;

const A0: usize = 10;

/// Answers the call that `hart` has just made: operation in a0, argument in a1.
pub fn call(hart: &mut Hart, machine: &dyn Machine) -> After {
    let (operation, argument) = (hart.state.x[A0], hart.state.x[A0 + 1]);
    let answer = match operation {
        sys::EXIT | sys::EXIT_EXTENDED => return exit(hart, argument),
        sys::WRITEC => print(hart, machine, argument, 1),
        sys::WRITE0 => print_string(hart, machine, argument),
        sys::WRITE => write(hart, machine, argument),
        sys::READC => {
            let mut byte = [0];
            match machine.console_read(&mut byte) {
                1 => byte[0].into(),
                _ => FAILED,
            }
        }
        sys::OPEN if opens_console(hart, argument) => CONSOLE,
        sys::CLOSE => 0,
        sys::ISTTY => 1,
        _ => FAILED,
    };
    hart.state.x[A0] = answer;
    After::Continue
}

/// A word of the argument block.
fn word(hart: &Hart, block: u64, n: u64) -> Option<u64> {
    let gpa = hart.debug_translate(block.checked_add(8 * n)?)?;
    hart.load_memory(gpa, Size::B8)
}

fn byte(hart: &Hart, va: u64) -> Option<u8> {
    hart.load_memory(hart.debug_translate(va)?, Size::B1)
        .map(|b| b as u8)
}

/// Any other reason than a program's own end is an error.
fn exit(hart: &Hart, block: u64) -> After {
    let code = match (word(hart, block, 0), word(hart, block, 1)) {
        (Some(APPLICATION_EXIT), Some(code)) => u32::try_from(code).unwrap_or(u32::MAX),
        _ => 1,
    };
    After::Exit(code)
}

/// Prints bytes of guest memory; 0, or -1 where they cannot be read.
fn print(hart: &Hart, machine: &dyn Machine, at: u64, len: u64) -> u64 {
    let bytes: Option<Vec<u8>> = (0..len).map(|n| byte(hart, at.checked_add(n)?)).collect();
    match bytes {
        Some(bytes) => {
            machine.console_print(&bytes);
            0
        }
        None => FAILED,
    }
}

/// Prints up to a NUL.
fn print_string(hart: &Hart, machine: &dyn Machine, at: u64) -> u64 {
    let bytes = (0..WRITE_MAX).map_while(|n| byte(hart, at.checked_add(n)?).filter(|b| *b != 0));
    machine.console_print(&bytes.collect::<Vec<_>>());
    0
}

/// Handle, address, length; the number of bytes not written.
fn write(hart: &Hart, machine: &dyn Machine, block: u64) -> u64 {
    let (Some(at), Some(len)) = (word(hart, block, 1), word(hart, block, 2)) else {
        return FAILED;
    };
    let now = len.min(WRITE_MAX);
    if print(hart, machine, at, now) == 0 {
        len - now
    } else {
        len
    }
}

/// `:tt` is the console's name.
fn opens_console(hart: &Hart, block: u64) -> bool {
    let name = word(hart, block, 0);
    name.is_some_and(|at| {
        (0..3)
            .map_while(|n| byte(hart, at.checked_add(n)?))
            .eq(*b":tt")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::sbi::{HartStatus, Reset};
    use isoform_core::{Exit, Requests};
    use isoform_memory::{Bus, Ram};
    use isoform_riscv::{Cpu, Wiring};
    use std::sync::{Arc, Mutex};

    const BASE: u64 = 0x8000_0000;

    /// Hears what is printed; types `k`.
    #[derive(Default)]
    struct Tape(Mutex<Vec<u8>>);
    impl Machine for Tape {
        fn harts(&self) -> usize {
            1
        }
        fn status(&self, _: usize) -> HartStatus {
            HartStatus::Started
        }
        fn start(&self, _: usize, _: u64, _: u64) -> bool {
            false
        }
        fn interrupt(&self, _: usize) {}
        fn fence(&self, _: &[usize], _: Requests) {}
        fn console_write(&self, _: &[u8]) -> usize {
            0
        }
        fn console_print(&self, bytes: &[u8]) {
            self.0.lock().expect("not poisoned").extend(bytes);
        }
        fn console_read(&self, bytes: &mut [u8]) -> usize {
            bytes[0] = b'k';
            1
        }
        fn reset(&self, _: Reset) {}
    }

    fn hart() -> Hart {
        let bus = Bus::new(Arc::new(Ram::new(BASE, 0x2000).expect("8 KiB")));
        let wiring = Wiring::alone(bus);
        Hart::new(0, Cpu::default(), BASE, wiring)
    }

    fn ask(hart: &mut Hart, tape: &Tape, operation: u64, argument: u64) -> (After, u64) {
        (hart.state.x[A0], hart.state.x[A0 + 1]) = (operation, argument);
        let after = call(hart, tape);
        (after, hart.state.x[A0])
    }

    fn block(hart: &Hart, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        hart.ram().write(BASE + 0x100, &bytes).expect("in RAM");
        BASE + 0x100
    }

    #[test]
    fn an_ebreak_between_its_marks_is_a_call_and_another_traps() {
        let mut h = hart();
        let code = [0x01f0_1013_u32, 0x0010_0073, 0x4070_5013, 0x0010_0073];
        let bytes: Vec<u8> = code.iter().flat_map(|w| w.to_le_bytes()).collect();
        h.ram().write(BASE, &bytes).expect("in RAM");
        h.offer_semihosting(true);
        let mut interp = isoform_interp::Interp::new(1 << 20);
        assert_eq!(interp.run(&mut h, 100), Exit::Breakpoint);
        assert_eq!(h.state.pc, BASE + 8);
        h.state.mtvec = BASE + 0x1000;
        assert_eq!(interp.run(&mut h, 2), Exit::Budget);
        assert_eq!((h.state.mcause, h.state.mepc), (3, BASE + 12));
        h.state.pc = BASE;
        h.offer_semihosting(false);
        assert_eq!(interp.run(&mut h, 2), Exit::Budget);
        assert_eq!((h.state.mcause, h.state.mepc), (3, BASE + 4));
    }

    #[test]
    fn programs_print_and_end() {
        let (mut h, tape) = (hart(), Tape::default());
        h.ram().write(BASE + 0x200, b":tt\0one\0").expect("in RAM");
        let open = block(&h, &[BASE + 0x200, 4, 3]);
        assert_eq!(
            ask(&mut h, &tape, sys::OPEN, open),
            (After::Continue, CONSOLE)
        );
        ask(&mut h, &tape, sys::WRITE0, BASE + 0x204);
        let write = block(&h, &[CONSOLE, BASE + 0x200, 3]);
        assert_eq!(ask(&mut h, &tape, sys::WRITE, write), (After::Continue, 0));
        assert_eq!(tape.0.lock().expect("not poisoned").as_slice(), b"one:tt");
        assert_eq!(ask(&mut h, &tape, sys::READC, 0).1, u64::from(b'k'));
        let end = block(&h, &[APPLICATION_EXIT, 42]);
        assert_eq!(ask(&mut h, &tape, sys::EXIT, end).0, After::Exit(42));
        let fault = block(&h, &[0x2_0023, 0]);
        assert_eq!(
            ask(&mut h, &tape, sys::EXIT_EXTENDED, fault).0,
            After::Exit(1)
        );
    }

    #[test]
    fn wild_arguments_fail() {
        let (mut h, tape) = (hart(), Tape::default());
        for operation in 0..0x40 {
            for argument in [0, u64::MAX, BASE + 0x1ffc, u64::MAX - 7] {
                ask(&mut h, &tape, operation, argument);
            }
        }
        let long = block(&h, &[CONSOLE, BASE, u64::MAX]);
        assert_eq!(ask(&mut h, &tape, sys::WRITE, long).1, u64::MAX);
    }
}
