//! The data sheet's sentences, one a test, and what drivers do.

use std::sync::Arc;

use isoform_core::{Device, Size};
use proptest::prelude::*;

use super::Uart;
use super::spec::*;
use crate::testing::{TapeSink, Wire, any_access, transfer};

struct Rig {
    uart: Uart,
    irq: Arc<Wire>,
    out: TapeSink,
}

fn rig() -> Rig {
    let (irq, line) = Wire::pair();
    let out = TapeSink::default();
    Rig {
        uart: Uart::new(line, Box::new(out.clone())),
        irq,
        out,
    }
}

impl Rig {
    fn r(&mut self, offset: u64) -> u8 {
        self.uart.read(offset, Size::B1).expect("a register") as u8
    }

    fn w(&mut self, offset: u64, value: u8) {
        self.uart
            .write(offset, Size::B1, u64::from(value))
            .expect("a register");
    }
}

#[test]
fn characters_leave_at_once_and_the_transmitter_is_empty() {
    let mut t = rig();
    for &b in b"isoform" {
        assert_eq!(t.r(LSR), 0x60);
        t.w(RBR_THR_DLL, b);
    }
    assert_eq!(t.out.take(), b"isoform");
}

#[test]
fn a_full_sink_shows_as_a_busy_transmitter_and_nothing_is_lost() {
    let mut t = rig();
    t.w(IIR_FCR, 0x01);
    t.out.tape().room = Some(1);
    t.w(RBR_THR_DLL, b'a');
    t.w(IER_DLM, Ier::ETBEI.bits());
    assert_eq!(t.r(IIR_FCR), 0xc2);
    t.w(RBR_THR_DLL, b'b');
    assert_eq!(t.r(LSR) & 0x60, 0);
    assert_eq!(t.r(IIR_FCR), 0xc1);
    t.out.tape().room = None;
    t.uart.output_room();
    assert!(t.irq.high());
    assert_eq!(t.r(LSR) & 0x60, 0x60);
    assert_eq!(t.out.take(), b"ab");
}

#[test]
fn a_full_transmitter_loses_what_comes_on_top() {
    let mut t = rig();
    t.w(IIR_FCR, 0x01);
    t.out.tape().room = Some(0);
    for b in 0..20 {
        assert_eq!(t.uart.has_room(), b < 16);
        t.w(RBR_THR_DLL, b);
    }
    t.out.tape().room = None;
    t.uart.output_room();
    assert_eq!(t.out.take(), (0..16).collect::<Vec<u8>>());
}

#[test]
fn the_divisor_latch_hides_data_and_interrupt_enable() {
    let mut t = rig();
    t.w(IER_DLM, 0x05);
    t.w(LCR, 0x83);
    t.w(RBR_THR_DLL, 0x34);
    t.w(IER_DLM, 0x12);
    assert_eq!((t.r(RBR_THR_DLL), t.r(IER_DLM)), (0x34, 0x12));
    t.w(LCR, 0x03);
    assert_eq!(t.r(IER_DLM), 0x05);
    assert_eq!(t.out.take(), b"");
}

#[test]
fn a_sender_can_wait_for_a_listener() {
    let mut t = rig();
    t.uart.await_listener();
    t.w(IIR_FCR, 0x07);
    for _ in 0..40 {
        // Sending is not listening.
        t.r(LSR);
        t.w(RBR_THR_DLL, b'x');
    }
    assert!(!t.uart.is_listening());
    t.out.tape().room = Some(0);
    t.w(RBR_THR_DLL, b'x');
    for _ in 0..40 {
        // Neither is waiting for a slow line.
        t.r(LSR);
    }
    assert!(!t.uart.is_listening());
    t.out.tape().room = None;
    t.uart.output_room();
    t.w(IER_DLM, Ier::ERBFI.bits());
    assert!(t.uart.is_listening());
    t.w(IER_DLM, 0);
    (0..20).for_each(|_| {
        t.r(LSR);
    });
    assert!(t.uart.is_listening(), "it polls");
}

