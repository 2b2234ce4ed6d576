//! The host's ends of the guest's connections: one that takes everything, one that gives
//! without end.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

/// Bytes read and written at a time.
const PIECE: usize = 256 << 10;
/// Ports that are tried: there have to be two free ones in a row.
const TRIES: usize = 100;

/// Starts both, for as long as this process lives; the first of their ports.
pub(super) fn start() -> Result<u16> {
    let (taker, giver, port) = listeners()?;
    serve(taker, take);
    serve(giver, give);
    Ok(port)
}

fn listeners() -> Result<(TcpListener, TcpListener, u16)> {
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    for _ in 0..TRIES {
        let first = listen(0)?;
        let port = first.local_addr()?.port();
        let second = port.checked_add(1).map(listen);
        if let Some(Ok(second)) = second {
            return Ok((first, second, port));
        }
    }
    None.context("no two free ports in a row")
}

fn serve(listener: TcpListener, talk: fn(TcpStream) -> io::Result<()>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A guest that goes away ends its connection and nothing else.
            thread::spawn(move || drop(talk(stream)));
        }
    });
}

/// Reads to the end, and says so.
fn take(mut stream: TcpStream) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    while stream.read(&mut piece)? > 0 {}
    stream.write_all(b"!")
}

fn give(mut stream: TcpStream) -> io::Result<()> {
    let piece = vec![0x5a; PIECE];
    loop {
        stream.write_all(&piece)?;
    }
}
