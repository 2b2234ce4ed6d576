//! The device tree of the board `virt` (Devicetree Specification 0.4, and the
//! kernel's bindings for each node).

mod interrupts;

use super::virt::{MAP, Place};
use crate::config::{Aia, RAM_BASE, slot::VIRTIO_SLOTS};
use interrupts::Parent;
use isoform_devices::pci::intx::line_of;
use isoform_riscv::Cpu;
use std::ops::Range;
use vm_fdt::{Error, FdtWriter};

/// What differs between two machines of the board.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Bytes of RAM.
    pub memory: u64,
    /// Harts.
    pub harts: usize,
    /// What they can do.
    pub cpu: &'a Cpu,
    /// The kernel's command line.
    pub bootargs: &'a str,
    /// Where the initrd lies.
    pub initrd: Option<Range<u64>>,
    /// How interrupts come to the harts.
    pub aia: Aia,
    /// M mode is Isoform's own: what belongs to it is not described.
    pub supervised: bool,
    /// Randomness for the kernel: `rng-seed` and `kaslr-seed`.
    pub seed: &'a [u8; 64],
}

/// `time` runs at 10 MHz.
const TIMEBASE_HZ: u32 = 10_000_000;
/// What a 16550A's baud rate generator is fed with on this board.
const UART_HZ: u32 = 3_686_400;
/// Bytes in a cache block.
const BLOCK: u32 = 64;

/// Bytes of free space in the tree.
const ROOM: usize = 4096;

/// Handles that nodes are referred to by.
mod phandle {
    pub(super) const PLIC: u32 = 1;
    pub(super) const FINISHER: u32 = 2;
    pub(super) const APLIC_S: u32 = 3;
    pub(super) const IMSIC_S: u32 = 4;
    pub(super) const APLIC_M: u32 = 5;
    pub(super) const IMSIC_M: u32 = 6;
    /// The interrupt controller of hart 0; those of the others follow.
    pub(super) const HART: u32 = 0x10;
}

/// Writes the tree.
pub fn write(facts: &Facts<'_>) -> Result<Vec<u8>, Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_string("compatible", "riscv-virtio")?;
    fdt.property_string("model", "isoform,virt")?;
    chosen(&mut fdt, facts)?;
    let memory = fdt.begin_node(&format!("memory@{RAM_BASE:x}"))?;
    fdt.property_string("device_type", "memory")?;
    fdt.property_array_u64("reg", &[RAM_BASE, facts.memory])?;
    fdt.end_node(memory)?;
    cpus(&mut fdt, facts)?;
    let soc = fdt.begin_node("soc")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_string("compatible", "simple-bus")?;
    fdt.property_null("ranges")?;
    devices(&mut fdt, facts)?;
    interrupts::controllers(&mut fdt, facts)?;
    pci(&mut fdt, facts)?;
    fdt.end_node(soc)?;
    power(&mut fdt)?;
    firmware(&mut fdt, facts)?;
    fdt.end_node(root)?;
    Ok(with_room(fdt.finish()?))
}

/// Free space at the end (Devicetree Specification 5.2): U-Boot adds properties to the
/// tree where it stands, as if there were some, since firmware like OpenSBI leaves it.
fn with_room(mut tree: Vec<u8>) -> Vec<u8> {
    tree.resize(tree.len() + ROOM, 0);
    let size = (tree.len() as u32).to_be_bytes();
    if let Some(total) = tree.get_mut(4..8) {
        total.copy_from_slice(&size);
    }
    tree
}

fn chosen(fdt: &mut FdtWriter, facts: &Facts<'_>) -> Result<(), Error> {
    let node = fdt.begin_node("chosen")?;
    fdt.property_string("bootargs", facts.bootargs)?;
    fdt.property_string("stdout-path", &format!("/soc/serial@{:x}", MAP.uart.base))?;
    if let Some(initrd) = &facts.initrd {
        fdt.property_u64("linux,initrd-start", initrd.start)?;
        fdt.property_u64("linux,initrd-end", initrd.end)?;
    }
    let (kaslr, rng) = facts.seed.split_at(8);
    fdt.property("kaslr-seed", kaslr)?;
    fdt.property("rng-seed", rng)?;
    fdt.end_node(node)
}

