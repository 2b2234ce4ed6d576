//! The root complex: functions on bus 0, and the windows that lead to them.
//!
//! A window finds the function behind an address without a lock: which functions there
//! are is fixed once the machine is built, and where their regions are is a number that
//! each function changes by itself. So an access locks the one function that it is for.

use std::sync::{Arc, Mutex, PoisonError};

use isoform_core::{Device, Size};
use isoform_memory::Router;

use super::address::Place;
use super::region::Region;
use super::spec::{ECAM_FUNCTION_BYTES, FUNCTIONS, SLOTS};

/// A function on a bus.
///
/// As a [`Device`] it takes offsets that are [`Place`]s.
pub trait Function: Device {
    /// What lies behind its BARs.
    fn regions(&self) -> Vec<Arc<Region>>;
}

/// Why a function cannot be put into a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotError {
    /// There are 32 slots.
    NoSuchSlot,
    /// There is a function already.
    Taken,
}

/// A function, as its window knows it.
type Shared = Arc<Mutex<dyn Device>>;

/// Bus 0 in the making, and as it is then.
#[derive(Default)]
pub struct Root {
    /// By slot; each has a function 0 and no other.
    functions: [Option<Shared>; SLOTS],
    /// All regions, in the order in which they answer where they overlap.
    regions: Vec<(Arc<Region>, Shared)>,
}

impl Root {
    /// Puts a function into a slot.
    ///
    /// # Errors
    /// There is no such slot, or it is taken.
    pub fn attach<F: Function + 'static>(
        &mut self,
        slot: u8,
        function: Arc<Mutex<F>>,
    ) -> Result<(), SlotError> {
        let place = self.functions.get_mut(usize::from(slot));
        let place = place.ok_or(SlotError::NoSuchSlot)?;
        if place.is_some() {
            return Err(SlotError::Taken);
        }
        let regions = {
            let function = function.lock().unwrap_or_else(PoisonError::into_inner);
            function.regions()
        };
        for region in regions {
            self.regions.push((region, function.clone()));
        }
        *place = Some(function);
        Ok(())
    }

    /// The window onto configuration spaces: 1 MiB a bus.
    pub fn ecam(self: &Arc<Self>) -> Arc<dyn Router> {
        Arc::new(Ecam(self.clone()))
    }

    /// A window onto memory, whose first byte has the address `base` on the bus.
    pub fn memory(self: &Arc<Self>, base: u64) -> Arc<dyn Router> {
        let root = self.clone();
        Arc::new(Memory { root, base })
    }

    /// The window onto I/O ports: none of the functions here has any.
    pub fn ports(self: &Arc<Self>) -> Arc<dyn Router> {
        Arc::new(Ports)
    }
}

/// ECAM (PCI Express 5.0, 7.2.2): bits 12 and up of an offset are the function's
/// number, bits 20 and up the bus.
struct Ecam(Arc<Root>);

impl Router for Ecam {
    /// More than four bytes at a time cannot be had.
    fn route(&self, offset: u64, size: Size) -> Option<(&Mutex<dyn Device>, u64)> {
        if size == Size::B8 {
            return None;
        }
        let function = offset / ECAM_FUNCTION_BYTES;
        let (bus, slot, function) = (function / FUNCTIONS, function % FUNCTIONS / 8, function % 8);
        let present = bus == 0 && function == 0;
        let device = self.0.functions.get(slot as usize).filter(|_| present)?;
        let place = Place::Config(offset % ECAM_FUNCTION_BYTES);
        Some((device.as_deref()?, place.number()))
    }
}

struct Memory {
    root: Arc<Root>,
    base: u64,
}

impl Router for Memory {
    fn route(&self, offset: u64, _size: Size) -> Option<(&Mutex<dyn Device>, u64)> {
        let address = self.base.checked_add(offset)?;
        self.root.regions.iter().find_map(|(region, device)| {
            let offset = region.offset_of(address)?;
            let bar = region.bar();
            Some((&**device, Place::Bar { bar, offset }.number()))
        })
    }
}

struct Ports;

impl Router for Ports {
    fn route(&self, _offset: u64, _size: Size) -> Option<(&Mutex<dyn Device>, u64)> {
        None
    }
}
