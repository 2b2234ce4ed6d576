//! Registers, queues, commands and status codes (NVM Express Base Specification 1.4; the
//! sections cited here and beside this file are its).

use bitflags::bitflags;

use super::command::Status;
use crate::pci::spec::class;

/// Vendor, which QEMU's controllers have, too.
pub const VENDOR: u16 = 0x1b36;
/// Device.
pub const DEVICE: u16 = 0x0010;
/// Vendor of the subsystem.
pub const SUBSYSTEM_VENDOR: u16 = 0x1af4;
/// The subsystem.
pub const SUBSYSTEM: u16 = 0x1100;
/// Class with the programming interface of NVM Express (2.1.5).
pub const CLASS: u32 = class::STORAGE_NVM | 0x02;

/// BAR of the controller's registers.
pub const BAR: u8 = 0;
/// Its size.
pub const BAR_BYTES: u64 = 0x4000;
/// BAR of the table of MSI-X.
pub const MSIX_BAR: u8 = 4;

/// Bytes of a memory page: CC.MPS is 0.
pub const PAGE: u64 = 4096;
/// Bytes of a logical block.
pub const BLOCK: u64 = 512;
/// Its power of two (LBADS).
pub const BLOCK_SHIFT: u8 = 9;
/// Bytes of an entry in a submission queue.
pub const SQE_BYTES: u64 = 64;
/// Bytes of an entry in a completion queue.
pub const CQE_BYTES: u64 = 16;
/// The most entries of an I/O queue.
pub const ENTRIES_MAX: u16 = 1024;
/// The most entries of an admin queue: AQA has 12 bits.
pub const ADMIN_ENTRIES_MAX: u16 = 4096;
/// I/O queues of either kind, which have identifiers from 1 up.
pub const IO_QUEUES: u16 = 16;
/// Maximum data transfer size, as a power of two of pages: 256 KiB.
pub const MDTS: u8 = 6;
/// The same in bytes.
pub const TRANSFER_MAX: u64 = PAGE << MDTS;
/// Asynchronous event requests that may be outstanding.
pub const EVENT_REQUESTS_MAX: usize = 4;
/// Entries of the error log.
pub const ERROR_ENTRIES: usize = 4;
/// The one namespace.
pub const NAMESPACE: u32 = 1;
/// Stands for all namespaces.
pub const BROADCAST: u32 = u32::MAX;
/// Bytes that Identify gives.
pub const IDENTIFY_BYTES: usize = 4096;

/// Offsets of registers (3.1).
pub mod register {
    /// Capabilities; 64 bits.
    pub const CAP: u64 = 0x00;
    /// Version.
    pub const VS: u64 = 0x08;
    /// Interrupt mask set.
    pub const INTMS: u64 = 0x0c;
    /// Interrupt mask clear.
    pub const INTMC: u64 = 0x10;
    /// [`Configuration`](super::Configuration).
    pub const CC: u64 = 0x14;
    /// [`ControllerStatus`](super::ControllerStatus).
    pub const CSTS: u64 = 0x1c;
    /// Sizes of the admin queues.
    pub const AQA: u64 = 0x24;
    /// Base of the admin submission queue; 64 bits.
    pub const ASQ: u64 = 0x28;
    /// Its upper half.
    pub const ASQ_HIGH: u64 = 0x2c;
    /// Base of the admin completion queue; 64 bits.
    pub const ACQ: u64 = 0x30;
    /// Its upper half.
    pub const ACQ_HIGH: u64 = 0x34;
    /// The first doorbell: tail of submission queue 0, then head of completion queue 0,
    /// and so on (3.1.24, 3.1.25).
    pub const DOORBELLS: u64 = 0x1000;
    /// Bytes of a doorbell (CAP.DSTRD is 0).
    pub const DOORBELL_BYTES: u64 = 4;
}

/// Version 1.4.
pub const VERSION: u32 = 0x0001_0400;

/// CAP (3.1.1): queues of up to [`ENTRIES_MAX`] entries, each in one piece (CQR), half a
/// minute to get ready (TO), the NVM command set, pages of 4 KiB and no other.
pub const CAPABILITIES: u64 = (ENTRIES_MAX as u64 - 1) | 1 << 16 | 60 << 24 | 1 << 37;

