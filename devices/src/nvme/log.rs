//! Log pages (5.14.1): errors, what the disk has done, firmware.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::command::{Command, Refused, Status};
use super::prp::Buffer;
use super::spec::{ERROR_ENTRIES, log, status};
use super::{Nvme, identify};

/// Bytes of an entry of the error log.
const ERROR_BYTES: usize = 64;
/// Bytes of the other pages.
const PAGE_BYTES: usize = 512;
/// Degrees Kelvin: nothing here gets warm.
const TEMPERATURE: u16 = 313;
/// Blocks in whose multiples data is counted.
const DATA_UNIT: u64 = 1000;

/// What is remembered. A reset of the controller does not clear it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Log {
    /// The latest errors, the newest first; at most [`ERROR_ENTRIES`].
    pub(super) errors: VecDeque<ErrorEntry>,
    /// Errors in all.
    error_count: u64,
    /// Errors of the disk.
    media_errors: u64,
    read: Done,
    written: Done,
}

/// Commands and what they moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    commands: u64,
    blocks: u64,
}

impl Done {
    fn add(&mut self, blocks: u64) {
        self.commands = self.commands.wrapping_add(1);
        self.blocks = self.blocks.wrapping_add(blocks);
    }
}

/// An error (figure 197).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ErrorEntry {
    /// How many errors there were with it.
    count: u64,
    /// Submission queue.
    queue: u16,
    command: u16,
    namespace: u32,
    status: u16,
}

impl Log {
    /// A command ended by a status that is no success.
    pub(super) fn add(&mut self, queue: u16, (command, namespace): (u16, u32), status: Status) {
        if status.is_media_error() {
            self.media_errors = self.media_errors.wrapping_add(1);
        }
        self.error_count = self.error_count.wrapping_add(1);
        self.errors.push_front(ErrorEntry {
            count: self.error_count,
            queue,
            command,
            namespace,
            status: status.bits(),
        });
        self.errors.truncate(ERROR_ENTRIES);
    }

    /// Blocks were read.
    pub(super) fn add_read(&mut self, blocks: u64) {
        self.read.add(blocks);
    }

    /// Blocks were written.
    pub(super) fn add_written(&mut self, blocks: u64) {
        self.written.add(blocks);
    }

    /// Error Information.
    fn error_page(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(ERROR_ENTRIES * ERROR_BYTES);
        for entry in &self.errors {
            let ErrorEntry {
                count,
                queue,
                command,
                namespace,
                status,
            } = *entry;
            let end = page.len() + ERROR_BYTES;
            page.extend(count.to_le_bytes());
            page.extend(queue.to_le_bytes());
            page.extend(command.to_le_bytes());
            page.extend((status << 1).to_le_bytes());
            // The place of the error in the command is not known; nor is the block.
            page.extend(u16::MAX.to_le_bytes());
            page.extend(0u64.to_le_bytes());
            page.extend(namespace.to_le_bytes());
            page.resize(end, 0);
        }
        page.resize(ERROR_ENTRIES * ERROR_BYTES, 0);
        page
    }

    /// SMART / Health Information; `warns`: a temperature is beyond its threshold.
    fn health_page(&self, warns: bool) -> Vec<u8> {
        const TEMPERATURE_WARNING: u8 = 1 << 1;
        let mut page = vec![if warns { TEMPERATURE_WARNING } else { 0 }];
        page.extend(TEMPERATURE.to_le_bytes());
        // Available spare and its threshold in per cent; none of the life is used.
        page.extend([100, 10, 0]);
        page.resize(32, 0);
        // Counters of 128 bits: data, commands; busy time, power cycles and on hours and
        // unsafe shutdowns, which are not counted; errors.
        let counters = [
            self.read.blocks.div_ceil(DATA_UNIT),
            self.written.blocks.div_ceil(DATA_UNIT),
            self.read.commands,
            self.written.commands,
            0,
            0,
            0,
            0,
            self.media_errors,
            self.error_count,
        ];
        page.extend(
            counters
                .into_iter()
                .map(u128::from)
                .flat_map(u128::to_le_bytes),
        );
        page.resize(PAGE_BYTES, 0);
        page
    }
}

/// Firmware Slot Information: slot 1 is active.
fn firmware_page(revision: [u8; 8]) -> Vec<u8> {
    let mut page = vec![1, 0, 0, 0, 0, 0, 0, 0];
    page.extend(revision);
    page.resize(PAGE_BYTES, 0);
    page
}

impl Nvme {
    /// Get Log Page: dwords from an offset on, with zeros behind the page's end.
    pub(super) fn get_log_page(&mut self, command: &Command) -> Result<(), Refused> {
        let (selector, low) = command.halves::<10>();
        let (high, _) = command.halves::<11>();
        let dwords = u64::from(low) | u64::from(high) << 16;
        let len = (dwords + 1) * 4;
        let [identifier, flags] = selector.to_le_bytes();
        let page = match identifier {
            log::ERROR => self.log.error_page(),
            log::HEALTH => self.log.health_page(self.features.warns_of(TEMPERATURE)),
            log::FIRMWARE_SLOT => firmware_page(identify::firmware_revision()),
            _ => return Err(status::INVALID_LOG_PAGE),
        };
        let offset = u64::from(command.dword::<12>()) | u64::from(command.dword::<13>()) << 32;
        let rest = usize::try_from(offset).ok().and_then(|at| page.get(at..));
        let rest = rest.filter(|_| offset.is_multiple_of(4));
        let mut bytes = rest.ok_or(status::INVALID_FIELD)?.to_vec();
        let buffer = Buffer::walk(&self.ram, command.prp, len)?;
        bytes.resize(len as usize, 0);
        buffer.write(&self.ram, &bytes)?;
        const RETAIN_EVENT: u8 = 1 << 7;
        if identifier == log::ERROR && flags & RETAIN_EVENT == 0 {
            self.events.clear();
        }
        Ok(())
    }
}
