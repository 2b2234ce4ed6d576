//! The physical bus: which device answers a guest-physical address.

use crate::ram::Ram;
use crate::rom::Rom;
use isoform_core::{BusFault, Device, Size};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a board description makes no bus.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Two windows share addresses.
    #[error("{what} at {base:#x} overlaps another window or RAM")]
    Overlap {
        /// The device.
        what: &'static str,
        /// Guest-physical start of its window.
        base: u64,
    },
    /// A window is empty or passes the end of the address space.
    #[error("{what} at {base:#x}: a window of {size:#x} bytes is not possible")]
    Shape {
        /// The device.
        what: &'static str,
        /// Guest-physical start.
        base: u64,
        /// Bytes.
        size: u64,
    },
}

/// Finds the device behind an address of a window that several devices share, as it is
/// at this moment.
///
/// Called by vCPUs with no lock held. It takes none that is held while a device is
/// locked: who changes the routes may be a device.
pub trait Router: Send + Sync {
    /// The device that answers an access at `offset` from the window's start, and the
    /// offset that it knows the place by. Where there is none, the access is nobody's:
    /// it reads as all ones, and writes nothing.
    fn route(&self, offset: u64, size: Size) -> Option<(&Mutex<dyn Device>, u64)>;
}

/// Who answers a window.
enum Target {
    Device(Arc<Mutex<dyn Device>>),
    Router(Arc<dyn Router>),
}

impl Target {
    fn find(&self, offset: u64, size: Size) -> Option<(&Mutex<dyn Device>, u64)> {
        match self {
            Target::Device(device) => Some((device, offset)),
            Target::Router(router) => router.route(offset, size),
        }
    }
}

/// A range of guest-physical addresses that devices answer.
struct Window {
    name: &'static str,
    base: u64,
    size: u64,
    target: Target,
    reads: AtomicU64,
    writes: AtomicU64,
}

/// How often a window was accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowCounts {
    /// The device, or what its window is for.
    pub name: &'static str,
    /// Guest-physical start.
    pub base: u64,
    /// Reads by vCPUs.
    pub reads: u64,
    /// Writes by vCPUs.
    pub writes: u64,
}

/// RAM and device windows. Built once; dispatch is a binary search.
pub struct Bus {
    ram: Arc<Ram>,
    /// Sorted by base, without overlap.
    windows: Vec<Window>,
    roms: Vec<Arc<Rom>>,
}

impl Bus {
    /// A bus with RAM only.
    pub fn new(ram: Arc<Ram>) -> Self {
        Self {
            ram,
            windows: Vec::new(),
            roms: Vec::new(),
        }
    }

    /// Adds the window of a device.
    pub fn map(
        &mut self,
        name: &'static str,
        base: u64,
        size: u64,
        device: Arc<Mutex<dyn Device>>,
    ) -> Result<(), BusError> {
        self.insert(name, base, size, Target::Device(device))
    }

    /// Adds a window that devices share.
    pub fn map_shared(
        &mut self,
        name: &'static str,
        base: u64,
        size: u64,
        router: Arc<dyn Router>,
    ) -> Result<(), BusError> {
        self.insert(name, base, size, Target::Router(router))
    }

    fn insert(
        &mut self,
        name: &'static str,
        base: u64,
        size: u64,
        target: Target,
    ) -> Result<(), BusError> {
        let end = base.checked_add(size).filter(|_| size > 0);
        let end = end.ok_or(BusError::Shape {
            what: name,
            base,
            size,
        })?;
        let apart = |other: u64, length: u64| end <= other || base >= other + length;
        let free = apart(self.ram.base(), self.ram.size())
            && self.windows.iter().all(|w| apart(w.base, w.size));
        if !free {
            return Err(BusError::Overlap { what: name, base });
        }
        let at = self.windows.partition_point(|w| w.base < base);
        let (reads, writes) = Default::default();
        self.windows.insert(
            at,
            Window {
                name,
                base,
                size,
                target,
                reads,
                writes,
            },
        );
        Ok(())
    }

    /// Makes the contents behind a device's window known, to be read and fetched directly.
    /// They lie wholly in the window.
    pub fn map_rom(&mut self, rom: Arc<Rom>) {
        self.roms.push(rom);
    }

    /// The contents that hold a guest-physical address, where there are some.
    #[inline]
    pub fn rom(&self, gpa: u64) -> Option<&Rom> {
        self.roms
            .iter()
            .find(|rom| rom.holds(gpa))
            .map(|rom| &**rom)
    }