#[test]
fn received_data_interrupts_until_it_is_read() {
    let mut t = rig();
    t.w(IER_DLM, Ier::ERBFI.bits());
    assert_eq!(t.uart.receive(b"x"), 1);
    assert!(t.irq.high());
    assert_eq!(t.r(IIR_FCR), 0x04);
    assert_eq!(t.r(LSR) & 1, 1);
    assert_eq!(t.r(RBR_THR_DLL), b'x');
    assert!(!t.irq.high());
    assert_eq!(t.r(IIR_FCR), 0x01);
    assert_eq!(t.r(LSR) & 1, 0);
}

#[test]
fn below_the_trigger_level_the_timeout_is_reported() {
    let mut t = rig();
    for (fcr, level) in [(0x01, 1), (0x41, 4), (0x81, 8), (0xc1, 14)] {
        t.w(IER_DLM, Ier::ERBFI.bits());
        t.w(IIR_FCR, fcr | 2);
        for n in 1..=16 {
            assert_eq!(t.uart.receive(b"a"), 1);
            let expected = if n < level { 0xcc } else { 0xc4 };
            assert_eq!(t.r(IIR_FCR), expected, "{n} bytes, trigger {level}");
            assert!(t.irq.high());
        }
    }
}

#[test]
fn input_beyond_the_fifo_waits_outside_and_is_asked_for() {
    let mut t = rig();
    assert_eq!(t.uart.receive(b"ab"), 1, "one without FIFOs");
    t.w(IIR_FCR, 0x01);
    assert_eq!(t.out.tape().input_rooms, 1, "clearing made room");
    assert_eq!(t.uart.receive(&[7; 40]), 16);
    for _ in 0..15 {
        t.r(RBR_THR_DLL);
    }
    assert_eq!(t.out.tape().input_rooms, 1);
    t.r(RBR_THR_DLL);
    assert_eq!(t.out.tape().input_rooms, 2);
    assert_eq!(t.r(LSR) & 2, 0, "no overrun");
}

#[test]
fn reading_iir_clears_thre_only_when_it_is_the_source_reported() {
    let mut t = rig();
    t.w(IER_DLM, (Ier::ETBEI | Ier::ERBFI).bits());
    t.uart.receive(b"x");
    assert_eq!(t.r(IIR_FCR), 0x04);
    t.r(RBR_THR_DLL);
    assert!(t.irq.high());
    assert_eq!(t.r(IIR_FCR), 0x02);
    assert!(!t.irq.high());
    t.w(RBR_THR_DLL, b'y');
    assert_eq!(t.r(IIR_FCR), 0x02, "sent: empty again");
}

#[test]
fn enabling_the_thre_interrupt_raises_it() {
    // What the Linux driver probes for as a bug where it is missing.
    let mut t = rig();
    for _ in 0..3 {
        t.w(IER_DLM, 0);
        t.w(IER_DLM, Ier::ETBEI.bits());
        assert!(t.irq.high());
        assert_eq!(t.r(IIR_FCR), 0x02);
        assert_eq!(t.r(IIR_FCR), 0x01);
    }
}

#[test]
fn loopback_connects_outputs_to_inputs() {
    let mut t = rig();
    assert_eq!(t.r(MSR), 0xb0, "a peer is there");
    t.w(MCR, 0x10 | 0x0a);
    assert_eq!(t.r(MSR) & 0xf0, 0x90, "the probe of the 8250 driver");
    for (mcr, msr) in [(1, 0x20), (2, 0x10), (4, 0x40), (8, 0x80)] {
        t.w(MCR, 0x10 | mcr);
        assert_eq!(t.r(MSR) & 0xf0, msr);
    }
    t.w(RBR_THR_DLL, b'L');
    assert_eq!(t.r(RBR_THR_DLL), b'L');
    assert_eq!(t.out.take(), b"", "nothing leaves");
    assert_eq!(t.uart.receive(b"z"), 0, "nothing comes in");
    t.w(MCR, 0);
    assert_eq!(t.out.tape().input_rooms, 1);
}

#[test]
fn modem_deltas_interrupt_and_clear_on_read() {
    let mut t = rig();
    t.w(MCR, 0x10);
    t.r(MSR);
    t.w(IER_DLM, Ier::EDSSI.bits());
    assert!(!t.irq.high());
    t.w(MCR, 0x10 | 0x02);
    assert_eq!(t.r(IIR_FCR), 0x00);
    assert_eq!(t.r(MSR), 0x11);
    assert!(!t.irq.high());
    t.w(MCR, 0x10 | 0x04);
    assert_eq!(t.r(MSR), 0x41, "RI rising is no event; CTS fell");
    t.w(MCR, 0x10);
    assert_eq!(t.r(MSR), 0x04, "RI falling is");
}

