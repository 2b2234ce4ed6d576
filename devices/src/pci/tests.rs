//! The bus, by the sentences of PCI Local Bus 3.0 and PCI Express 5.0, with a function
//! that has everything.

use std::sync::{Arc, Mutex, PoisonError};

use isoform_core::{BusFault, Device, IrqLine, IrqSink, MsiSink, RestoreError, Saved, Size};
use isoform_memory::{Bus, Ram};
use proptest::prelude::*;

use super::spec::{Command, capability, header};
use super::*;
use crate::testing::{Wire, transfer};

const ECAM: u64 = 0x3000_0000;
const LOW: u64 = 0x4000_0000;
const HIGH: u64 = 0x4_0000_0000;
const PORTS: u64 = 0x300_0000;
const ONES: u64 = 0xffff_ffff;

/// Messages as they arrived.
#[derive(Default)]
struct Mail(Mutex<Vec<(u64, u32)>>);

impl Mail {
    fn take(&self) -> Vec<(u64, u32)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl MsiSink for Mail {
    fn send(&self, address: u64, data: u32) {
        let mut mail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mail.push((address, data));
    }
}

/// A function with 4 KiB of scratch memory of 32 bits in BAR 0, and 64 KiB of 64 bits in
/// BAR 2, of which every word reads the offset xor what was last written. BAR 1 has
/// MSI-X with three vectors.
struct Scratch {
    endpoint: Endpoint,
    last: u64,
}

impl Scratch {
    fn new(irq: IrqLine, sink: Option<Arc<dyn MsiSink>>) -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x1234,
            device: 0x5678,
            revision: 9,
            class: 0xff_0102,
            subsystem_vendor: 0xabcd,
            subsystem: 0xef01,
        });
        config.add_bar(0, 0x1000, BarKind::Memory32);
        config.add_bar(2, 0x1_0000, BarKind::Prefetchable64);
        let mut endpoint = Endpoint::new(config, irq);
        if let Some(sink) = sink {
            endpoint.add_msix(1, 3, sink);
        }
        Self { endpoint, last: 0 }
    }
}

impl Function for Scratch {
    fn regions(&self) -> Vec<Arc<Region>> {
        self.endpoint.regions()
    }
}

impl Device for Scratch {
    fn name(&self) -> &'static str {
        Self::NAME
    }
    fn read(&mut self, offset: u64, size: Size) -> Result<u64, BusFault> {
        Ok(match Place::from(offset) {
            Place::Config(at) => self.endpoint.config().read(at, size),
            Place::Bar { bar, offset } => self
                .endpoint
                .read_bar(bar, offset, size)
                .unwrap_or(self.last ^ offset),
        })
    }
    fn write(&mut self, offset: u64, size: Size, value: u64) -> Result<(), BusFault> {
        match Place::from(offset) {
            Place::Config(at) => {
                if self.endpoint.write_config(at, size, value) {
                    self.reset();
                }
            }
            Place::Bar { bar: 1, offset } => self.endpoint.write_bar(1, offset, size, value),
            Place::Bar { .. } => self.last = value,
        }
        Ok(())
    }
    fn reset(&mut self) {
        self.last = 0;
        self.endpoint.reset();
    }
    fn save(&self) -> Vec<u8> {
        self.save_bytes()
    }
    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.reset();
        self.restore_bytes(bytes)
    }
}

impl Saved for Scratch {
    type State = (EndpointState, u64);
    const NAME: &'static str = "scratch";
    const VERSION: u16 = 1;
    fn state(&self) -> Self::State {
        (self.endpoint.state(), self.last)
    }
    fn set_state(&mut self, (endpoint, last): Self::State) -> Result<(), RestoreError> {
        self.last = last;
        self.endpoint.set_state(Self::NAME, endpoint)
    }
}

