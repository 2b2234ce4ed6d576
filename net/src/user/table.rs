//! Sockets of the host's that stand for something of the guest's, each found by what that
//! is and by the token of its events. There are so many at most; who wants one more takes
//! the place of the idlest. Unused for some time, they are closed.

use std::collections::HashMap;
use std::hash::Hash;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use smoltcp::time::{Duration, Instant};

use super::agenda::{Agenda, Alarm, Kind, Token};
use super::host::Host;
use super::tcp::Around;

/// A socket, and what is known of it.
pub(crate) struct Row<K, T> {
    pub(crate) key: K,
    pub(crate) socket: OwnedFd,
    /// What differs from kind to kind.
    pub(crate) of: T,
    token: Token,
    used: Instant,
    /// How long it may be unused.
    patience: Duration,
    queued: bool,
    alarm: Alarm,
}

impl<K, T> Row<K, T> {
    /// It is used: from now on it may be unused for as long again.
    pub(crate) fn used(&mut self, now: Instant, agenda: &mut Agenda) {
        self.used = now;
        agenda.wake(self.token, &mut self.alarm, now + self.patience);
    }

    /// Its turn has begun.
    pub(crate) fn served(&mut self) {
        self.queued = false;
    }

    /// It wants another turn.
    pub(crate) fn again(&mut self, agenda: &mut Agenda) {
        agenda.serve(self.token, &mut self.queued);
    }
}

/// All of one kind.
pub(crate) struct Table<K, T> {
    kind: Kind,
    most: usize,
    rows: HashMap<Token, Row<K, T>>,
    by_key: HashMap<K, Token>,
}

impl<K: Copy + Eq + Hash, T> Table<K, T> {
    pub(crate) fn new(kind: Kind, most: usize) -> Self {
        Self {
            kind,
            most,
            rows: HashMap::new(),
            by_key: HashMap::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the next one takes the place of another.
    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= self.most
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &Row<K, T>> {
        self.rows.values()
    }

    pub(crate) fn by_token(&mut self, token: Token) -> Option<&mut Row<K, T>> {
        self.rows.get_mut(&token)
    }

    pub(crate) fn by_key(&mut self, key: &K) -> Option<&mut Row<K, T>> {
        self.rows.get_mut(self.by_key.get(key)?)
    }

    /// Puts a socket into the table, for `patience` at first.
    ///
    /// # Errors
    /// When its events cannot be watched.
    pub(crate) fn add<H: Host>(
        &mut self,
        (key, socket, of): (K, OwnedFd, T),
        patience: Duration,
        around: &mut Around<'_, H>,
    ) -> Result<&mut Row<K, T>, Errno> {
        if self.is_full() {
            let idlest = self.rows.values().min_by_key(|row| row.used);
            if let Some(key) = idlest.map(|row| row.key) {
                self.remove(&key, around.agenda);
            }
        }
        let token = around.agenda.token(self.kind);
        around.host.watch(socket.as_fd(), token)?;
        let mut row = Row {
            key,
            socket,
            of,
            token,
            used: around.now,
            patience,
            queued: false,
            alarm: Alarm::default(),
        };
        row.used(around.now, around.agenda);
        self.by_key.insert(key, token);
        Ok(self.rows.entry(token).insert_entry(row).into_mut())
    }

    pub(crate) fn remove(&mut self, key: &K, agenda: &mut Agenda) {
        let token = self.by_key.remove(key);
        if let Some(mut row) = token.and_then(|token| self.rows.remove(&token)) {
            agenda.cancel(row.token, &mut row.alarm);
        }
    }

    /// A socket became readable.
    pub(crate) fn ready(&mut self, token: Token, agenda: &mut Agenda) {
        if let Some(row) = self.rows.get_mut(&token) {
            row.again(agenda);
        }
    }

    /// An alarm went off: whoever was not used since is closed.
    pub(crate) fn rang(&mut self, token: Token, now: Instant, agenda: &mut Agenda) {
        let Some(row) = self.rows.get_mut(&token) else {
            return;
        };
        row.alarm.rang();
        let expiry = row.used + row.patience;
        if now < expiry {
            return agenda.wake(token, &mut row.alarm, expiry);
        }
        let key = row.key;
        self.remove(&key, agenda);
    }
}
