//! Folders of the host in the machine's slots.

use super::error::VmError;
use super::event::Event;
use super::limit;
use super::wiring::{Time, free_slot};
use crate::board::Slot;
use crate::config::{MachineConfig, SlotId};
use isoform_devices::virtio::p9::{P9Port, P9Request};
use isoform_share::{Access, Job, Share, Workers};

/// Puts the shared folders into slots, each with its file server: threads of its own or,
/// under the instruction clock, at hand.
pub(super) fn shares(
    config: &MachineConfig,
    time: &Time,
    slots: &mut Vec<(SlotId, Slot)>,
    servers: &mut Vec<Workers>,
) -> Result<(), VmError> {
    if !config.shares.is_empty() {
        limit::raise_descriptors();
    }
    for wanted in &config.shares {
        let slot = free_slot(slots).ok_or(VmError::NoSlot("--share"))?;
        let access = match wanted.readonly {
            true => Access::ReadOnly,
            false => Access::Full,
        };
        let share = Share::open(&wanted.folder, access, config.shares.len())?;
        let post = time.post.clone();
        let answered = move |id, answer| post.post(Event::Share { slot, id, answer });
        let port: Box<dyn P9Port> = if time.insn.is_some() {
            Box::new(move |P9Request { id, message, room }| {
                answered(id, share.answer(&message, room));
            })
        } else {
            let workers = Workers::start(share, answered)?;
            let submitter = workers.submitter();
            servers.push(workers);
            Box::new(move |P9Request { id, message, room }| {
                submitter.submit(Job {
                    id,
                    request: message,
                    room,
                });
            })
        };
        slots.push((slot, Slot::P9(wanted.tag.clone(), port)));
    }
    Ok(())
}
