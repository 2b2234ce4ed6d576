//! The Linux guest that both sides boot: the kernel and initramfs of Isoform's image,
//! and behind that an archive with our program; or a disk.

use std::fs::{self, read, read_to_string, write};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, roms};

/// The program's name in the guest, and that of its ELF in `test-roms/bin`.
const PROGRAM: &str = "bench";
const ELF: &str = "bench_user";
/// What runs first where devices are needed.
const DEVICES: &str = "devices.sh";
const DEVICES_SCRIPT: &str = include_str!("devices.sh");
/// The shared folder's folders, and the files of each.
const FOLDERS: usize = 40;
const FILES: usize = 50;
/// Bytes of the disk that it writes to, as `test-roms/user/io.c` has it.
const SCRATCH_DISK: u64 = 256 << 20;
/// The image, and the name of its record in the cache.
const IMAGE: &str = "debian:riscv64";
const RECORD: &str = "debian-riscv64";

/// What is booted.
pub(super) struct Guest {
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
    /// The archive that the image was made from.
    pub(super) mirror: String,
    /// Where the initrd lies and serial lines are written.
    pub(super) scratch: PathBuf,
}

/// What a boot is for.
pub(super) enum Purpose<'a> {
    /// The program does these works (groups or names) and powers off.
    Works(&'a str),
    /// The program does these works with a disk and a card, whose network has two ports
    /// of the host from this one on.
    Devices { works: &'a str, port: u16 },
    /// A folder of the host is walked and packed.
    Share,
    /// Nothing, for so many seconds, with a disk and a card.
    Idle(u32),
    /// The first process of this disk decides.
    Disk(&'a Path),
}

impl Purpose<'_> {
    /// The kernel's command line.
    pub(super) fn arguments(&self) -> String {
        let rest = match self {
            Self::Works(works) => format!("rdinit=/{PROGRAM} -- {works}"),
            Self::Devices { works, port } => format!("rdinit=/{DEVICES} -- works {port} {works}"),
            Self::Share => format!("rdinit=/{DEVICES} -- share"),
            Self::Idle(seconds) => format!("rdinit=/{DEVICES} -- idle {seconds}"),
            Self::Disk(_) => "root=/dev/vda rw init=/init".to_owned(),
        };
        format!("console=ttyS0 quiet panic=-1 {rest}")
    }
}

impl Guest {
    /// The guest; its image is fetched if it is not cached.
    pub(super) fn new(isoform: &Path) -> Result<Self> {
        let record = match record() {
            Ok(record) => record,
            Err(_) => {
                let mut command = Command::new(isoform);
                process::captured(command.args(["run", IMAGE, "--exec", "true"]))?;
                record()?
            }
        };
        let scratch = std::env::temp_dir().join(format!("isoform-peers-{}", std::process::id()));
        std::fs::create_dir_all(&scratch)?;
        let initrd = scratch.join("initrd");
        let mut archive = read(object(&record, "Initrd")?).context("the image's initrd")?;
        archive.extend(program()?);
        write(&initrd, archive)?;
        Ok(Self {
            kernel: object(&record, "Kernel")?,
            mirror: field(&record, "Mirror")?.to_owned(),
            initrd,
            scratch,
        })
    }
}

impl Guest {
    /// A disk to write on; what it holds is written, so that no side has it easier.
    pub(super) fn scratch_disk(&self) -> Result<PathBuf> {
        let path = self.scratch.join("disk");
        if !path.is_file() {
            let mut file = fs::File::create(&path)?;
            let piece = vec![0xa5; 1 << 20];
            for _ in 0..SCRATCH_DISK >> 20 {
                file.write_all(&piece)?;
            }
        }
        Ok(path)
    }

    /// A folder with files of 1 to 50 KiB.
    pub(super) fn shared_folder(&self) -> Result<PathBuf> {
        let path = self.scratch.join("share");
        if !path.is_dir() {
            for folder in 0..FOLDERS {
                let folder = path.join(format!("folder-{folder}"));
                fs::create_dir_all(&folder)?;
                for file in 1..=FILES {
                    write(folder.join(format!("file-{file}")), vec![0x5a; file << 10])?;
                }
            }
        }
        Ok(path)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // A leftover temporary file is not worth failing a finished measurement.
        drop(std::fs::remove_dir_all(&self.scratch));
    }
}

/// Isoform's cache (`isoform images --help` says where it is).
fn cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let caches = match (set("XDG_CACHE_HOME"), set("HOME")) {
        (Some(caches), _) => PathBuf::from(caches),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => bail!("neither XDG_CACHE_HOME nor HOME is set"),
    };
    Ok(caches.join("isoform"))
}

