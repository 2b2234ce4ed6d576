//! What is to be done: who is ready to be served, and who wants to be looked at when.
//!
//! Things that can be ready have a [`Token`], which is never used twice, so a late event
//! or timer of something that is gone means nothing to anybody.

use std::collections::{BTreeSet, VecDeque};

use smoltcp::time::Instant;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Ping,
    Listener,
    PublishedUdp,
    Tftp,
    Fragments,
    Other,
}

/// Names one thing that can be ready: its kind above, a serial number below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token(pub(crate) u64);

const KIND_SHIFT: u32 = 56;
const KINDS: [Kind; 7] = [
    Kind::Tcp,
    Kind::Udp,
    Kind::Ping,
    Kind::Listener,
    Kind::PublishedUdp,
    Kind::Tftp,
    Kind::Fragments,
];

impl Token {
    /// The cable's wakeup.
    pub(crate) const CABLE: Self = Self(u64::MAX);
    /// The request to stop.
    pub(crate) const STOP: Self = Self(u64::MAX - 1);

    pub(crate) fn kind(self) -> Kind {
        let number = (self.0 >> KIND_SHIFT) as usize;
        KINDS.get(number).copied().unwrap_or(Kind::Other)
    }
}

/// What became of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// A time that is in the agenda for somebody.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Instant>);

#[derive(Default)]
pub(crate) struct Agenda {
    serial: u64,
    ready: VecDeque<Token>,
    alarms: BTreeSet<(Instant, Token)>,
}

impl Agenda {
    /// A new token.
    pub(crate) fn token(&mut self, kind: Kind) -> Token {
        let number = KINDS.iter().position(|k| *k == kind).unwrap_or(KINDS.len());
        self.serial += 1;
        Token((number as u64) << KIND_SHIFT | self.serial)
    }

    /// Puts the token in line, unless `queued` says that it is there.
    pub(crate) fn serve(&mut self, token: Token, queued: &mut bool) {
        if !std::mem::replace(queued, true) {
            self.ready.push_back(token);
        }
    }

    /// Who is served next; whose `queued` is to be cleared.
    pub(crate) fn next(&mut self) -> Option<Token> {
        self.ready.pop_front()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.ready.is_empty()
    }

    /// Sees to it that the token is looked at no later than `when`. An alarm that is
    /// earlier stays: who is woken too soon looks at its times and sets the next, which
    /// is cheaper than moving an alarm with each packet.
    pub(crate) fn wake(&mut self, token: Token, alarm: &mut Alarm, when: Instant) {
        if alarm.0.is_some_and(|set| set <= when) {
            return;
        }
        self.cancel(token, alarm);
        self.alarms.insert((when, token));
        alarm.0 = Some(when);
    }

    /// Takes the token's alarm back.
    pub(crate) fn cancel(&mut self, token: Token, alarm: &mut Alarm) {
        if let Some(set) = alarm.0.take() {
            self.alarms.remove(&(set, token));
        }
    }

    /// When the next alarm is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.alarms.first().map(|(when, _)| *when)
    }

    /// The next alarm that is due, taken off; its owner forgets it with [`Alarm::rang`].
    pub(crate) fn due(&mut self, now: Instant) -> Option<Token> {
        let first = *self.alarms.first().filter(|(when, _)| *when <= now)?;
        self.alarms.remove(&first);
        Some(first.1)
    }
}

impl Alarm {
    /// It went off.
    pub(crate) fn rang(&mut self) {
        self.0 = None;
    }
}
