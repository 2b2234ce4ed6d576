//! What takes the devices' interrupts to the harts: a PLIC, or an APLIC that makes
//! messages of them for the harts' IMSICs.

use super::virt::{Builder, MAP};
use crate::config::Aia;
use isoform_core::{Attention, IrqLine, IrqSink, MsiSink};
use isoform_devices::aplic::{self, Aplic, AplicDomain};
use isoform_devices::imsic::{Imsic, Messages};
use isoform_devices::plic::{Plic, PlicDevice};
use isoform_memory::BusError;
use isoform_riscv::{FileSink, Level, Lines, irq};
use std::sync::{Arc, Mutex};

/// PLIC sources, source 0 (which does not exist) not counted.
pub(super) const PLIC_SOURCES: u32 = 95;
/// APLIC sources, likewise.
pub(super) const APLIC_SOURCES: u32 = 96;

/// The harts' lines, with what the choice brings them.
pub(super) fn lines(aia: Aia, harts: u32) -> Vec<Arc<Lines>> {
    let lines = |_| match aia {
        Aia::None => Lines::new(Arc::new(Attention::new())),
        Aia::AplicImsic => Lines::with_imsic(Arc::new(Attention::new())),
    };
    (0..harts).map(lines).map(Arc::new).collect()
}

/// The controller of a board, as its devices see it.
pub(super) struct Interrupts {
    sink: Arc<dyn IrqSink>,
    /// Where messages go, if they can.
    pub(super) messages: Option<Arc<dyn MsiSink>>,
}

impl Interrupts {
    /// Puts the controller on the board. `delegated`: nobody in M mode sets it up.
    pub(super) fn new(
        board: &mut Builder,
        aia: Aia,
        lines: &[Arc<Lines>],
        delegated: bool,
    ) -> Result<Self, BusError> {
        match aia {
            Aia::None => Self::plic(board, lines),
            Aia::AplicImsic => Self::aplic(board, lines, delegated),
        }
    }

    fn plic(board: &mut Builder, lines: &[Arc<Lines>]) -> Result<Self, BusError> {
        // Contexts alternate: M and S of hart 0, M and S of hart 1, and so on.
        let of_hart = |l: &Arc<Lines>| [irq::MEI, irq::SEI].map(|n| IrqLine::new(l.clone(), n));
        let plic = Plic::new(PLIC_SOURCES, lines.iter().flat_map(of_hart).collect());
        let device = Arc::new(Mutex::new(PlicDevice::new(plic.clone())));
        board.map("plic", MAP.plic, device)?;
        Ok(Self {
            sink: plic,
            messages: None,
        })
    }

    fn aplic(board: &mut Builder, lines: &[Arc<Lines>], delegated: bool) -> Result<Self, BusError> {
        let harts = lines.len();
        let pages = |level: Level| {
            let file = |l: &Arc<Lines>| Arc::new(FileSink::new(l.clone(), level)) as _;
            Imsic::new(lines.iter().map(file).collect())
        };
        let (machine, supervisor) = (pages(Level::Machine), pages(Level::Supervisor));
        let places = [MAP.imsic_m(harts), MAP.imsic_s(harts)];
        for (place, pages) in places.into_iter().zip([&machine, &supervisor]) {
            board.map("imsic", place, Arc::new(Mutex::new(pages.clone())))?;
        }
        let [m, s] = places.map(|place| place.base);
        let messages = Arc::new(Messages::new(vec![(m, machine), (s, supervisor)]));
        let to = delegated.then_some(s);
        let aplic = Aplic::new(APLIC_SOURCES, messages.clone(), to);
        let domains = [
            (MAP.aplic_m, aplic::Level::Machine),
            (MAP.aplic_s, aplic::Level::Supervisor),
        ];
        for (place, level) in domains {
            let domain = AplicDomain::new(aplic.clone(), level);
            board.map("aplic", place, Arc::new(Mutex::new(domain)))?;
        }
        Ok(Self {
            sink: aplic,
            messages: Some(messages),
        })
    }

    /// A wire to a source.
    pub(super) fn source(&self, number: u32) -> IrqLine {
        IrqLine::new(self.sink.clone(), number)
    }
}
