//! The TFTP server (RFC 1350) from which firmware boots: reads of one folder's files,
//! with the options of RFC 2347: `blksize` (2348), `timeout` and `tsize` (2349),
//! `windowsize` (7440).
//!
//! The kernel keeps paths within the folder (`RESOLVE_BENEATH`): neither `..` nor a
//! symbolic link leads out of it. A leading slash means the folder.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;
use smoltcp::time::{Duration, Instant};

use super::agenda::{Agenda, Alarm, Kind, Token};
use super::lan::{Endpoint, GATEWAY, Lan};

/// The server's port.
pub(crate) const PORT: u16 = 69;
/// Transfers at a time.
const SESSIONS: usize = 32;
/// Where their ports begin.
const PORTS: std::ops::Range<u16> = 32768..49152;
/// Times that a block is sent before a transfer is given up.
const TRIES: u32 = 6;
const BLOCK: usize = 512;
const WINDOW: u64 = 16;
/// Bytes of headers around a block.
const HEADERS: usize = 20 + 8 + 4;

/// Opcodes.
const RRQ: u16 = 1;
const WRQ: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// Error codes.
const NOT_FOUND: u16 = 1;
const ACCESS: u16 = 2;
const ILLEGAL: u16 = 4;
const UNKNOWN_ID: u16 = 5;

struct Session {
    token: Token,
    guest: Endpoint,
    port: u16,
    file: File,
    size: u64,
    block: usize,
    window: u64,
    timeout: Duration,
    /// The answer to options, until it is acknowledged.
    options: Option<Vec<u8>>,
    /// Blocks that the client has.
    acknowledged: u64,
    tries: u32,
    alarm: Alarm,
    due: Instant,
}

pub(crate) struct Tftp {
    folder: Option<OwnedFd>,
    sessions: HashMap<Token, Session>,
    next_port: u16,
}

impl Tftp {
    /// Serves a folder; without one, nothing.
    pub(crate) fn new(folder: Option<&Path>) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = folder
            .map(|path| open(path, flags, Mode::empty()))
            .transpose()?;
        Ok(Self {
            folder,
            sessions: HashMap::new(),
            next_port: PORTS.start,
        })
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is a server at all.
    pub(crate) fn serves(&self) -> bool {
        self.folder.is_some()
    }

