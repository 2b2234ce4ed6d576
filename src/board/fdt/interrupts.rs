//! The nodes of the interrupt controllers, and how devices refer to them.

use super::{Facts, device, hart_interrupts, phandle};
use crate::board::interrupts::{APLIC_SOURCES, PLIC_SOURCES};
use crate::board::virt::{MAP, Place};
use crate::config::Aia;
use isoform_riscv::MAX_IDENTITY;
use isoform_riscv::irq::{MEI, SEI};
use vm_fdt::{Error, FdtWriter};

/// The type of an interrupt at an APLIC: a level that is active when high.
const LEVEL_HIGH: u32 = 4;

/// How a device says which interrupt is its own.
#[derive(Clone, Copy)]
pub(super) struct Parent {
    /// The controller's handle.
    pub(super) phandle: u32,
    aia: Aia,
}

impl Parent {
    pub(super) fn new(facts: &Facts<'_>) -> Self {
        let phandle = match facts.aia {
            Aia::None => phandle::PLIC,
            Aia::AplicImsic => phandle::APLIC_S,
        };
        Self {
            phandle,
            aia: facts.aia,
        }
    }

    /// The cells that name a source.
    pub(super) fn cells(self, source: u32) -> Vec<u32> {
        match self.aia {
            Aia::None => vec![source],
            Aia::AplicImsic => vec![source, LEVEL_HIGH],
        }
    }
}

/// The controllers of the machine.
pub(super) fn controllers(fdt: &mut FdtWriter, facts: &Facts<'_>) -> Result<(), Error> {
    match facts.aia {
        Aia::None => plic(fdt, facts),
        Aia::AplicImsic => {
            // What is M mode's is not shown where M mode is ours.
            if !facts.supervised {
                let place = MAP.imsic_m(facts.harts);
                imsic(fdt, facts, place, MEI, phandle::IMSIC_M)?;
                aplic(fdt, MAP.aplic_m, phandle::APLIC_M, phandle::IMSIC_M)?;
            }
            let place = MAP.imsic_s(facts.harts);
            imsic(fdt, facts, place, SEI, phandle::IMSIC_S)?;
            aplic(fdt, MAP.aplic_s, phandle::APLIC_S, phandle::IMSIC_S)
        }
    }
}

fn plic(fdt: &mut FdtWriter, facts: &Facts<'_>) -> Result<(), Error> {
    let compatible = ["sifive,plic-1.0.0", "riscv,plic0"];
    let node = device(fdt, "plic", MAP.plic, &compatible, Parent::new(facts))?;
    fdt.property_u32("#interrupt-cells", 1)?;
    fdt.property_u32("#address-cells", 0)?;
    fdt.property_null("interrupt-controller")?;
    let harts = hart_interrupts(facts.harts as u32, &[MEI, SEI]);
    fdt.property_array_u32("interrupts-extended", &harts)?;
    fdt.property_u32("riscv,ndev", PLIC_SOURCES)?;
    fdt.property_phandle(phandle::PLIC)?;
    fdt.end_node(node)
}

/// The pages of one level's interrupt files.
fn imsic(
    fdt: &mut FdtWriter,
    facts: &Facts<'_>,
    place: Place,
    signal: u32,
    handle: u32,
) -> Result<(), Error> {
    let compatible = ["qemu,imsics", "riscv,imsics"];
    let node = device(
        fdt,
        "interrupt-controller",
        place,
        &compatible,
        Parent::new(facts),
    )?;
    fdt.property_u32("#interrupt-cells", 0)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_null("msi-controller")?;
    fdt.property_u32("#msi-cells", 0)?;
    let harts = hart_interrupts(facts.harts as u32, &[signal]);
    fdt.property_array_u32("interrupts-extended", &harts)?;
    fdt.property_u32("riscv,num-ids", MAX_IDENTITY)?;
    fdt.property_phandle(handle)?;
    fdt.end_node(node)
}

/// A domain of the APLIC, which sends to `imsic`.
fn aplic(fdt: &mut FdtWriter, place: Place, handle: u32, imsic: u32) -> Result<(), Error> {
    let node = fdt.begin_node(&format!("interrupt-controller@{:x}", place.base))?;
    let compatible = ["qemu,aplic", "riscv,aplic"].map(str::to_owned);
    fdt.property_string_list("compatible", compatible.to_vec())?;
    fdt.property_array_u64("reg", &[place.base, place.size])?;
    fdt.property_u32("#interrupt-cells", 2)?;
    fdt.property_u32("#address-cells", 0)?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_u32("msi-parent", imsic)?;
    fdt.property_u32("riscv,num-sources", APLIC_SOURCES)?;
    if handle == phandle::APLIC_M {
        fdt.property_u32("riscv,children", phandle::APLIC_S)?;
        fdt.property_array_u32("riscv,delegation", &[phandle::APLIC_S, 1, APLIC_SOURCES])?;
    }
    fdt.property_phandle(handle)?;
    fdt.end_node(node)
}
