//! What becomes of guest code: a piece of it, the region it is translated with, and the
//! host code, instruction by instruction. The command `isoform explain` shows it, and
//! golden tests count in it. No machine is built, and nothing runs.

mod hart;
mod host;

use crate::boot::load::{Elf, LoadError, Source, elf};
pub use host::{HostInsn, host_insns};
use isoform_cranelift::TranslatorError;
pub use isoform_cranelift::{Clif, Explained, Explanation, Processor, Unit};
use isoform_memory::PAGE;
use isoform_riscv::disasm::disassemble;
use isoform_riscv::{Ext, ExtSet};

/// Where code that has no address of its own is taken to be.
const ADDRESS: u64 = 0x8000_0000;

/// Guest code, and where in it to begin. Only the page matters: regions end with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The page's virtual address.
    pub page: u64,
    /// Offset in the page at which it is entered.
    pub entry: u64,
    /// The page's bytes; what is not there is 0, which is no instruction.
    pub bytes: Box<[u8; PAGE as usize]>,
    /// The nearest symbol at or before the entry.
    pub label: Option<String>,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] LoadError),
    /// No symbol is called so.
    #[error(
        "{file} has no symbol `{name}`; give one that `isoform disasm` shows, or an address as in 0x80000000"
    )]
    NoSymbol {
        /// The file.
        file: String,
        /// What was asked for.
        name: String,
    },
    /// Nothing is loaded there.
    #[error("{file} has no code at {address:#x}")]
    Nowhere {
        /// The file.
        file: String,
        /// The address.
        address: u64,
    },
    /// A word of hexadecimal digits that cannot be an instruction.
    #[error("`{0}` is neither a file nor an instruction, which has 4 or 8 hexadecimal digits")]
    Word(String),
    /// More than a page.
    #[error("the instructions do not fit into a page of {PAGE} bytes")]
    TooLong,
}

impl Code {
    /// From instructions in hexadecimal: words of 4 or 8 digits.
    ///
    /// # Errors
    /// [`CodeError::Word`] and [`CodeError::TooLong`].
    pub fn of_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, CodeError> {
        let mut code = Vec::new();
        for word in words {
            let wrong = || CodeError::Word(word.to_owned());
            if !word.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong());
            }
            let value = u32::from_str_radix(word, 16).map_err(|_| wrong())?;
            match word.len() {
                4 => code.extend(&value.to_le_bytes()[..2]),
                8 => code.extend(value.to_le_bytes()),
                _ => return Err(wrong()),
            }
        }
        let mut bytes = Box::new([0; PAGE as usize]);
        let place = bytes.get_mut(..code.len()).ok_or(CodeError::TooLong)?;
        place.copy_from_slice(&code);
        Ok(Self {
            page: ADDRESS,
            entry: 0,
            bytes,
            label: None,
        })
    }

    /// From an ELF file: at a symbol or an address (`0x…`), else at its entry point.
    ///
    /// # Errors
    /// What is wrong with the file, or is not in it.
    pub fn of_elf(source: &Source, at: Option<&str>) -> Result<Self, CodeError> {
        let file = || source.name().to_owned();
        let elf = Elf::read(source)?;
        let labels = elf::labels(source)?;
        let address = match at {
            None => elf.entry,
            Some(text) => match address(text) {
                Some(address) => address,
                None => {
                    let named = labels.iter().find(|(_, name)| name == text);
                    let name = text.to_owned();
                    named
                        .ok_or_else(|| CodeError::NoSymbol { file: file(), name })?
                        .0
                }
            },
        };
        let page = address & !(PAGE - 1);
        let mut bytes = Box::new([0; PAGE as usize]);
        let mut found = false;
        for segment in &elf.segments {
            let end = segment.vaddr.saturating_add(segment.filesz);
            let (from, to) = (segment.vaddr.max(page), end.min(page.saturating_add(PAGE)));
            if from >= to {
                continue;
            }
            let read = source.read_up_to(segment.offset + (from - segment.vaddr), to - from)?;
            let start = (from - page) as usize;
            if let Some(place) = bytes.get_mut(start..start + read.len()) {
                place.copy_from_slice(&read);
            }
            found |= (from..to).contains(&address);
        }
        if !found {
            let file = file();
            return Err(CodeError::Nowhere { file, address });
        }
        let before = labels.iter().rev().find(|(at, _)| *at <= address);
        Ok(Self {
            page,
            entry: address - page,
            bytes,
            label: before.map(|(_, name)| name.clone()),
        })
    }

    /// The instruction at an offset: its encoding, and in assembly.
    pub fn instruction(&self, at: u64) -> (String, String) {
        let all = Ext::ALL.iter().fold(ExtSet::NONE, |set, e| set.with(*e));
        let bytes = self.bytes.get(at as usize..).unwrap_or_default();
        let Some((text, length)) = disassemble(bytes, self.page.wrapping_add(at), all) else {
            return (String::new(), "(no instruction)".into());
        };
        let bytes = bytes.iter().take(length).rev();
        (bytes.map(|b| format!("{b:02x}")).collect(), text)
    }
}

fn address(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// What becomes of code in M mode, floating point on.
///
/// # Errors
/// There is no translator for this host.
pub fn explain(
    code: &Code,
    unit: Unit,
    processor: Processor,
) -> Result<Explained, TranslatorError> {
    isoform_cranelift::explain(&hart::bare(), &code.bytes, code.entry, unit, processor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_code() {
        let code = Code::of_words(["00a28293", "8082"]).expect("two instructions");
        assert_eq!(code.bytes[..6], [0x93, 0x82, 0xa2, 0x00, 0x82, 0x80]);
        assert_eq!(code.instruction(0).0, "00a28293");
        assert_eq!(code.instruction(4).0, "8082");
        for bad in ["", "00a2829", "00a2829g", "+0a28293", "é", "00a2829300"] {
            assert!(Code::of_words([bad]).is_err(), "{bad}");
        }
        assert!(Code::of_words(vec!["00000013"; 1025]).is_err());
    }
}