/// Bits of AQA that exist: two sizes of 12 bits.
pub const AQA_MASK: u32 = 0x0fff_0fff;

/// CC (3.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration(pub u32);

impl Configuration {
    /// Bits that exist: EN, CSS, MPS, AMS, SHN, IOSQES, IOCQES.
    const MASK: u32 = 0x00ff_fff1;

    /// What the driver writes.
    pub fn written(value: u32) -> Self {
        Self(value & Self::MASK)
    }

    /// EN.
    pub fn enabled(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether command set, page size and arbitration (CSS, MPS, AMS) are such as there
    /// are here.
    pub fn is_supported(self) -> bool {
        self.0 & 0x3ff0 == 0
    }

    /// SHN: a shutdown is asked for.
    pub fn shuts_down(self) -> bool {
        self.0 >> 14 & 3 != 0
    }

    /// Whether entries of I/O submission queues have the size that there is (IOSQES).
    pub fn has_sqe_size(self) -> bool {
        1 << (self.0 >> 16 & 0xf) == SQE_BYTES
    }

    /// The same of I/O completion queues (IOCQES).
    pub fn has_cqe_size(self) -> bool {
        1 << (self.0 >> 20 & 0xf) == CQE_BYTES
    }
}

/// The type of asynchronous events that tell of errors.
pub const ERROR_EVENT: u32 = 0;

bitflags! {
    /// CSTS (3.1.6).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ControllerStatus: u32 {
        /// Commands are processed.
        const RDY = 1 << 0;
        /// Only a reset helps.
        const CFS = 1 << 1;
        /// SHST: a shutdown is under way.
        const SHUTTING_DOWN = 1 << 2;
        /// SHST: a shutdown is done.
        const SHUT_DOWN = 2 << 2;
    }

    /// Errors that asynchronous events tell of (5.2, figure 147). Their bits are those of
    /// the information's number.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ErrorEvents: u8 {
        /// A doorbell of a queue that does not exist was written.
        const INVALID_DOORBELL_REGISTER = 1 << 0;
        /// A doorbell was written with a value that is none.
        const INVALID_DOORBELL_VALUE = 1 << 1;
    }
}

/// Opcodes of admin commands (5).
pub mod admin {
    /// Delete I/O Submission Queue.
    pub const DELETE_SQ: u8 = 0x00;
    /// Create I/O Submission Queue.
    pub const CREATE_SQ: u8 = 0x01;
    /// Get Log Page.
    pub const GET_LOG_PAGE: u8 = 0x02;
    /// Delete I/O Completion Queue.
    pub const DELETE_CQ: u8 = 0x04;
    /// Create I/O Completion Queue.
    pub const CREATE_CQ: u8 = 0x05;
    /// Identify.
    pub const IDENTIFY: u8 = 0x06;
    /// Abort.
    pub const ABORT: u8 = 0x08;
    /// Set Features.
    pub const SET_FEATURES: u8 = 0x09;
    /// Get Features.
    pub const GET_FEATURES: u8 = 0x0a;
    /// Asynchronous Event Request.
    pub const ASYNC_EVENT_REQUEST: u8 = 0x0c;
}

/// Opcodes of NVM commands (6).
pub mod nvm {
    /// Flush.
    pub const FLUSH: u8 = 0x00;
    /// Write.
    pub const WRITE: u8 = 0x01;
    /// Read.
    pub const READ: u8 = 0x02;
    /// Write Zeroes.
    pub const WRITE_ZEROES: u8 = 0x08;
    /// Dataset Management.
    pub const DATASET_MANAGEMENT: u8 = 0x09;

    /// Dword 12 of reads and writes: past any cache (FUA).
    pub const FORCE_UNIT_ACCESS: u32 = 1 << 30;
    /// Dword 12 of Write Zeroes: room may be given back (DEAC).
    pub const DEALLOCATE: u32 = 1 << 25;
    /// Dword 11 of Dataset Management: ranges are deallocated (AD).
    pub const ATTRIBUTE_DEALLOCATE: u32 = 1 << 2;
    /// Bytes of a range of Dataset Management (6.7).
    pub const RANGE_BYTES: u64 = 16;
}

