//! Our disassembly of random encodings of every form, against GNU objdump's.
//!
//! Skipped by name where objdump for RISC-V is absent, unless
//! `ISOFORM_REQUIRE_GUESTS=1`. Forms that binutils 2.40 does not know are listed.

use isoform_riscv::csr::csr_name;
use isoform_riscv::disasm::disassemble;
use isoform_riscv::format::{Format, Operands};
use isoform_riscv::generate::{self, Encoding, Random, format_of};
use isoform_riscv::table::{FORMS, SHORT_FORMS};
use isoform_riscv::{Cpu, Ext};
use std::process::Command;

const OBJDUMP: &str = "riscv64-linux-gnu-objdump";
/// Encodings of each form.
const DRAWS: usize = 40;

/// Extensions whose forms binutils 2.40 does not know.
const UNKNOWN: &[Ext] = &[Ext::Zicond, Ext::Zacas, Ext::Zcb];

/// What the file says it was compiled for: all that our table has and objdump knows.
const ARCH: &str = "rv64i2p1_m2p0_a2p1_f2p2_d2p2_c2p0_zicbom1p0_zicbop1p0_zicboz1p0_zicsr2p0\
    _zifencei2p0_zihintpause2p0_zawrs1p0_zfh1p0_zfhmin1p0_zba1p0_zbb1p0_zbc1p0_zbs1p0_svinval1p0";

/// A little-endian relocatable ELF file for RISC-V with this code, and the attributes
/// that tell objdump which extensions to expect (psABI, "Attributes").
fn object(code: &[u8]) -> Vec<u8> {
    let mut arch = vec![5];
    arch.extend(ARCH.bytes());
    arch.push(0);
    let mut file_tag = vec![1];
    file_tag.extend((arch.len() as u32 + 5).to_le_bytes());
    file_tag.extend(arch);
    let vendor = b"riscv\0";
    let mut attributes = vec![b'A'];
    attributes.extend(((4 + vendor.len() + file_tag.len()) as u32).to_le_bytes());
    attributes.extend(vendor);
    attributes.extend(file_tag);
    let names = b"\0.text\0.riscv.attributes\0.shstrtab\0";

    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64, 0);
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &[1, 0, 243, 0, 1]);
    // Header sizes, four sections, names in the last. Flags: C, double-float ABI.
    put(48, &[5, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0, 4, 0, 3, 0]);
    let mut sections = vec![0; 64];
    let mut section = |name: u32, kind: u32, flags: u64, content: &[u8], file: &mut Vec<u8>| {
        file.resize(file.len().next_multiple_of(8), 0);
        let mut header = Vec::new();
        header.extend(name.to_le_bytes());
        header.extend(kind.to_le_bytes());
        for field in [flags, 0, file.len() as u64, content.len() as u64, 0, 4, 0] {
            header.extend(field.to_le_bytes());
        }
        sections.extend(header);
        file.extend(content);
    };
    // PROGBITS, allocated and executable; RISCV_ATTRIBUTES; STRTAB.
    section(1, 1, 6, code, &mut file);
    section(7, 0x7000_0003, 0, &attributes, &mut file);
    section(25, 3, 0, names, &mut file);
    file.resize(file.len().next_multiple_of(8), 0);
    let at = (file.len() as u64).to_le_bytes();
    file[40..48].copy_from_slice(&at);
    file.extend(sections);
    file
}

/// Addresses and texts that objdump gives, or why it does not.
fn objdump(code: &[u8]) -> Result<Vec<(u64, String)>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("code.o");
    std::fs::write(&path, object(code)).map_err(|e| e.to_string())?;
    let output = Command::new(OBJDUMP)
        .args(["-d", "-z", "-M", "no-aliases"])
        .arg(&path)
        .output()
        .map_err(|e| format!("{OBJDUMP}: {e}"))?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line = |line: &str| {
        let mut fields = line.split('\t');
        let address = fields.next()?.trim().strip_suffix(':')?;
        let text: Vec<&str> = fields.skip(1).collect();
        Some((u64::from_str_radix(address, 16).ok()?, text.join(" ")))
    };
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(line)
        .collect())
}