    /// Loads what is memory: RAM, or contents that answer directly. Naturally aligned.
    #[inline]
    pub fn load(&self, gpa: u64, size: Size) -> Option<u64> {
        self.ram
            .load(gpa, size)
            .or_else(|| self.rom(gpa)?.load(gpa, size))
    }

    /// Half an instruction, as fetches see it: of RAM, or of contents whether or not they
    /// answer directly.
    pub fn fetch_half(&self, gpa: u64) -> Option<u64> {
        let contents = || self.rom(gpa)?.content(gpa, Size::B2);
        self.ram.load(gpa, Size::B2).or_else(contents)
    }

    /// As [`Bus::load`], for bytes at any alignment. `None` where not all of them are
    /// memory of one kind.
    pub fn load_bytes(&self, gpa: u64, bytes: &mut [u8]) -> Option<()> {
        self.ram
            .read(gpa, bytes)
            .or_else(|| self.rom(gpa)?.read_direct(gpa, bytes))
    }

    /// Guest RAM.
    pub fn ram(&self) -> &Arc<Ram> {
        &self.ram
    }

    /// Reads, naturally aligned; from RAM or a device.
    pub fn read(&self, gpa: u64, size: Size) -> Result<u64, BusFault> {
        if let Some(value) = self.ram.load(gpa, size) {
            return Ok(value);
        }
        let window = self.find(gpa, size)?;
        window.reads.fetch_add(1, Ordering::Relaxed);
        let Some((device, offset)) = window.target.find(gpa - window.base, size) else {
            return Ok(size.truncate(u64::MAX));
        };
        let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
        device.read(offset, size).map(|v| size.truncate(v))
    }

    /// Writes, naturally aligned; to RAM or a device.
    pub fn write(&self, gpa: u64, size: Size, value: u64) -> Result<(), BusFault> {
        if self.ram.store(gpa, size, value).is_some() {
            return Ok(());
        }
        let window = self.find(gpa, size)?;
        window.writes.fetch_add(1, Ordering::Relaxed);
        let Some((device, offset)) = window.target.find(gpa - window.base, size) else {
            return Ok(());
        };
        let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
        device.write(offset, size, size.truncate(value))
    }

    /// Whether RAM or a device answers at an address. The device is not asked, and may
    /// still refuse an access to the register there.
    pub fn is_mapped(&self, gpa: u64) -> bool {
        self.ram.page_index(gpa).is_some() || self.find(gpa, Size::B1).is_ok()
    }

    fn find(&self, gpa: u64, size: Size) -> Result<&Window, BusFault> {
        if gpa & (size.bytes() - 1) != 0 {
            return Err(BusFault);
        }
        let at = self.windows.partition_point(|w| w.base <= gpa);
        let window = at
            .checked_sub(1)
            .and_then(|i| self.windows.get(i))
            .ok_or(BusFault)?;
        let offset = gpa - window.base;
        let inside = offset < window.size && size.bytes() <= window.size - offset;
        inside.then_some(window).ok_or(BusFault)
    }

    /// How often each window was accessed.
    pub fn counts(&self) -> Vec<WindowCounts> {
        let count = |w: &Window| WindowCounts {
            name: w.name,
            base: w.base,
            reads: w.reads.load(Ordering::Relaxed),
            writes: w.writes.load(Ordering::Relaxed),
        };
        self.windows.iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isoform_core::RestoreError;

    struct Echo(u64);
    impl Device for Echo {
        fn name(&self) -> &'static str {
            "echo"
        }
        fn read(&mut self, offset: u64, _: Size) -> Result<u64, BusFault> {
            if offset == 0xf8 {
                Err(BusFault)
            } else {
                Ok(self.0 ^ offset)
            }
        }
        fn write(&mut self, _: u64, _: Size, value: u64) -> Result<(), BusFault> {
            self.0 = value;
            Ok(())
        }
        fn reset(&mut self) {}
        fn save(&self) -> Vec<u8> {
            Vec::new()
        }
        fn restore(&mut self, _: &[u8]) -> Result<(), RestoreError> {
            Ok(())
        }
    }

