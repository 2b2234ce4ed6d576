//! What virtio's transports have in common: status, negotiation, the queues and their
//! setup, the saved state of all that.
//!
//! A transport is a face of a [`Core`]: registers that lead to its methods, and a form
//! of interrupt for each [`Cause`] that it raises. The run loop reaches a device through
//! whichever face it has, by [`Transport`].

mod saved;

use std::sync::Arc;

use isoform_core::Device;
use isoform_memory::Ram;

use super::queue::{Setup, VirtQueue};
use super::spec::{Features, Status};
use super::{Doorbell, NeedsReset, QueueSlot, Queues, VirtioDevice};

pub use saved::CoreState;

/// Which interface a device shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// That of Virtio 1.
    Modern,
    /// The one before (1.3.1).
    Legacy,
}

/// Why the driver is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Buffers of this queue were used.
    Queue(u16),
    /// The configuration changed, or the device needs a reset.
    Config,
}

/// A device behind the registers of a transport.
pub trait Transport: Device {
    /// The kind of device.
    type Inner: VirtioDevice;

    /// The device, with what all transports have in common.
    fn core(&mut self) -> &mut Core<Self::Inner>;

    /// Makes interrupts of what the core has raised.
    fn sync(&mut self);

    /// Lets the device work on its queues, then tells the driver what came of it.
    /// `None`: the driver broke the rules, and the device needs a reset.
    fn with<R>(
        &mut self,
        work: impl FnOnce(&mut Self::Inner, &mut Queues<'_>) -> Result<R, NeedsReset>,
    ) -> Option<R>
    where
        Self: Sized,
    {
        let result = self.core().with(work);
        self.sync();
        result
    }

    /// The configuration space changed.
    fn config_changed(&mut self) {
        self.core().config_changed();
        self.sync();
    }
}

impl<T: Transport> QueueSlot for T {
    fn process(&mut self, queue: u16) {
        self.with(|device, queues| device.process(queues, queue));
    }
}

/// A device with all of its state that does not depend on the transport.
pub struct Core<D: VirtioDevice> {
    // --- fixed configuration
    interface: Interface,

    // --- connections
    ram: Arc<Ram>,
    doorbell: Arc<dyn Doorbell>,

    // --- guest-visible state
    device: D,
    status: Status,
    driver_features: u64,
    /// Which half of the device's features is read.
    pub(super) device_features_sel: u32,
    /// Which half of the driver's features is written.
    pub(super) driver_features_sel: u32,
    /// The queue that the registers are about.
    pub(super) queue_sel: u32,
    config_generation: u32,
    queues: Vec<VirtQueue>,
    /// The device may access memory. Kept by the transport, which saves it.
    is_master: bool,
    /// Not told to the driver yet. Empty between calls from outside, and therefore not
    /// saved.
    raised: Vec<Cause>,
}

impl<D: VirtioDevice> Core<D> {
    pub(super) fn new(
        interface: Interface,
        device: D,
        ram: Arc<Ram>,
        doorbell: Arc<dyn Doorbell>,
    ) -> Self {
        let sizes = device.queue_sizes();
        Self {
            interface,
            ram,
            doorbell,
            device,
            status: Status::empty(),
            driver_features: 0,
            device_features_sel: 0,
            driver_features_sel: 0,
            queue_sel: 0,
            config_generation: 0,
            queues: sizes.into_iter().map(VirtQueue::new).collect(),
            is_master: true,
            raised: Vec::new(),
        }
    }

    /// The device itself.
    pub fn device(&self) -> &D {
        &self.device
    }