#[test]
fn an_overrun_in_loopback_is_a_line_status_interrupt_of_the_highest_priority() {
    let mut t = rig();
    t.w(IER_DLM, 0x0f);
    t.w(MCR, 0x10);
    t.w(RBR_THR_DLL, 1);
    t.w(RBR_THR_DLL, 2);
    assert_eq!(t.r(IIR_FCR), 0x06);
    assert_eq!(t.r(LSR) & 3, 3);
    assert_eq!(t.r(LSR) & 3, 1);
    assert_eq!(t.r(IIR_FCR), 0x04);
    assert_eq!(t.r(RBR_THR_DLL), 1);
}

#[test]
fn it_is_recognised_as_a_16550a() {
    let mut t = rig();
    t.w(IER_DLM, 0);
    assert_eq!(t.r(IER_DLM), 0);
    t.w(IER_DLM, 0xff);
    assert_eq!(t.r(IER_DLM), 0x0f);
    t.w(SCR, 0xa5);
    assert_eq!(t.r(SCR), 0xa5);
    t.w(IER_DLM, 0);
    assert_eq!(t.r(IIR_FCR) >> 6, 0);
    t.w(IIR_FCR, 0x01);
    assert_eq!(t.r(IIR_FCR) >> 6, 3);
    // With DLAB the FIFO is no deeper and no enhanced register appears.
    t.w(LCR, 0xbf);
    t.w(IIR_FCR, 0x21);
    assert_eq!(t.r(IIR_FCR), 0xc1);
}

#[test]
fn fifo_control_counts_only_with_its_enable_bit() {
    let mut t = rig();
    t.w(IIR_FCR, 0x01);
    t.uart.receive(b"abc");
    t.w(IIR_FCR, 0xc0 | 0x02);
    assert_eq!(t.r(IIR_FCR) >> 6, 0, "FIFOs off");
    assert_eq!(t.r(LSR) & 1, 0, "and cleared");
}

#[test]
fn beyond_the_eight_registers_nobody_answers() {
    let mut t = rig();
    assert!(t.uart.read(8, Size::B1).is_err());
    assert!(t.uart.write(0xff, Size::B1, 0).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Access(crate::testing::Access),
    Receive(Vec<u8>),
    Room(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any_access(10).prop_map(Step::Access),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Receive),
        1 => (0..20usize).prop_map(Step::Room),
    ];
    prop::collection::vec(step, 0..60)
}

fn run(t: &mut Rig, steps: &[Step]) -> Vec<String> {
    let mut seen = Vec::new();
    for step in steps {
        match step {
            Step::Access(a) => seen.push(format!("{:?}", a.run(&mut t.uart))),
            Step::Receive(bytes) => seen.push(format!("{}", t.uart.receive(bytes))),
            Step::Room(n) => {
                t.out.tape().room = Some(*n);
                t.uart.output_room();
            }
        }
        seen.push(format!("{}", t.irq.high()));
    }
    seen
}

proptest! {
    #[test]
    fn a_restored_port_behaves_as_the_saved_one(before in steps(), after in steps()) {
        let (mut a, mut b) = (rig(), rig());
        run(&mut a, &before);
        transfer(&a.uart, &mut b.uart);
        prop_assert_eq!(a.irq.high(), b.irq.high());
        let room = a.out.tape().room;
        b.out.tape().room = room;
        a.out.take();
        prop_assert_eq!(run(&mut a, &after), run(&mut b, &after));
        prop_assert_eq!(a.out.take(), b.out.take());
        prop_assert!(a.uart.rx.len() <= FIFO_DEPTH && a.uart.tx.len() <= FIFO_DEPTH);
    }

    #[test]
    fn damaged_state_is_refused_or_harmless(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut t = rig();
        let mut versioned = vec![1];
        versioned.extend(bytes);
        let _ = t.uart.restore(&versioned);
        for offset in 0..8 {
            t.r(offset);
        }
    }
}