    /// A request to the server's port.
    pub(crate) fn request(
        &mut self,
        guest: Endpoint,
        payload: &[u8],
        lan: &mut Lan,
        agenda: &mut Agenda,
        now: Instant,
    ) {
        let from = (GATEWAY, PORT);
        let mut refuse = |code, text| lan.udp(from, guest, &error(code, text));
        let Some((opcode, rest)) = opcode(payload) else {
            return;
        };
        match opcode {
            RRQ => {}
            WRQ => return refuse(ACCESS, "files here can only be read"),
            ERROR => return,
            _ => return refuse(ILLEGAL, "neither a request to read nor to write"),
        }
        let mut strings = rest.split(|byte| *byte == 0);
        let (Some(name), Some(mode)) = (strings.next(), strings.next()) else {
            return refuse(ILLEGAL, "a request without a name or a mode");
        };
        if mode.eq_ignore_ascii_case(b"mail") {
            return refuse(ILLEGAL, "no mail here");
        }
        let (file, size) = match self.open(name) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return refuse(NOT_FOUND, "no such file"),
            Err(_) => return refuse(ACCESS, "not a file of the folder that may be read"),
        };
        let Some(port) = self.prepare(guest, agenda) else {
            return;
        };
        let mut session = Session {
            token: agenda.token(Kind::Tftp),
            guest,
            port,
            file,
            size,
            block: BLOCK,
            window: 1,
            timeout: Duration::from_secs(1),
            options: None,
            acknowledged: 0,
            tries: 0,
            alarm: Alarm::default(),
            due: now,
        };
        session.negotiate(strings, lan.guest_mtu());
        let token = session.token;
        let over = session.transmit(lan, agenda, now);
        self.sessions.insert(token, session);
        if over {
            self.remove(token, agenda);
        }
    }

    /// Opens a file, and says how long it is.
    fn open(&self, name: &[u8]) -> Result<(File, u64), Errno> {
        let folder = self.folder.as_ref().ok_or(Errno::NOENT)?;
        let start = name.iter().position(|byte| *byte != b'/');
        let name = start.and_then(|at| name.get(at..)).ok_or(Errno::NOENT)?;
        // Not to wait for a pipe's other end, nor to get a terminal.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let file = File::from(openat2(folder, name, flags, Mode::empty(), resolve)?);
        let about = file.metadata().map_err(|_| Errno::IO)?;
        match about.is_file() {
            true => Ok((file, about.len())),
            false => Err(Errno::ACCESS),
        }
    }

    /// Makes room for a transfer to `guest`, whose earlier one from the same port is
    /// over; a port for it.
    fn prepare(&mut self, guest: Endpoint, agenda: &mut Agenda) -> Option<u16> {
        let same = self
            .sessions
            .values()
            .find(|session| session.guest == guest);
        let full = self.sessions.len() >= SESSIONS;
        let oldest = self.sessions.values().min_by_key(|session| session.due);
        if let Some(token) = same
            .or(oldest.filter(|_| full))
            .map(|session| session.token)
        {
            self.remove(token, agenda);
        }
        let taken = |port: u16| self.sessions.values().any(|session| session.port == port);
        let from = self.next_port;
        let port = (from..PORTS.end)
            .chain(PORTS.start..from)
            .find(|port| !taken(*port))?;
        self.next_port = if port + 1 < PORTS.end {
            port + 1
        } else {
            PORTS.start
        };
        Some(port)
    }

    fn remove(&mut self, token: Token, agenda: &mut Agenda) {
        if let Some(mut session) = self.sessions.remove(&token) {
            agenda.cancel(token, &mut session.alarm);
        }
    }

    /// A packet to the gateway's `port`. Whether that is a transfer's.
    pub(crate) fn receive(
        &mut self,
        guest: Endpoint,
        port: u16,
        payload: &[u8],
        lan: &mut Lan,
        agenda: &mut Agenda,
        now: Instant,
    ) -> bool {
        let Some(session) = self
            .sessions
            .values_mut()
            .find(|session| session.port == port)
        else {
            return false;
        };
        if session.guest != guest {
            lan.udp(
                (GATEWAY, port),
                guest,
                &error(UNKNOWN_ID, "not your transfer"),
            );
            return true;
        }
        let over = match opcode(payload) {
            Some((ACK, &[high, low, ..])) => {
                session.acknowledge(u16::from_be_bytes([high, low]), lan, agenda, now)
            }
            Some((ERROR, _)) => true,
            _ => false,
        };
        if over {
            let token = session.token;
            self.remove(token, agenda);
        }
        true
    }

    /// An alarm went off: what was not acknowledged is sent again.
    pub(crate) fn rang(&mut self, token: Token, lan: &mut Lan, agenda: &mut Agenda, now: Instant) {
        let Some(session) = self.sessions.get_mut(&token) else {
            return;
        };
        session.alarm.rang();
        if now < session.due {
            return agenda.wake(token, &mut session.alarm, session.due);
        }
        if !lan.has_room() {
            // Its client has not even seen the last try.
            return session.wait(agenda, now);
        }
        session.tries += 1;
        if session.tries >= TRIES || session.transmit(lan, agenda, now) {
            self.remove(token, agenda);
        }
    }
}