fn cpus(fdt: &mut FdtWriter, facts: &Facts<'_>) -> Result<(), Error> {
    let cpus = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    fdt.property_u32("timebase-frequency", TIMEBASE_HZ)?;
    let extensions = facts.cpu.isa_extensions();
    let has = |name: &str| extensions.contains(&name);
    for hart in 0..facts.harts as u32 {
        let cpu = fdt.begin_node(&format!("cpu@{hart:x}"))?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_u32("reg", hart)?;
        fdt.property_string("status", "okay")?;
        fdt.property_string("compatible", "riscv")?;
        fdt.property_string("riscv,isa", &facts.cpu.isa_string())?;
        fdt.property_string("riscv,isa-base", "rv64i")?;
        let names = extensions.iter().map(|e| (*e).to_string()).collect();
        fdt.property_string_list("riscv,isa-extensions", names)?;
        fdt.property_string("mmu-type", facts.cpu.mmu_type().unwrap_or("riscv,none"))?;
        let blocks = [
            ("zicbom", "riscv,cbom-block-size"),
            ("zicboz", "riscv,cboz-block-size"),
        ];
        for (_, property) in blocks.iter().filter(|(ext, _)| has(ext)) {
            fdt.property_u32(property, BLOCK)?;
        }
        if has("zicbop") {
            fdt.property_u32("riscv,cbop-block-size", BLOCK)?;
        }
        let controller = fdt.begin_node("interrupt-controller")?;
        fdt.property_u32("#interrupt-cells", 1)?;
        fdt.property_null("interrupt-controller")?;
        fdt.property_string("compatible", "riscv,cpu-intc")?;
        fdt.property_phandle(phandle::HART + hart)?;
        fdt.end_node(controller)?;
        fdt.end_node(cpu)?;
    }
    fdt.end_node(cpus)
}

/// Begins a device's node: name, `compatible`, `reg` and its interrupt.
fn device(
    fdt: &mut FdtWriter,
    name: &str,
    place: Place,
    compatible: &[&str],
    parent: Parent,
) -> Result<vm_fdt::FdtWriterNode, Error> {
    let node = fdt.begin_node(&format!("{name}@{:x}", place.base))?;
    let compatible = compatible.iter().map(|s| (*s).to_string()).collect();
    fdt.property_string_list("compatible", compatible)?;
    fdt.property_array_u64("reg", &[place.base, place.size])?;
    if place.irq != 0 {
        fdt.property_array_u32("interrupts", &parent.cells(place.irq))?;
        fdt.property_u32("interrupt-parent", parent.phandle)?;
    }
    Ok(node)
}

/// `interrupts-extended`: these interrupts of each hart.
fn hart_interrupts(harts: u32, numbers: &[u32]) -> Vec<u32> {
    (0..harts)
        .flat_map(|h| numbers.iter().flat_map(move |n| [phandle::HART + h, *n]))
        .collect()
}

fn devices(fdt: &mut FdtWriter, facts: &Facts<'_>) -> Result<(), Error> {
    use isoform_riscv::irq::{MSI, MTI, SSI};
    let (harts, parent) = (facts.harts as u32, Parent::new(facts));
    let node = device(
        fdt,
        "test",
        MAP.finisher,
        &["sifive,test1", "sifive,test0", "syscon"],
        parent,
    )?;
    fdt.property_phandle(phandle::FINISHER)?;
    fdt.end_node(node)?;

    let node = device(fdt, "rtc", MAP.rtc, &["google,goldfish-rtc"], parent)?;
    fdt.end_node(node)?;

    let node = device(
        fdt,
        "clint",
        MAP.clint,
        &["sifive,clint0", "riscv,clint0"],
        parent,
    )?;
    fdt.property_array_u32("interrupts-extended", &hart_interrupts(harts, &[MSI, MTI]))?;
    fdt.end_node(node)?;

    let node = device(fdt, "sswi", MAP.sswi, &["riscv,aclint-sswi"], parent)?;
    fdt.property_array_u32("interrupts-extended", &hart_interrupts(harts, &[SSI]))?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_u32("#interrupt-cells", 0)?;
    fdt.end_node(node)?;

    let node = device(fdt, "serial", MAP.uart, &["ns16550a"], parent)?;
    fdt.property_u32("clock-frequency", UART_HZ)?;
    fdt.end_node(node)?;

    for slot in 0..VIRTIO_SLOTS {
        let node = device(fdt, "virtio_mmio", MAP.slot(slot), &["virtio,mmio"], parent)?;
        fdt.end_node(node)?;
    }
    Ok(())
}

