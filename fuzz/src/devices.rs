//! Everything that a guest, a peer or a file can do to the devices of a board:
//! register accesses, rings in memory, input, completions, saved states.

use isoform_core::Size;

use crate::input::Input;
use crate::rig::{RAM_BASE, Rig};

/// Windows that are worth accesses: base and size.
const WINDOWS: &[(u64, u64)] = &[
    (0x10_0000, 0x1000),
    (0x10_1000, 0x1000),
    (0x200_0000, 0x1_0000),
    (0x2f0_0000, 0x4000),
    (0xc00_0000, 0x60_0000),
    (0x1000_0000, 0x100),
    (0x1000_1000, 0x200),
    (0x1000_2000, 0x200),
    (0x1000_3000, 0x200),
    (0x1000_4000, 0x200),
    (0x1000_5000, 0x200),
    (0x1000_8000, 0x200),
    (0x1010_0000, 0x18),
    (0x2000_0000, 0x4_0000),
    (0x21ff_f000, 0x1000),
    (0x2200_0000, 0x100),
    (0x3000_8000, 0x100),
    (0x4000_0000, 0x4000),
];
const SIZES: [Size; 4] = [Size::B1, Size::B2, Size::B4, Size::B8];

/// Plays `data` as a sequence of operations.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let rig = Rig::new(input.byte() & 1 == 1);
    let saved: Vec<_> = rig
        .board
        .devices
        .iter()
        .map(|d| d.lock().expect("no panic").save())
        .collect();
    for _ in 0..4096 {
        if input.is_empty() {
            break;
        }
        operation(&rig, &mut input, &saved);
    }
    for device in &rig.board.devices {
        let mut device = device.lock().expect("no panic");
        let bytes = device.save();
        device.restore(&bytes).expect("what was just saved");
        assert_eq!(device.save(), bytes, "{}", device.name());
        device.reset();
    }
}

fn operation(rig: &Rig, input: &mut Input<'_>, saved: &[Vec<u8>]) {
    let code = input.byte();
    match code % 10 {
        // Mostly registers.
        0..=4 => {
            let (base, size) = WINDOWS[usize::from(input.byte()) % WINDOWS.len()];
            let width = SIZES[usize::from(code >> 6)];
            let offset = u64::from(u16::from_le_bytes([input.byte(), input.byte()])) * 4 % size;
            let gpa = (base + offset) & !(width.bytes() - 1);
            if code & 32 == 0 {
                let _ = rig.board.bus.read(gpa, width);
            } else {
                let _ = rig.board.bus.write(gpa, width, input.word());
            }
        }
        // Rings and descriptors: near the start of RAM, where registers of small
        // values point.
        5 => {
            let at = RAM_BASE + u64::from(u16::from_le_bytes([input.byte(), input.byte()]));
            let length = usize::from(input.byte());
            let _ = rig.board.ram().write(at, input.bytes(length));
        }
        6 => {
            rig.work();
            rig.board.virtio.cables[0]
                .1
                .lock()
                .expect("no panic")
                .look();
        }
        7 => {
            let well = code & 16 == 0;
            let (id, length) = (u64::from(input.byte()), usize::from(input.byte()) * 8);
            rig.complete(id, input.bytes(length), well);
        }
        8 => {
            let length = usize::from(input.byte());
            let bytes = input.bytes(length);
            rig.board.uart.lock().expect("no panic").receive(bytes);
            let mut console = rig.board.virtio.consoles[0].1.lock().expect("no panic");
            console.receive(u16::from(code >> 4), bytes);
            console.output_room(u16::from(code >> 4));
        }
        _ => {
            let number = usize::from(input.byte()) % saved.len();
            let bytes = input.damaged(&saved[number]);
            let _ = rig.board.devices[number]
                .lock()
                .expect("no panic")
                .restore(&bytes);
        }
    }
}
