//! Runs the test program on the peer: Debian's user-mode QEMU.

use super::frame::{AREA, Image};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PEER: &str = "qemu-riscv64";
/// The peer's CPU with what ours has, and without what ours lacks.
const CPU: &str = "rv64,v=off,h=off,zfh=on,zfhmin=on,zicond=on,zacas=on,zca=on,zcb=on,zcd=on,\
    zba=on,zbb=on,zbc=on,zbs=on,zawrs=on,zicbom=on,zicbop=on,zicboz=on,zihintpause=on,zfa=off,\
    zabha=off,zimop=off,zcmop=off,zicfiss=off,zicfilp=off,zihintntl=off";
const SIGFPE: i32 = 8;
/// A program of a thousand blocks takes well under a second.
const PATIENCE: Duration = Duration::from_secs(120);

/// The peer's version, or why it cannot be asked.
pub(crate) fn version() -> Result<String, String> {
    let output = Command::new(PEER)
        .arg("--version")
        .output()
        .map_err(|e| format!("{PEER}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().to_string();
    let version = line
        .split_whitespace()
        .find_map(|w| w.split('.').next()?.parse::<u32>().ok());
    match version {
        // Zacas came with 9, and 10 is what the list of deviations was made for.
        Some(10..) => Ok(line),
        _ => Err(format!("{PEER} is too old: `{line}`")),
    }
}

/// Why there is nothing to compare with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The peer itself divided what its host cannot divide: folding constants, it
    /// computes `rem` of the smallest number by -1 with the host's instruction.
    Division,
    /// Anything else.
    Other(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Failure::Other(why)
    }
}

/// The areas that the program leaves.
pub(crate) fn run(image: &Image, blocks: usize) -> Result<Vec<u8>, Failure> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("blocks");
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o755);
    let written = options
        .open(&path)
        .and_then(|mut f| std::io::Write::write_all(&mut f, &image.elf()));
    written.map_err(|e| format!("{}: {e}", path.display()))?;
    let mut child = Command::new(PEER)
        .args(["-cpu", CPU])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{PEER}: {e}"))?;
    let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::Other("its output is not ours".into()));
    };
    let reader = std::thread::spawn(move || {
        let mut areas = Vec::new();
        out.read_to_end(&mut areas).map(|_| areas)
    });
    let started = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break Some(status),
            None if started.elapsed() > PATIENCE => {
                child
                    .kill()
                    .and_then(|()| child.wait())
                    .map_err(|e| e.to_string())?;
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let lost = |_| Failure::Other("its output was lost".into());
    let areas = reader.join().map_err(lost)?.map_err(|e| e.to_string())?;
    let mut said = String::new();
    let _ = err.read_to_string(&mut said);
    match status {
        Some(s) if s.success() && areas.len() == blocks * AREA as usize => Ok(areas),
        Some(s) if s.signal() == Some(SIGFPE) => Err(Failure::Division),
        Some(s) => Err(format!("{PEER}: {s}, {} bytes: {said}", areas.len()).into()),
        None => Err(format!("{PEER} did not end: {said}").into()),
    }
}