/// A machine: RAM, the bridge, and scratch functions in slots 1, 2 and 31.
struct Rig {
    bus: Bus,
    lines: [Arc<Wire>; 4],
    mail: Arc<Mail>,
    functions: Vec<Arc<Mutex<Scratch>>>,
}

const SLOTS: [u8; 3] = [1, 2, 31];

fn rig() -> Rig {
    let pairs: [_; 4] = std::array::from_fn(|_| Wire::pair());
    let lines = pairs.each_ref().map(|(wire, _)| wire.clone());
    let intx = Intx::new(pairs.map(|(_, line)| line));
    let mail = Arc::new(Mail::default());
    let mut root = Root::default();
    root.attach(0, Arc::new(Mutex::new(HostBridge::default())))
        .expect("free");
    let functions: Vec<_> = SLOTS
        .iter()
        .map(|&slot| {
            let sink: Arc<dyn MsiSink> = mail.clone();
            let scratch = Arc::new(Mutex::new(Scratch::new(intx.pin_a(slot), Some(sink))));
            root.attach(slot, scratch.clone()).expect("free");
            scratch
        })
        .collect();
    let again = functions[0].clone();
    assert_eq!(root.attach(2, again.clone()), Err(SlotError::Taken));
    assert_eq!(root.attach(32, again), Err(SlotError::NoSuchSlot));
    let root = Arc::new(root);
    let ram = Arc::new(Ram::new(0x8000_0000, 0x1_0000).expect("64 KiB"));
    let mut bus = Bus::new(ram);
    for (base, size, router) in [
        (ECAM, 0x1000_0000, root.ecam()),
        (LOW, 0x4000_0000, root.memory(LOW)),
        (HIGH, 0x4_0000_0000, root.memory(HIGH)),
        (PORTS, 0x1_0000, root.ports()),
    ] {
        bus.map_shared("pci", base, size, router).expect("free");
    }
    Rig {
        bus,
        lines,
        mail,
        functions,
    }
}

impl Rig {
    fn r(&self, gpa: u64, size: Size) -> u64 {
        self.bus.read(gpa, size).expect("windows never fault")
    }

    fn w(&self, gpa: u64, size: Size, value: u64) {
        self.bus
            .write(gpa, size, value)
            .expect("windows never fault");
    }

    fn scratch<T>(&self, n: usize, f: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = self.functions[n]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        f(&mut scratch)
    }

    fn bar(&self, slot: u8, bar: usize, address: u32) {
        let at = config(slot, header::BAR0 + 4 * bar);
        self.w(at, Size::B4, address.into());
    }

    fn command(&self, slot: u8, command: Command) {
        let at = config(slot, header::COMMAND);
        self.w(at, Size::B2, command.bits().into());
    }

    /// Offset of a capability.
    fn capability(&self, slot: u8, id: u8) -> Option<usize> {
        let mut at = self.r(config(slot, header::CAPABILITIES), Size::B1) as usize;
        for _ in 0..48 {
            if at == 0 {
                return None;
            }
            if self.r(config(slot, at), Size::B1) == u64::from(id) {
                return Some(at);
            }
            at = self.r(config(slot, at + 1), Size::B1) as usize;
        }
        panic!("capabilities go in circles");
    }
}

/// ECAM's address of a register.
fn config(slot: u8, offset: usize) -> u64 {
    ECAM + u64::from(slot) * 0x8000 + offset as u64
}

const MEMORY: Command = Command::MEMORY;

