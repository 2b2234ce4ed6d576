//! A file server over loopback that can be told to misbehave.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::fixtures::Tree;

/// What the server does wrong with a path, once for each entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Closes the connection after that many bytes of the body.
    CutAt(usize),
    /// Stops sending after that many, but keeps the connection.
    StallAt(usize),
    /// Sends the whole file to whoever asks for a part.
    IgnoreRange,
    /// Answers with this status.
    Status(u16),
    /// Sends elsewhere.
    Redirect(String),
    /// Flips a bit in the middle.
    Corrupt,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, Vec<Fault>>,
    requests: Vec<String>,
}

/// Serves until the test process ends.
#[derive(Clone)]
pub(super) struct Server {
    state: Arc<Mutex<State>>,
    port: u16,
}

impl Server {
    pub(super) fn new(tree: &Tree) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State {
            files: tree.files.clone(),
            ..State::default()
        }));
        let server = Server {
            state: state.clone(),
            port,
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        server
    }

    /// The archive's address.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/debian", self.port)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Adds faults for `path`, one a request.
    pub(super) fn fault(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        self.state
            .lock()
            .unwrap()
            .faults
            .entry(path.to_owned())
            .or_default()
            .extend(faults);
    }

    pub(super) fn remove(&self, path: &str) {
        self.state.lock().unwrap().files.remove(path);
    }

    pub(super) fn replace(&self, tree: &Tree) {
        self.state.lock().unwrap().files = tree.files.clone();
    }

    /// Request lines (and `Range`, `Proxy-Authorization`) since the last call.
    pub(super) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(head) = read_head(&mut reader) {
        if answer(&stream, &head, state).is_none() {
            return;
        }
    }
}

fn read_head(reader: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            return Some(head);
        }
        head.push(line);
    }
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    head.iter().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// `None` closes the connection.
fn answer(mut stream: &TcpStream, head: &[String], state: &Mutex<State>) -> Option<()> {
    let target = head.first()?.split(' ').nth(1)?;
    let path = target
        .split_once("/debian/")
        .map_or("", |(_, path)| path)
        .to_owned();
    let range = header(head, "range");
    let (content, fault) = {
        let mut state = state.lock().unwrap();
        let extra = [range, header(head, "proxy-authorization")]
            .into_iter()
            .flatten();
        state.requests.push(
            std::iter::once(target)
                .chain(extra)
                .collect::<Vec<_>>()
                .join(" "),
        );
        let faults = state
            .faults
            .get_mut(&path)
            .filter(|faults| !faults.is_empty());
        let fault = faults.map(|faults| faults.remove(0));
        (state.files.get(&path).cloned(), fault)
    };
    let status = |status: u16, more: &str| {
        write!(
            &*stream,
            "HTTP/1.1 {status} Text\r\nContent-Length: 0\r\n{more}\r\n"
        )
        .ok()
    };
    let mut content = match (&fault, content) {
        (Some(Fault::Status(code)), _) => return status(*code, ""),
        (Some(Fault::Redirect(to)), _) => return status(302, &format!("Location: {to}\r\n")),
        (_, None) => return status(404, ""),
        (_, Some(content)) => content,
    };
    let total = content.len();
    let start = range.and_then(|r| {
        r.strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse::<usize>()
            .ok()
    });
    let start = start.filter(|_| fault != Some(Fault::IgnoreRange));
    if fault == Some(Fault::Corrupt) {
        content[total / 2] ^= 1;
    }
    let mut lines = "HTTP/1.1 200 OK\r\n".to_owned();
    if let Some(start) = start {
        if start >= total {
            return status(416, "");
        }
        content.drain(..start);
        lines = format!(
            "HTTP/1.1 206 Part\r\nContent-Range: bytes {start}-{}/{total}\r\n",
            total - 1
        );
    }
    write!(stream, "{lines}Content-Length: {}\r\n\r\n", content.len()).ok()?;
    match fault {
        Some(Fault::CutAt(n)) => {
            stream.write_all(&content[..n.min(content.len())]).ok()?;
            stream.shutdown(std::net::Shutdown::Both).ok()?;
            None
        }
        Some(Fault::StallAt(n)) => {
            stream.write_all(&content[..n]).ok()?;
            std::thread::sleep(Duration::from_secs(5));
            None
        }
        _ => stream.write_all(&content).ok(),
    }
}