fn record() -> Result<String> {
    let path = cache()?.join("images").join(RECORD);
    read_to_string(&path).with_context(|| format!("{IMAGE} is not cached"))
}

/// What an image's record says under `name`.
fn field<'a>(record: &'a str, name: &str) -> Result<&'a str> {
    record
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .with_context(|| format!("no {name} in the record of {IMAGE}"))
}

/// The file that `field` of an image's record names by its sum.
fn object(record: &str, field: &str) -> Result<PathBuf> {
    let sum = self::field(record, field)?;
    let room = sum.get(..2).context("a sum of no length")?;
    Ok(cache()?.join("objects").join(room).join(sum))
}

/// An archive with the program, and what runs first where devices are needed.
fn program() -> Result<Vec<u8>> {
    let elf = read(roms::elf(ELF)).with_context(|| format!("{ELF}.elf"))?;
    let mut archive = entry(PROGRAM, 0o100_755, &elf);
    archive.extend(entry(DEVICES, 0o100_755, DEVICES_SCRIPT.as_bytes()));
    archive.extend(entry("TRAILER!!!", 0, &[]));
    Ok(archive)
}

/// Puts the program where `path` says.
pub(super) fn install_program(path: &Path) -> Result<()> {
    fs::copy(roms::elf(ELF), path).with_context(|| format!("{ELF}.elf"))?;
    make_executable(path)
}

/// Lets everybody run a file.
pub(super) fn make_executable(path: &Path) -> Result<()> {
    Ok(fs::set_permissions(
        path,
        fs::Permissions::from_mode(0o755),
    )?)
}

/// A member of a cpio archive, "newc" (Linux: Documentation/driver-api/early-userspace/
/// buffer-format.rst): thirteen hexadecimal fields, the name, the bytes, each padded
/// to a multiple of four.
fn entry(name: &str, mode: u32, bytes: &[u8]) -> Vec<u8> {
    let fields = [
        1,
        mode as usize,
        0,
        0,
        1,
        0,
        bytes.len(),
        0,
        0,
        0,
        0,
        name.len() + 1,
        0,
    ];
    let mut member = b"070701".to_vec();
    for field in fields {
        member.extend(format!("{field:08x}").bytes());
    }
    for part in [&[name.as_bytes(), b"\0"].concat(), bytes] {
        member.extend(part);
        member.resize(member.len().next_multiple_of(4), 0);
    }
    member
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_by_their_sum() {
        let path = object("Kernel-Version: 6\nKernel: abcd\n", "Kernel").expect("named");
        assert!(path.ends_with("isoform/objects/ab/abcd"), "{path:?}");
        assert!(object("Kernel: abcd", "Initrd").is_err());
    }

    #[test]
    fn members_are_aligned() {
        for name in ["a", "ab", "abc", "abcd"] {
            let member = entry(name, 0o100_644, b"12345");
            assert_eq!(member.len() % 4, 0);
            let text = String::from_utf8(member).expect("text");
            assert!(text.ends_with("12345\0\0\0"), "{text:?}");
            assert_eq!(&text[110..110 + name.len()], name);
        }
    }
}