#[test]
fn functions_say_who_they_are_and_absent_ones_are_ones() {
    let t = rig();
    assert_eq!(t.r(ECAM, Size::B4), 0x0008_1b36);
    assert_eq!(t.r(ECAM + 8, Size::B4), 0x0600_0000);
    let at = config(31, 0);
    assert_eq!(t.r(at, Size::B2), 0x1234);
    assert_eq!(t.r(at + 2, Size::B2), 0x5678);
    assert_eq!(t.r(at + 8, Size::B4), 0xff01_0209);
    assert_eq!(t.r(at + 0xb, Size::B1), 0xff);
    assert_eq!(t.r(at + 0x2c, Size::B4), 0xef01_abcd);
    assert_eq!(t.r(at + 0x3d, Size::B1), 1, "INTA#");
    assert_eq!(t.r(at + 0x0e, Size::B1), 0, "one function, type 0");
    // Other slots, other functions, other buses; and eight bytes at once.
    for at in [config(3, 0), config(1, 0x1000), ECAM + 0x10_8000] {
        assert_eq!(t.r(at, Size::B4), ONES);
        assert_eq!(t.r(at, Size::B1), 0xff);
        t.w(at, Size::B4, 0);
    }
    assert_eq!(t.r(at, Size::B8), u64::MAX);
    // No extended capabilities.
    assert_eq!(t.r(at + 0x100, Size::B4), 0);
    assert_eq!(t.r(at + 0xffc, Size::B4), 0);
}

#[test]
fn only_what_can_be_written_changes() {
    let t = rig();
    let before: Vec<u64> = (0..64).map(|n| t.r(config(1, 4 * n), Size::B4)).collect();
    for n in 0..1024 {
        t.w(config(1, 4 * n), Size::B4, ONES);
    }
    let changed: Vec<usize> = (0..64)
        .filter(|&n| t.r(config(1, 4 * n), Size::B4) != before[n])
        .map(|n| 4 * n)
        .collect();
    let msix = t.capability(1, capability::MSIX).expect("it has MSI-X");
    let reset = t.capability(1, capability::ADVANCED_FEATURES);
    assert_eq!(reset, Some(0x40));
    // Writing ones over the reset's control undid all that came before it.
    assert_eq!(changed, [msix]);
    for n in (0..0x40).step_by(4) {
        t.w(config(1, n), Size::B4, ONES);
    }
    let changed: Vec<usize> = (0..64)
        .filter(|&n| t.r(config(1, 4 * n), Size::B4) != before[n])
        .map(|n| 4 * n)
        .collect();
    assert_eq!(changed, [0x04, 0x0c, 0x10, 0x14, 0x18, 0x1c, 0x3c, msix]);
    assert_eq!(
        t.r(config(1, 4), Size::B2),
        u64::from(Command::all().bits())
    );
}

#[test]
fn registers_tell_their_size() {
    let t = rig();
    for bar in 0..6 {
        t.bar(1, bar, u32::MAX);
    }
    let sizes: Vec<u64> = (0..6)
        .map(|bar| t.r(config(1, header::BAR0 + 4 * bar), Size::B4))
        .collect();
    assert_eq!(
        sizes,
        [0xffff_f000, 0xffff_f000, 0xffff_000c, 0xffff_ffff, 0, 0]
    );
    // By bytes as well.
    t.w(config(2, header::BAR0 + 3), Size::B1, 0x41);
    t.w(config(2, header::BAR0), Size::B1, 0xff);
    assert_eq!(t.r(config(2, header::BAR0), Size::B4), 0x4100_0000);
}

#[test]
fn a_region_answers_where_it_is_and_only_while_it_may() {
    let t = rig();
    t.bar(1, 0, LOW as u32 + 0x5000);
    assert_eq!(t.r(LOW + 0x5008, Size::B4), ONES, "not enabled");
    t.command(1, MEMORY);
    assert_eq!(t.r(LOW + 0x5008, Size::B4), 8);
    t.w(LOW + 0x5000, Size::B8, 0x100);
    assert_eq!(t.r(LOW + 0x5ff8, Size::B8), 0xef8);
    assert_eq!(t.r(LOW + 0x6000, Size::B4), ONES);
    assert_eq!(t.r(LOW + 0x4ffc, Size::B4), ONES);
    // Moved while enabled.
    t.bar(1, 0, LOW as u32);
    assert_eq!(t.r(LOW + 0x5008, Size::B4), ONES);
    assert_eq!(t.r(LOW + 8, Size::B4), 0x108);
    // Up, half by half.
    t.bar(1, 2, 0x1_0000);
    t.bar(1, 3, 4);
    assert_eq!(t.r(HIGH + 0x1_0010, Size::B1), 0x10);
    assert_eq!(t.r(HIGH + 0x2_0000, Size::B8), u64::MAX);
    t.command(1, Command::empty());
    assert_eq!(t.r(HIGH + 0x1_0010, Size::B1), 0xff);
    assert_eq!(t.r(LOW + 8, Size::B4), ONES);
}