    #[test]
    fn each_address_has_one_answer() {
        let ram = Arc::new(Ram::new(0x8000_0000, 0x1000).expect("4 KiB"));
        let mut bus = Bus::new(ram);
        let echo = || Arc::new(Mutex::new(Echo(!0)));
        bus.map("b", 0x2000, 0x100, echo()).expect("free");
        bus.map("a", 0x1000, 0x100, echo()).expect("free");
        assert!(bus.map("c", 0x10ff, 0x10, echo()).is_err());
        assert!(bus.map("c", 0x7fff_ffff, 0x10, echo()).is_err());
        assert!(bus.map("c", u64::MAX, 0x10, echo()).is_err());
        assert_eq!(bus.read(0x1004, Size::B2), Ok(0xffff ^ 4));
        assert_eq!(bus.write(0x2000, Size::B1, 0x1ff), Ok(()));
        assert_eq!(bus.read(0x2000, Size::B8), Ok(0xff));
        assert_eq!(bus.read(0x10f8, Size::B8), Err(BusFault));
        assert_eq!(bus.read(0x1100, Size::B1), Err(BusFault));
        assert_eq!(bus.read(0xfff, Size::B1), Err(BusFault));
        assert_eq!(bus.read(0x1001, Size::B2), Err(BusFault));
        assert_eq!(bus.read(0x8000_0ff8, Size::B8), Ok(0));
        assert_eq!(bus.counts()[0].reads, 2);
    }

    /// Two devices that share a window, at places that change.
    struct Halves(Mutex<Echo>, Mutex<Echo>, AtomicU64);
    impl Router for Halves {
        fn route(&self, offset: u64, size: Size) -> Option<(&Mutex<dyn Device>, u64)> {
            let place = self.2.load(Ordering::Relaxed);
            match offset.checked_sub(place)? {
                at @ 0..0x10 if size != Size::B8 => Some((&self.0, at)),
                at @ 0x10..0x20 => Some((&self.1, at - 0x10)),
                _ => None,
            }
        }
    }

    #[test]
    fn a_shared_window_answers_where_its_devices_are_now() {
        let ram = Arc::new(Ram::new(0x8000_0000, 0x1000).expect("4 KiB"));
        let mut bus = Bus::new(ram);
        let echo = |value| Mutex::new(Echo(value));
        let halves = Arc::new(Halves(echo(1), echo(2), AtomicU64::new(0x40)));
        bus.map_shared("pci", 0x1000, 0x100, halves.clone())
            .expect("free");
        assert!(bus.map("c", 0x10f0, 0x10, Arc::new(echo(0))).is_err());
        assert_eq!(bus.read(0x1044, Size::B2), Ok(1 ^ 4));
        assert_eq!(bus.read(0x1058, Size::B8), Ok(2 ^ 8));
        assert_eq!(bus.read(0x1048, Size::B8), Ok(u64::MAX));
        assert_eq!(bus.read(0x1000, Size::B2), Ok(0xffff));
        assert_eq!(bus.write(0x1000, Size::B2, 7), Ok(()));
        assert!(bus.is_mapped(0x10ff) && !bus.is_mapped(0x1100));
        halves.2.store(0, Ordering::Relaxed);
        assert_eq!(bus.write(0x1010, Size::B4, 9), Ok(()));
        assert_eq!(bus.read(0x1010, Size::B4), Ok(9));
        assert_eq!(bus.read(0x1000, Size::B4), Ok(1));
        assert_eq!(bus.read(0x1050, Size::B4), Ok(0xffff_ffff));
        assert_eq!((bus.counts()[0].reads, bus.counts()[0].writes), (7, 2));
    }

    #[test]
    fn what_is_mapped_is_known_without_an_access() {
        let ram = Arc::new(Ram::new(0x8000_0000, 0x1000).expect("4 KiB"));
        let mut bus = Bus::new(ram);
        let echo = Arc::new(Mutex::new(Echo(!0)));
        bus.map("a", 0x1000, 0x100, echo).expect("free");
        for gpa in [0x1000, 0x10f8, 0x10ff, 0x8000_0000, 0x8000_0fff] {
            assert!(bus.is_mapped(gpa), "{gpa:#x}");
        }
        for gpa in [0, 0xfff, 0x1100, 0x7fff_ffff, 0x8000_1000, u64::MAX] {
            assert!(!bus.is_mapped(gpa), "{gpa:#x}");
        }
        let counts = bus.counts();
        assert!(counts.iter().all(|c| (c.reads, c.writes) == (0, 0)));
    }
}