    pub(super) fn interface(&self) -> Interface {
        self.interface
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    pub(super) fn config_generation(&self) -> u32 {
        self.config_generation
    }

    /// How many queues there are.
    pub(super) fn queue_count(&self) -> usize {
        self.queues.len()
    }

    /// The selected queue, if it exists.
    pub(super) fn queue(&self) -> Option<&VirtQueue> {
        self.queues.get(self.queue_sel as usize)
    }

    fn queue_mut(&mut self) -> Option<&mut VirtQueue> {
        self.queues.get_mut(self.queue_sel as usize)
    }

    /// What the driver has to be told next.
    pub(super) fn next_cause(&mut self) -> Option<Cause> {
        self.raised.pop()
    }

    fn with<R>(
        &mut self,
        work: impl FnOnce(&mut D, &mut Queues<'_>) -> Result<R, NeedsReset>,
    ) -> Option<R> {
        let live = self.is_live();
        let event_idx = self.driver_features & Features::EVENT_IDX.bits() != 0;
        for queue in &mut self.queues {
            queue.set_event_idx(event_idx);
        }
        let mut queues = Queues::new(&self.ram, &mut self.queues, self.driver_features, live);
        let result = work(&mut self.device, &mut queues);
        for queue in queues.take_again() {
            self.doorbell.ring(queue);
        }
        let result = result.and_then(|r| {
            for (number, queue) in self.queues.iter_mut().enumerate() {
                if queue.take_interrupt(&self.ram)? {
                    self.raised.push(Cause::Queue(number as u16));
                }
            }
            Ok(r)
        });
        if result.is_err() {
            self.need_reset();
        }
        result.ok()
    }

    fn config_changed(&mut self) {
        self.config_generation = self.config_generation.wrapping_add(1);
        if self.is_live() {
            self.raised.push(Cause::Config);
        }
    }

    /// Whether the device may touch its queues. A legacy driver may use them before
    /// it says that it is ready (3.1.2).
    fn is_live(&self) -> bool {
        let ready = match self.interface {
            Interface::Modern => self.status.contains(Status::DRIVER_OK),
            Interface::Legacy => !self.status.is_empty(),
        };
        ready && self.is_master && !self.status.contains(Status::DEVICE_NEEDS_RESET)
    }

    /// The device may access memory from now on, or may not.
    pub(super) fn set_master(&mut self, is_master: bool) {
        let before = std::mem::replace(&mut self.is_master, is_master);
        if is_master && !before && self.is_live() {
            self.ring_all();
        }
    }

    /// Has every queue in use looked at.
    fn ring_all(&self) {
        for (number, queue) in self.queues.iter().enumerate() {
            if queue.is_ready() {
                self.doorbell.ring(number as u16);
            }
        }
    }

    /// The driver broke the rules.
    pub(super) fn need_reset(&mut self) {
        // The driver is told by a configuration change, if it listens yet (2.1.2).
        if self.status.contains(Status::DRIVER_OK) {
            self.raised.push(Cause::Config);
        }
        self.status |= Status::DEVICE_NEEDS_RESET;
    }

    /// Reset by the driver, or by the machine.
    pub(super) fn reset(&mut self) {
        self.device.reset();
        for queue in &mut self.queues {
            *queue = VirtQueue::new(queue.max_size());
        }
        self.status = Status::empty();
        self.driver_features = 0;
        self.device_features_sel = 0;
        self.driver_features_sel = 0;
        self.queue_sel = 0;
        self.raised.clear();
    }

    // --- what registers of either transport do

    /// The feature bits offered.
    fn offered(&self) -> u64 {
        let common = Features::INDIRECT_DESC | Features::EVENT_IDX;
        let by_interface = match self.interface {
            Interface::Modern => Features::VERSION_1,
            Interface::Legacy => Features::ANY_LAYOUT,
        };
        self.device.features() | (common | by_interface).bits()
    }

    /// The selected half of the features offered.
    pub(super) fn read_device_features(&self) -> u32 {
        half(self.offered(), self.device_features_sel)
    }

    /// The selected half of the features accepted.
    pub(super) fn read_driver_features(&self) -> u32 {
        half(self.driver_features, self.driver_features_sel)
    }

    /// Sets the selected half of the features that the driver accepts.
    pub(super) fn write_driver_features(&mut self, value: u32) {
        let negotiated = match self.interface {
            Interface::Modern => self.status.contains(Status::FEATURES_OK),
            Interface::Legacy => self.status.contains(Status::DRIVER_OK),
        };
        if negotiated {
            return;
        }
        match self.driver_features_sel {
            0 => set_low(&mut self.driver_features, value),
            1 => set_high(&mut self.driver_features, value),
            _ => {}
        }
        if self.interface == Interface::Legacy {
            // There is no way to refuse; unknown bits are not accepted.
            self.driver_features &= self.offered();
        }
    }

    /// A status other than 0, which means [`Core::reset`].
    pub(super) fn write_status(&mut self, value: u32) {
        // Only a reset clears bits (2.1.1), and only the device says that it needs one.
        let mut new = Status::from_bits_truncate(value) - Status::DEVICE_NEEDS_RESET;
        if self.interface == Interface::Modern {
            if !self.status.contains(Status::FEATURES_OK) && !self.features_acceptable() {
                new -= Status::FEATURES_OK;
            }
            if !(self.status | new).contains(Status::FEATURES_OK) {
                new -= Status::DRIVER_OK;
            }
        }
        let now_ready = (new - self.status).contains(Status::DRIVER_OK);
        self.status |= new;
        if now_ready {
            // Buffers may have been offered before, when notifying was too early.
            self.ring_all();
        }
    }

    /// A driver may accept only what was offered (2.2.2). One that does not say that it
    /// knows modern devices could be refused (6.1), but drives the registers of one:
    /// teaching kernels look at the lower half of the features alone.
    fn features_acceptable(&self) -> bool {
        self.driver_features & !self.offered() == 0
    }

    /// Changes the setup of the selected queue, unless it is in use.
    pub(super) fn set_up(&mut self, change: impl FnOnce(&mut Setup)) {
        if let Some(setup) = self.queue_mut().and_then(VirtQueue::setup_mut) {
            change(setup);
        }
    }

    /// Takes the selected queue into use; whether it is. Features come first: they
    /// decide how the ring is read (3.1.1).
    pub(super) fn start_queue(&mut self) -> bool {
        if self.interface == Interface::Modern && !self.status.contains(Status::FEATURES_OK) {
            return false;
        }
        let Some(queue) = self.queues.get_mut(self.queue_sel as usize) else {
            return false;
        };
        let started = queue.start(&self.ram).is_ok();
        if !started {
            self.need_reset();
        }
        started
    }

    /// Takes the selected queue out of use.
    pub(super) fn stop_queue(&mut self) {
        let number = self.queue_sel;
        if let Some(queue) = self.queue_mut()
            && queue.is_ready()
        {
            queue.stop();
            self.device.queue_stopped(number as u16);
        }
    }

    /// The driver notifies a queue.
    pub(super) fn notify(&self, queue: u32) {
        let ready = self
            .queues
            .get(queue as usize)
            .is_some_and(VirtQueue::is_ready);
        if ready && self.is_live() {
            self.doorbell.ring(queue as u16);
        }
    }

    /// Eight bytes of the configuration space.
    pub(super) fn read_config(&self, at: u64) -> u64 {
        let config = self.device.config();
        let bytes = usize::try_from(at).ok().and_then(|at| config.get(at..));
        let mut value = [0; 8];
        for (to, from) in value.iter_mut().zip(bytes.unwrap_or_default()) {
            *to = *from;
        }
        u64::from_le_bytes(value)
    }

    pub(super) fn write_config(&mut self, at: u64, bytes: &[u8]) {
        self.device.write_config(at, bytes);
    }
}

/// The half of 64 feature bits that a selector names; beyond them there are none.
fn half(features: u64, selector: u32) -> u32 {
    match selector {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}

/// Sets the low half of an address or of features.
pub(super) fn set_low(wide: &mut u64, low: u32) {
    *wide = *wide & !u64::from(u32::MAX) | u64::from(low);
}

/// Sets the high half.
pub(super) fn set_high(wide: &mut u64, high: u32) {
    *wide = *wide & u64::from(u32::MAX) | u64::from(high) << 32;
}