#[test]
fn a_region_over_another_leaves_one_of_them_in_charge() {
    let t = rig();
    for slot in [2, 1] {
        t.bar(slot, 0, LOW as u32);
        t.command(slot, MEMORY);
    }
    t.w(LOW, Size::B4, 0x100);
    assert_eq!(t.scratch(0, |s| s.last), 0x100);
    assert_eq!(t.scratch(1, |s| s.last), 0);
    // One function's own on each other, large over small.
    t.bar(1, 2, LOW as u32);
    t.bar(1, 3, 0);
    assert_eq!(t.r(LOW + 0x2000, Size::B4), 0x2100);
    t.command(1, Command::empty());
    assert_eq!(t.r(LOW + 8, Size::B4), 8, "now the other's");
}

#[test]
fn a_region_over_ram_ecam_or_nothing_takes_nothing_away() {
    let t = rig();
    t.command(1, MEMORY);
    t.w(0x8000_0000, Size::B8, 77);
    for address in [0x8000_0000, ECAM as u32, PORTS as u32, 0, 0xffff_f000] {
        t.bar(1, 0, address);
        assert_eq!(t.r(0x8000_0000, Size::B8), 77);
        assert_eq!(t.r(ECAM, Size::B4), 0x0008_1b36);
        assert_eq!(t.r(PORTS, Size::B4), ONES);
        t.w(0x8000_0000, Size::B8, 77);
        assert!(t.bus.read(0, Size::B4).is_err());
        assert!(t.bus.read(0xffff_f000, Size::B4).is_err());
    }
    // Beyond what a window covers, and across its end.
    t.bar(1, 2, 0);
    t.bar(1, 3, u32::MAX);
    assert!(t.bus.read(0xffff_ffff_0000_0000, Size::B4).is_err());
    assert_eq!(t.scratch(0, |s| s.last), 0);
}

#[test]
fn pins_lead_to_the_lines_of_their_slots() {
    let t = rig();
    let high = || t.lines.each_ref().map(|line| line.high());
    t.scratch(0, |s| s.endpoint.set_pin(true));
    assert_eq!(high(), [false, true, false, false]);
    t.scratch(2, |s| s.endpoint.set_pin(true));
    assert_eq!(high(), [false, true, false, true], "slot 31 has line 3");
    assert_eq!(t.r(config(31, 6), Size::B2) & 8, 8);
    t.command(31, Command::INTX_DISABLE);
    assert_eq!(high(), [false, true, false, false]);
    assert_eq!(t.r(config(31, 6), Size::B2) & 8, 8, "still wanted");
    t.command(31, Command::empty());
    assert_eq!(high(), [false, true, false, true]);
    t.scratch(2, |s| s.reset());
    t.scratch(0, |s| s.endpoint.set_pin(false));
    assert_eq!(high(), [false; 4]);
}

#[test]
fn a_line_is_high_while_any_pin_is() {
    let (wire, line) = Wire::pair();
    let silent = IrqLine::unconnected;
    let intx = Intx::new([silent(), line, silent(), silent()]);
    for input in [4, 5 * 4, 1, 3 * 4 + 2] {
        assert_eq!(intx::line_of(input), 1, "{input}");
    }
    let (a, b) = (intx.pin_a(1), intx.pin_a(5));
    a.set(true);
    b.set(true);
    a.set(true);
    a.set(false);
    assert!(wire.high());
    b.set(false);
    assert!(!wire.high());
    assert_eq!(wire.rises(), 1);
    intx.set(128, true);
    intx.set(u32::MAX, true);
    assert!(!wire.high());
}

