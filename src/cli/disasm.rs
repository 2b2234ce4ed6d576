//! `isoform disasm`: a listing of an ELF file's code.

use std::fmt::Write;
use std::io::{self, BufWriter};
use std::path::PathBuf;

use isoform_riscv::{Ext, ExtSet, disasm::disassemble};

use super::{Failure, status};
use crate::boot::load::elf::{self, Code};
use crate::boot::load::{LoadError, Source};

/// List the instructions in an ELF file
///
/// Shows what the file marks as code: its executable sections, or, where it has
/// no sections, its executable segments. Everything Isoform can execute is
/// named, whatever --cpu a machine would have; the rest reads .insn.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A riscv64 ELF file
    file: PathBuf,
}

/// Bytes read at a time.
const CHUNK: u64 = 64 << 10;

/// Prints the listing.
pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let source = Source::open(&args.file)?;
    let listing = Listing {
        codes: elf::code(&source)?,
        labels: elf::labels(&source)?,
        source: &source,
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match listing.print(&mut out) {
        Ok(()) => Ok(status::OK),
        // Whoever reads has seen enough.
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(status::OK),
        Err(Trouble::Output(error)) => {
            Err(anyhow::anyhow!("cannot write to standard output: {error}").into())
        }
        Err(Trouble::File(error)) => Err(error.into()),
    }
}

struct Listing<'a> {
    source: &'a Source,
    codes: Vec<Code>,
    /// By address.
    labels: Vec<(u64, String)>,
}

/// What stops a listing.
enum Trouble {
    Output(io::Error),
    File(LoadError),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Output(error)
    }
}

impl From<LoadError> for Trouble {
    fn from(error: LoadError) -> Trouble {
        Trouble::File(error)
    }
}

impl Listing<'_> {
    fn print(&self, out: &mut dyn io::Write) -> Result<(), Trouble> {
        let everything = Ext::ALL
            .iter()
            .fold(ExtSet::NONE, |set, &ext| set.with(ext));
        for code in &self.codes {
            writeln!(
                out,
                "\n{}, {} bytes at {:#x}:",
                code.name, code.len, code.addr
            )?;
            let mut labels = self
                .labels
                .iter()
                .skip_while(|(at, _)| *at < code.addr)
                .peekable();
            let mut at = 0;
            while at < code.len {
                let bytes = self
                    .source
                    .read_up_to(code.offset + at, CHUNK.min(code.len - at))?;
                let more = at + (bytes.len() as u64) < code.len;
                let mut rest = &bytes[..];
                // The last few bytes of a chunk may be half an instruction.
                while rest.len() >= if more { 4 } else { 1 } {
                    let pc = code.addr.wrapping_add(at);
                    while let Some((_, name)) = labels.next_if(|(at, _)| *at <= pc) {
                        writeln!(out, "\n{pc:016x} <{name}>:")?;
                    }
                    let (text, len) = disassemble(rest, pc, everything)
                        .unwrap_or_else(|| (".short   (cut off)".to_owned(), rest.len()));
                    let (this, next) = rest.split_at(len.clamp(1, rest.len()));
                    writeln!(out, "{pc:16x}:  {:8}  {text}", encoding(this))?;
                    at += this.len() as u64;
                    rest = next;
                }
                if bytes.is_empty() {
                    break;
                }
            }
        }
        Ok(out.flush()?)
    }
}

/// The bytes as one number, the way manuals write encodings.
fn encoding(bytes: &[u8]) -> String {
    bytes.iter().rev().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_labels_addresses_and_encodings() {
        let bytes = [0x13, 0x05, 0x15, 0x00, 0x82, 0x80, 0xff];
        let source = Source::from_bytes("test", bytes.to_vec());
        let listing = Listing {
            source: &source,
            codes: vec![Code {
                name: ".text".into(),
                addr: 0x8000_0000,
                offset: 0,
                len: 7,
            }],
            labels: vec![
                (0, "before".into()),
                (0x8000_0000, "start".into()),
                (0x8000_0004, "leave".into()),
            ],
        };
        let mut out = Vec::new();
        assert!(listing.print(&mut out).is_ok());
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<&str> = text.lines().filter(|l| !l.is_empty()).collect();
        assert_eq!(lines[1], "0000000080000000 <start>:");
        assert!(
            lines[2].starts_with("        80000000:  00150513  addi"),
            "{}",
            lines[2]
        );
        assert_eq!(lines[3], "0000000080000004 <leave>:");
        assert!(
            lines[4].starts_with("        80000004:  8082      "),
            "{}",
            lines[4]
        );
        assert!(
            lines[5].starts_with("        80000006:  ff        "),
            "{}",
            lines[5]
        );
        assert_eq!(lines.len(), 6);
    }
}