/// Data structures that Identify gives (5.15.1).
pub mod cns {
    /// A namespace.
    pub const NAMESPACE: u8 = 0x00;
    /// The controller.
    pub const CONTROLLER: u8 = 0x01;
    /// The list of active namespaces.
    pub const ACTIVE_NAMESPACES: u8 = 0x02;
    /// What a namespace is identified by.
    pub const NAMESPACE_DESCRIPTORS: u8 = 0x03;
}

/// Log pages (5.14.1).
pub mod log {
    /// Error Information.
    pub const ERROR: u8 = 0x01;
    /// SMART / Health Information.
    pub const HEALTH: u8 = 0x02;
    /// Firmware Slot Information.
    pub const FIRMWARE_SLOT: u8 = 0x03;
}

/// Features (5.21.1).
pub mod feature {
    /// Arbitration.
    pub const ARBITRATION: u8 = 0x01;
    /// Power Management.
    pub const POWER_MANAGEMENT: u8 = 0x02;
    /// Temperature Threshold.
    pub const TEMPERATURE_THRESHOLD: u8 = 0x04;
    /// Error Recovery.
    pub const ERROR_RECOVERY: u8 = 0x05;
    /// Volatile Write Cache.
    pub const VOLATILE_WRITE_CACHE: u8 = 0x06;
    /// Number of Queues.
    pub const NUMBER_OF_QUEUES: u8 = 0x07;
    /// Interrupt Coalescing.
    pub const INTERRUPT_COALESCING: u8 = 0x08;
    /// Interrupt Vector Configuration.
    pub const INTERRUPT_VECTOR: u8 = 0x09;
    /// Write Atomicity Normal.
    pub const WRITE_ATOMICITY: u8 = 0x0a;
    /// Asynchronous Event Configuration.
    pub const ASYNC_EVENTS: u8 = 0x0b;
}

/// Status codes (4.6.1.2): what a completion says.
pub mod status {
    use super::Status;

    /// Done.
    pub const SUCCESS: Status = Status::generic(0x00);
    /// There is no such command.
    pub const INVALID_OPCODE: Status = Status::generic(0x01);
    /// A field has a value that it must not have.
    pub const INVALID_FIELD: Status = Status::generic(0x02);
    /// Memory that was named cannot be accessed.
    pub const DATA_TRANSFER_ERROR: Status = Status::generic(0x04);
    /// The device failed.
    pub const INTERNAL_ERROR: Status = Status::generic(0x06).retryable();
    /// There is no such namespace.
    pub const INVALID_NAMESPACE: Status = Status::generic(0x0b);
    /// The command comes too late.
    pub const COMMAND_SEQUENCE_ERROR: Status = Status::generic(0x0c);
    /// An address of memory is not aligned.
    pub const INVALID_PRP_OFFSET: Status = Status::generic(0x13);
    /// The namespace cannot be written.
    pub const WRITE_PROTECTED: Status = Status::generic(0x20);
    /// Blocks beyond the end.
    pub const LBA_OUT_OF_RANGE: Status = Status::generic(0x80);

    /// The completion queue named does not exist.
    pub const COMPLETION_QUEUE_INVALID: Status = Status::specific(0x00);
    /// A queue's identifier cannot be used.
    pub const INVALID_QUEUE_IDENTIFIER: Status = Status::specific(0x01);
    /// A queue cannot have this size.
    pub const INVALID_QUEUE_SIZE: Status = Status::specific(0x02);
    /// Too many asynchronous event requests.
    pub const EVENT_REQUESTS_EXCEEDED: Status = Status::specific(0x05);
    /// There is no such interrupt vector.
    pub const INVALID_INTERRUPT_VECTOR: Status = Status::specific(0x08);
    /// There is no such log page.
    pub const INVALID_LOG_PAGE: Status = Status::specific(0x09);
    /// Submission queues still lead to the completion queue.
    pub const INVALID_QUEUE_DELETION: Status = Status::specific(0x0c);
    /// A feature cannot be kept over a reset.
    pub const FEATURE_NOT_SAVEABLE: Status = Status::specific(0x0d);
    /// A feature cannot be changed.
    pub const FEATURE_NOT_CHANGEABLE: Status = Status::specific(0x0e);

    /// The disk could not write.
    pub const WRITE_FAULT: Status = Status::media(0x80);
    /// The disk could not read.
    pub const UNRECOVERED_READ: Status = Status::media(0x81);
}