/// Slot 1 with MSI-X on: table at LOW + 0x1000, two vectors set up, the third masked.
fn with_messages() -> Rig {
    let t = rig();
    t.bar(1, 1, LOW as u32 + 0x1000);
    t.command(1, MEMORY | Command::MASTER);
    for n in 0..2 {
        let entry = LOW + 0x1000 + 16 * n;
        t.w(entry, Size::B8, 0xfee0_0000 + 0x1000 * n);
        t.w(entry + 8, Size::B4, 0x40 + n);
        t.w(entry + 12, Size::B4, 0);
    }
    set_control(&t, 0x8000);
    t
}

fn set_control(t: &Rig, control: u64) {
    let at = t.capability(1, capability::MSIX).expect("it has MSI-X");
    t.w(config(1, at + 2), Size::B2, control);
}

fn raise(t: &Rig, vector: u16) {
    t.scratch(0, |s| s.endpoint.message(vector));
}

const PENDING: u64 = LOW + 0x1800;

#[test]
fn messages_go_where_the_table_says() {
    let t = with_messages();
    let at = t.capability(1, capability::MSIX).expect("it has MSI-X");
    assert_eq!(t.r(config(1, at + 2), Size::B2), 0x8002, "three vectors");
    assert_eq!(t.r(config(1, at + 4), Size::B4), 1, "in BAR 1");
    assert_eq!(t.r(config(1, at + 8), Size::B4), 0x801);
    raise(&t, 1);
    raise(&t, 0);
    raise(&t, 3);
    raise(&t, u16::MAX);
    assert_eq!(t.mail.take(), [(0xfee0_1000, 0x41), (0xfee0_0000, 0x40)]);
    t.scratch(0, |s| s.endpoint.set_pin(true));
    assert!(t.lines.iter().all(|line| !line.high()), "the pin is silent");
    set_control(&t, 0);
    assert!(t.lines[1].high());
}

#[test]
fn masked_messages_are_pending_until_they_may_go() {
    let t = with_messages();
    for way in 0..3 {
        let close = |closed: bool| match way {
            0 => t.w(LOW + 0x101c, Size::B4, closed.into()),
            1 => set_control(&t, if closed { 0xc000 } else { 0x8000 }),
            _ if closed => t.command(1, MEMORY),
            _ => t.command(1, MEMORY | Command::MASTER),
        };
        close(true);
        raise(&t, 1);
        raise(&t, 1);
        assert_eq!(t.mail.take(), []);
        assert_eq!(t.r(PENDING, Size::B8), 2);
        t.w(PENDING, Size::B8, 0);
        assert_eq!(t.r(PENDING, Size::B4), 2, "it cannot be written");
        close(false);
        assert_eq!(t.mail.take(), [(0xfee0_1000, 0x41)], "once");
        assert_eq!(t.r(PENDING, Size::B8), 0);
    }
}

#[test]
fn the_table_keeps_what_it_has_room_for() {
    let t = with_messages();
    let entry = LOW + 0x1000 + 32;
    assert_eq!(t.r(entry + 12, Size::B4), 1, "masked after a reset");
    t.w(entry, Size::B4, ONES);
    t.w(entry + 8, Size::B8, u64::MAX);
    assert_eq!(t.r(entry, Size::B8), 0xffff_fffc);
    assert_eq!(t.r(entry + 8, Size::B8), 0x1_ffff_ffff);
    for size in [Size::B1, Size::B2] {
        t.w(entry, size, 0);
    }
    assert_eq!(t.r(entry + 2, Size::B2), 0xffff, "not by bytes");
    t.w(entry + 16, Size::B8, 1);
    assert_eq!(t.r(entry + 16, Size::B8), 0, "there is no fourth");
}