impl Session {
    /// Reads pairs of names and values; those that are taken are answered.
    fn negotiate<'a>(&mut self, mut strings: impl Iterator<Item = &'a [u8]>, mtu: usize) {
        let mut answer = OACK.to_be_bytes().to_vec();
        while let (Some(name), Some(value)) = (strings.next(), strings.next()) {
            let name = name.to_ascii_lowercase();
            let value = std::str::from_utf8(value)
                .ok()
                .and_then(|v| v.parse::<u64>().ok());
            let taken = match (name.as_slice(), value) {
                // What would arrive in fragments is refused: firmware may not take them.
                (b"blksize", Some(asked @ 8..=65464)) => {
                    let most = mtu.saturating_sub(HEADERS).max(BLOCK) as u64;
                    self.block = asked.min(most) as usize;
                    self.block as u64
                }
                (b"timeout", Some(seconds @ 1..=255)) => {
                    self.timeout = Duration::from_secs(seconds);
                    seconds
                }
                (b"tsize", Some(_)) => self.size,
                (b"windowsize", Some(asked @ 1..=65535)) => {
                    self.window = asked.min(WINDOW);
                    self.window
                }
                _ => continue,
            };
            answer.extend_from_slice(&name);
            answer.extend_from_slice(format!("\0{taken}\0").as_bytes());
        }
        self.options = (answer.len() > 2).then_some(answer);
    }

    /// Blocks of the file, the last of which is shorter than the others, or empty.
    fn blocks(&self) -> u64 {
        self.size / self.block as u64 + 1
    }

    /// The client has the blocks up to `number`. Whether the transfer is over.
    fn acknowledge(
        &mut self,
        number: u16,
        lan: &mut Lan,
        agenda: &mut Agenda,
        now: Instant,
    ) -> bool {
        // Numbers go round; what is meant is in the window, or a duplicate.
        let ahead = u64::from(number.wrapping_sub(self.acknowledged as u16));
        let first = self.options.is_some() && number == 0 && self.acknowledged == 0;
        if first {
            self.options = None;
        } else if self.options.is_some() || ahead == 0 || ahead > self.window {
            // Answering duplicates would double all that follows (RFC 1123 4.2.3.1).
            return false;
        }
        self.acknowledged += ahead;
        if self.acknowledged >= self.blocks() {
            return true;
        }
        self.tries = 0;
        self.transmit(lan, agenda, now)
    }

    /// Lets the client have its time to answer.
    fn wait(&mut self, agenda: &mut Agenda, now: Instant) {
        self.due = now + self.timeout;
        agenda.wake(self.token, &mut self.alarm, self.due);
    }

    /// Sends a window of blocks, or the answer to options. Whether the transfer is over,
    /// as the file cannot be read.
    fn transmit(&mut self, lan: &mut Lan, agenda: &mut Agenda, now: Instant) -> bool {
        let from = (GATEWAY, self.port);
        self.wait(agenda, now);
        if let Some(options) = &self.options {
            lan.udp(from, self.guest, options);
            return false;
        }
        let last = self.blocks().min(self.acknowledged + self.window);
        for block in self.acknowledged..last {
            let at = block * self.block as u64;
            let length = self.size.saturating_sub(at).min(self.block as u64) as usize;
            let number = (block + 1) as u16; // goes round
            let mut packet = [DATA.to_be_bytes(), number.to_be_bytes()].concat();
            let header = packet.len();
            packet.resize(header + length, 0);
            let room = packet.get_mut(header..).unwrap_or_default();
            if self.file.read_exact_at(room, at).is_err() {
                let text = "the file cannot be read, or became shorter";
                lan.udp(from, self.guest, &error(0, text));
                return true;
            }
            lan.udp(from, self.guest, &packet);
        }
        false
    }
}

fn opcode(payload: &[u8]) -> Option<(u16, &[u8])> {
    let (opcode, rest) = payload.split_first_chunk()?;
    Some((u16::from_be_bytes(*opcode), rest))
}

fn error(code: u16, text: &str) -> Vec<u8> {
    let mut packet = [ERROR.to_be_bytes(), code.to_be_bytes()].concat();
    packet.extend_from_slice(text.as_bytes());
    packet.push(0);
    packet
}
