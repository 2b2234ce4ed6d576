//! Decoder, disassembler and interpreter on any bytes.

use isoform_core::Requests;
use isoform_interp::Interp;
use isoform_riscv::{Priv, disasm};

use crate::input::Input;
use crate::rig::{RAM_BASE, RAM_SIZE, Rig};

/// Instructions run of each input.
const BUDGET: u64 = 20_000;

/// Runs `data` on a hart whose mode, registers and translation it chooses as well.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let rig = Rig::new(false);
    let mut hart = rig.hart(choice & 4 != 0);
    hart.state.satp = if choice & 8 == 0 {
        0
    } else {
        (8 << 60) | ((RAM_BASE >> 12) + 1)
    };
    hart.state.mstatus |= u64::from(choice >> 4 & 3) << 13;
    hart.state.mtvec = RAM_BASE + u64::from(input.byte()) * 4;
    hart.state.stvec = RAM_BASE + u64::from(input.byte()) * 4;
    for register in 1..32 {
        let value = i64::from(input.byte() as i8) as u64;
        hart.state.x[register] = match register % 3 {
            0 => value,
            1 => RAM_BASE.wrapping_add(value.wrapping_mul(8)),
            _ => value.wrapping_mul(0x0101_0101_0101_0101),
        };
    }
    hart.state.privilege = match choice & 3 {
        0 => Priv::U,
        1 => Priv::S,
        _ => Priv::M,
    };
    hart.refresh();
    let code = input.rest();
    let code = &code[..code.len().min(RAM_SIZE as usize)];
    let _ = rig.board.ram().write(RAM_BASE, code);
    for at in (0..code.len()).step_by(2) {
        let _ = disasm::disassemble(&code[at..], RAM_BASE + at as u64, hart.cpu().ext);
    }
    let mut interp = Interp::new(1 << 20);
    let start = hart.state.icount;
    while hart.state.icount - start < BUDGET {
        let before = hart.state.icount;
        interp.run(&mut hart, BUDGET);
        rig.work();
        // It waits, or asked for something that only a run loop gives.
        if hart.state.icount == before {
            hart.lines().attention().raise(Requests::INTERRUPT);
            break;
        }
    }
}