#[test]
fn a_function_can_be_reset_by_itself() {
    let t = with_messages();
    t.scratch(0, |s| s.endpoint.set_pin(true));
    let at = t
        .capability(1, capability::ADVANCED_FEATURES)
        .expect("it can be reset");
    assert_eq!(t.r(config(1, at + 2), Size::B2), 0x0306);
    t.w(config(1, at + 4), Size::B1, 0xfe);
    assert_eq!(t.r(config(1, 4), Size::B2), 6, "another bit does nothing");
    t.w(config(1, at + 4), Size::B2, 1);
    assert_eq!(t.r(config(1, at + 4), Size::B2), 0);
    assert_eq!(t.r(config(1, 4), Size::B2), 0);
    assert_eq!(t.r(config(1, 0x14), Size::B4), 0);
    assert_eq!(t.r(LOW + 0x1000, Size::B4), ONES);
    raise(&t, 0);
    assert_eq!(t.mail.take(), []);
    assert!(!t.lines[1].high());
}

#[test]
fn state_moves_to_another_function() {
    let t = with_messages();
    set_control(&t, 0xc000);
    raise(&t, 1);
    t.scratch(0, |s| s.endpoint.set_pin(true));
    let other = rig();
    t.scratch(0, |from| other.scratch(0, |to| transfer(from, to)));
    assert!(!other.lines[1].high(), "messages are chosen");
    assert_eq!(other.r(PENDING, Size::B8), 2, "at the same place");
    set_control(&other, 0x8000);
    assert_eq!(other.mail.take(), [(0xfee0_1000, 0x41)]);
    let mut bridge = HostBridge::default();
    bridge.write(4, Size::B2, 7).expect("it answers");
    transfer(&bridge, &mut HostBridge::default());
    assert!(bridge.restore(&t.scratch(0, |s| s.save())).is_err());
    let mut plain = Scratch::new(IrqLine::unconnected(), None);
    assert!(plain.restore(&t.scratch(0, |s| s.save())).is_err());
    assert!(t.scratch(0, |s| s.restore(&plain.save())).is_err());
}

proptest! {
    /// Whatever a guest writes where, reads come back, RAM is where it was, and a reset
    /// forgives.
    #[test]
    fn any_access_is_harmless(
        steps in prop::collection::vec(
            (0..5u8, 0..0x2_0000u64, 0..4u8, any::<u64>(), any::<bool>()),
            1..200,
        ),
    ) {
        let t = rig();
        t.w(0x8000_0000, Size::B8, 77);
        for (window, offset, size, value, write) in steps {
            let size = [Size::B1, Size::B2, Size::B4, Size::B8][usize::from(size)];
            let base = [ECAM, ECAM + 0xf_0000, LOW, HIGH, PORTS][usize::from(window)];
            let at = base + (offset % 0x1_0000 / size.bytes() * size.bytes());
            // Often to a place where something is.
            let value = if value % 3 == 0 { LOW | value & 0x1_f000 } else { value };
            if write {
                t.w(at, size, value);
            } else {
                t.r(at, size);
            }
            t.scratch(0, |s| s.endpoint.message(value as u16 % 4));
        }
        prop_assert_eq!(t.r(0x8000_0000, Size::B8), 77);
        for n in 0..3 {
            t.scratch(n, |s| s.reset());
        }
        t.bar(1, 0, LOW as u32);
        t.command(1, MEMORY);
        prop_assert_eq!(t.r(LOW + 8, Size::B4), 8);
    }

    #[test]
    fn damaged_state_is_refused_or_harmless(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let t = with_messages();
        let mut saved = t.scratch(0, |s| s.save());
        *at.get_mut(&mut saved) = value;
        t.scratch(0, |s| { let _ = s.restore(&saved); s.reset(); });
        t.bar(1, 0, LOW as u32);
        t.command(1, MEMORY);
        prop_assert_eq!(t.r(LOW + 8, Size::B4), 8);
    }
}