/// Cells of an address on the PCI bus: what kind it is, and 64 bits.
const PCI_ADDRESS_CELLS: u32 = 3;

/// The PCI host bridge (IEEE 1275 "PCI Bus Binding", and the kernel's
/// `host-generic-pci`).
fn pci(fdt: &mut FdtWriter, facts: &Facts<'_>) -> Result<(), Error> {
    // The highest cell of an address: I/O ports, memory of 32 and of 64 bits.
    const PORTS: u32 = 0x0100_0000;
    const MEMORY_32: u32 = 0x0200_0000;
    const MEMORY_64: u32 = 0x0300_0000;
    let Place { base, size, .. } = MAP.pci_config;
    let node = fdt.begin_node(&format!("pci@{base:x}"))?;
    fdt.property_string("compatible", "pci-host-ecam-generic")?;
    fdt.property_string("device_type", "pci")?;
    fdt.property_u32("#address-cells", PCI_ADDRESS_CELLS)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_u32("#interrupt-cells", 1)?;
    fdt.property_u32("linux,pci-domain", 0)?;
    fdt.property_array_u32("bus-range", &[0, (size >> 20) as u32 - 1])?;
    fdt.property_null("dma-coherent")?;
    fdt.property_array_u64("reg", &[base, size])?;
    let high = MAP.pci_high(facts.memory);
    let ranges = [
        (PORTS, 0, MAP.pci_ports),
        (MEMORY_32, MAP.pci_memory.base, MAP.pci_memory),
        (MEMORY_64, high.base, high),
    ];
    let cells = |wide: u64| [(wide >> 32) as u32, wide as u32];
    let ranges: Vec<u32> = ranges
        .iter()
        .flat_map(|(kind, bus, place)| {
            let numbers = [*bus, place.base, place.size];
            std::iter::once(*kind).chain(numbers.into_iter().flat_map(cells))
        })
        .collect();
    fdt.property_array_u32("ranges", &ranges)?;
    // What is looked up: the lowest two bits of the device's number, and the pin.
    fdt.property_array_u32("interrupt-map-mask", &[0x1800, 0, 0, 7])?;
    fdt.property_array_u32("interrupt-map", &interrupt_map(Parent::new(facts)))?;
    if facts.aia == Aia::AplicImsic {
        fdt.property_u32("msi-parent", phandle::IMSIC_S)?;
    }
    fdt.end_node(node)
}

/// Where each pin of four devices leads; all others are as one of them.
fn interrupt_map(parent: Parent) -> Vec<u32> {
    let pins = (0..4u32).flat_map(|device| (0..4u32).map(move |pin| (device, pin)));
    pins.flat_map(|(device, pin)| {
        let line = line_of(device * 4 + pin) as u32;
        let source = MAP.pci_config.irq + line;
        let from = [device << 11, 0, 0, pin + 1, parent.phandle];
        from.into_iter().chain(parent.cells(source))
    })
    .collect()
}

/// Power off and restart through the finisher, for kernels without SBI.
fn power(fdt: &mut FdtWriter) -> Result<(), Error> {
    for (name, value) in [("poweroff", 0x5555), ("reboot", 0x7777)] {
        let node = fdt.begin_node(name)?;
        fdt.property_string("compatible", &format!("syscon-{name}"))?;
        fdt.property_u32("regmap", phandle::FINISHER)?;
        fdt.property_u32("offset", 0)?;
        fdt.property_u32("value", value)?;
        fdt.end_node(node)?;
    }
    Ok(())
}

/// Flash, and what firmware is handed. Their nodes are where firmware knows them from
/// QEMU.
fn firmware(fdt: &mut FdtWriter, facts: &Facts<'_>) -> Result<(), Error> {
    let banks = [MAP.bank(0), MAP.bank(1)].map(|bank| [bank.base, bank.size]);
    let node = fdt.begin_node(&format!("flash@{:x}", MAP.flash.base))?;
    fdt.property_string("compatible", "cfi-flash")?;
    fdt.property_array_u64("reg", banks.as_flattened())?;
    fdt.property_u32("bank-width", 4)?;
    fdt.end_node(node)?;

    let parent = Parent::new(facts);
    let node = device(fdt, "fw-cfg", MAP.fw_cfg, &["qemu,fw-cfg-mmio"], parent)?;
    fdt.property_null("dma-coherent")?;
    fdt.end_node(node)
}
