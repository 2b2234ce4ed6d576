//! Asynchronous events (5.2): what the controller tells a driver that has asked to be told.
//!
//! Only errors happen here. One of them is told, and then none before the driver has read
//! the log page that clears it.

use super::command::Refused;
use super::queues::ADMIN;
use super::spec::{ERROR_EVENT, EVENT_REQUESTS_MAX, ErrorEvents, log, status};
use super::{Course, Nvme};

/// Requests to be told, and what there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Events {
    /// Identifiers of the commands, at most [`EVENT_REQUESTS_MAX`].
    pub(super) requests: Vec<u16>,
    /// What has happened.
    pub(super) pending: ErrorEvents,
    /// One was told, and its log page not read yet.
    pub(super) told: bool,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            requests: Vec::new(),
            pending: ErrorEvents::empty(),
            told: false,
        }
    }
}

impl Events {
    /// An event happened.
    pub(super) fn add(&mut self, event: ErrorEvents) {
        self.pending |= event;
    }

    /// The driver has read the log page of errors.
    pub(super) fn clear(&mut self) {
        self.told = false;
    }

    /// The event to be told next, if somebody wants to know.
    pub(super) fn next(&self) -> Option<ErrorEvents> {
        let tell = !self.told && !self.requests.is_empty();
        self.pending.iter().next().filter(|_| tell)
    }
}

impl Nvme {
    /// Asynchronous Event Request.
    pub(super) fn request_event(&mut self, command: u16) -> Result<Course, Refused> {
        if self.events.requests.len() >= EVENT_REQUESTS_MAX {
            return Err(status::EVENT_REQUESTS_EXCEEDED);
        }
        self.events.requests.push(command);
        Ok(Course::Waits)
    }

    /// Tells of events. None of them has a place reserved among completions, so they wait
    /// until there is room.
    pub(super) fn tell_events(&mut self) {
        while let Some(event) = self.events.next()
            && self.queues.has_room(ADMIN)
            && let Some(command) = self.events.requests.pop()
        {
            self.events.pending -= event;
            self.events.told = true;
            let information = event.bits().trailing_zeros();
            let result = ERROR_EVENT | information << 8 | u32::from(log::ERROR) << 16;
            self.post(ADMIN, command, (status::SUCCESS, result));
        }
    }
}