/// The encodings compared: every form that objdump knows, and every CSR.
fn encodings() -> Vec<Encoding> {
    let (ext, mut r) = (Cpu::default().ext, Random(3));
    let mut all = Vec::new();
    for form in FORMS.iter().filter(|f| !UNKNOWN.contains(&f.ext)) {
        all.extend(
            (0..DRAWS)
                .filter_map(|_| generate::long(form, ext, &mut r))
                .map(Encoding::Long),
        );
        if matches!(form.format, Format::Csr | Format::CsrI) {
            let known = (0..0x1000).filter(|n| csr_name(*n as u16).is_some());
            let operands = |n: u32| r.next() as u32 & 0xf_8f80 | n << 20;
            all.extend(known.map(operands).map(|o| Encoding::Long(form.bits | o)));
        }
    }
    // Forms whose reserved fields must be zero to have a name.
    all.extend((0..256).map(|sets| Encoding::Long(sets << 20 | 0x0f)));
    all.extend([Encoding::Long(0x8330_000f), Encoding::Long(0x100f)]);
    for form in SHORT_FORMS.iter().filter(|f| !UNKNOWN.contains(&f.ext)) {
        all.extend(
            (0..DRAWS)
                .filter_map(|_| generate::short(form, ext, &mut r))
                .map(Encoding::Short),
        );
    }
    all.retain(|e| comparable(*e));
    all
}

/// Conversions that cannot round: binutils 2.40 knows them without a rounding mode.
const EXACT: &[&str] = &["fcvt.d.w", "fcvt.d.wu", "fcvt.d.s", "fcvt.d.h", "fcvt.s.h"];

/// Whether objdump has words for the operands.
fn comparable(e: Encoding) -> bool {
    let (i, Some(line)) = e.decode(Cpu::default().ext) else {
        return false;
    };
    let name = line.mnemonic();
    match (e, format_of(&line)) {
        _ if EXACT.contains(&name) => i.rm() == 0,
        // Reserved rounding modes.
        (_, Format::F4 | Format::F3 | Format::F2 | Format::FToX | Format::XToF) => {
            !matches!(i.rm(), 5 | 6)
        }
        // Registers that our CPU does not have are numbers to us.
        (_, Format::Csr | Format::CsrI) => csr_name(i.csr()).is_some(),
        // Reserved fields are ignored by hardware, but have no name in the assembler;
        // nor have empty sets.
        (Encoding::Long(raw), Format::Fence) => {
            let sets = raw >> 20 & 15 != 0 && raw >> 24 & 15 != 0;
            raw & 0xf_8f80 == 0 && sets && (raw >> 28 == 0 || raw >> 20 == 0x833)
        }
        (Encoding::Long(raw), Format::None) if name == "fence.i" => raw == 0x100f,
        // `c.addi zero` to some objdumps, as are the hints that look like it.
        (Encoding::Short(_), _) if name == "c.nop" => false,
        // Hints that objdump names after RV128's shifts.
        (Encoding::Short(_), Format::Shift6) => i.imm != 0,
        _ => true,
    }
}

/// Without what is only layout: spaces, labels, comments, the base of numbers, and the
/// rounding mode where there is nothing to round.
fn normal(text: &str) -> String {
    let text = text.split(['#', '<']).next().unwrap_or_default();
    let mut words = text.split_whitespace();
    let mnemonic = words.next().unwrap_or_default();
    let operands: String = words.collect();
    let number = |word: &str| {
        let hex = word
            .strip_prefix("0x")
            .and_then(|h| u64::from_str_radix(h, 16).ok());
        hex.map_or(word.to_string(), |n| n.to_string())
    };
    let mut operands: Vec<String> = operands.split(',').map(number).collect();
    operands.retain(|o| !(EXACT.contains(&mnemonic) && o == "rne"));
    format!("{mnemonic} {}", operands.join(","))
}

#[test]
fn our_text_is_objdump_s() {
    let all = encodings();
    let mut code = Vec::new();
    all.iter().for_each(|e| e.write(&mut code));
    let theirs = match objdump(&code) {
        Ok(theirs) => theirs,
        Err(why) => {
            let required = std::env::var("ISOFORM_REQUIRE_GUESTS").is_ok_and(|v| v == "1");
            assert!(!required, "our_text_is_objdump_s: {why}");
            println!("skipped: our_text_is_objdump_s: {why}");
            return;
        }
    };
    assert_eq!(theirs.len(), all.len(), "objdump sees other instructions");
    let (mut wrong, mut at) = (Vec::new(), 0);
    for (e, (address, text)) in all.iter().zip(theirs) {
        assert_eq!(at, address);
        let start = at as usize;
        let ours = disassemble(&code[start..], at, Cpu::default().ext);
        let (ours, length) = ours.expect("the encoding is whole");
        assert_eq!(length as u64, e.length());
        let (ours, theirs) = (normal(&ours), normal(&text));
        if ours != theirs {
            wrong.push(format!("{e:x?}: `{ours}`, objdump `{theirs}`"));
        }
        at += e.length();
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        all.len(),
        wrong.join("\n")
    );
}
