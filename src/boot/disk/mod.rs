//! A boot loader on the host: finds out how a disk boots, and takes its kernel, initrd
//! and command line out of it.
//!
//! [`find`] reads the partition table ([`partition`]), looks into each ext2/3/4 file
//! system (`ext`) and does what its boot loader would be told there: U-Boot's
//! `extlinux.conf`, else GRUB's `grub.cfg` (`menu`), else a kernel by its usual name.
//! Nothing is written, and a journal is taken into account without being replayed.
//! [`find_efi`] tells what firmware would find there instead ([`efi`]): a disk that says
//! nothing that is understood here may boot by it.
//!
//! A disk is whatever a guest or a stranger made of it. Every size and place is checked
//! against the file, and what may be read for one disk is bounded, so that no loop in
//! it goes on. Not done: file systems other than ext, LVM, encryption, logical
//! partitions of an MBR, and menus that are programs.

pub mod efi;
mod ext;
mod fat;
mod field;
mod menu;
pub mod partition;

use super::load::{LoadError, Source};
pub use efi::{Efi, find_efi};
use ext::FileSystem;
use menu::Choice;
use partition::Partition;

/// Kernels are smaller than this, bytes.
const MAX_KERNEL: u64 = 256 << 20;
/// So are initrds.
const MAX_INITRD: u64 = 512 << 20;
/// And menus.
const MAX_MENU: u64 = 1 << 20;
/// Files that make up one initrd at most.
const MAX_INITRDS: usize = 8;

/// Where menus are, on the root file system or on one for /boot alone.
const MENUS: [(&str, menu::Form); 4] = [
    ("/boot/extlinux/extlinux.conf", menu::Form::Extlinux),
    ("/extlinux/extlinux.conf", menu::Form::Extlinux),
    ("/boot/grub/grub.cfg", menu::Form::Grub),
    ("/grub/grub.cfg", menu::Form::Grub),
];

/// Kernels that need no menu, with their initrds.
const KERNELS: [(&str, &str); 4] = [
    ("/vmlinuz", "/initrd.img"),
    ("/vmlinux", "/initrd.img"),
    ("/boot/vmlinuz", "/boot/initrd.img"),
    ("/boot/Image", "/boot/initrd.img"),
];

/// What a disk boots.
#[derive(Debug, Clone)]
pub struct Bootable {
    /// The kernel.
    pub kernel: Source,
    /// Its initrd, in parts that follow one another; or none.
    pub initrd: Vec<Source>,
    /// Its command line.
    pub append: String,
    /// Whence, for a person: `partition 2, /boot/extlinux/extlinux.conf`.
    pub whence: String,
}

/// Finds what `disk` boots; `None` where nothing on it says.
///
/// # Errors
/// [`LoadError::Read`] where the host cannot read. What is damaged on the disk is no
/// error as long as something else on it boots; otherwise [`LoadError::Malformed`] says
/// what was wrong.
pub fn find(disk: &Source) -> Result<Option<Bootable>, LoadError> {
    let mut trouble = None;
    for partition in partition::partitions(disk)? {
        match boots_from(disk, &partition) {
            Ok(Some(found)) => return Ok(Some(found)),
            Ok(None) => {}
            Err(reason) => trouble = Some(format!("{}: {reason}", partition.name())),
        }
    }
    match trouble {
        None => Ok(None),
        Some(reason) => Err(LoadError::Malformed {
            file: disk.name().to_owned(),
            reason,
        }),
    }
}

fn boots_from(disk: &Source, partition: &Partition) -> Result<Option<Bootable>, String> {
    let Some(files) = FileSystem::open(disk, partition)? else {
        return Ok(None);
    };
    for (path, form) in MENUS {
        let Some(text) = files.read(path, MAX_MENU)? else {
            continue;
        };
        let text = String::from_utf8_lossy(&text);
        if let Some(choice) = menu::choose(&text, form, path) {
            return load(disk, partition, &files, &choice, path).map(Some);
        }
    }
    for (kernel, initrd) in KERNELS {
        if files.has(kernel) {
            let choice = Choice {
                kernel: kernel.to_owned(),
                initrd: Vec::from_iter(files.has(initrd).then(|| initrd.to_owned())),
                append: format!("root=UUID={} ro console=ttyS0", files.uuid()),
            };
            return load(disk, partition, &files, &choice, kernel).map(Some);
        }
    }
    Ok(None)
}

/// Takes what a menu names out of the file system.
fn load(
    disk: &Source,
    partition: &Partition,
    files: &FileSystem,
    choice: &Choice,
    whence: &str,
) -> Result<Bootable, String> {
    let take = |path: &str, limit| {
        let bytes = files.read(path, limit)?;
        let bytes = bytes.ok_or_else(|| format!("{whence} names {path}, which is not there"))?;
        let name = format!("{} of {}", path.escape_debug(), disk.name());
        Ok::<Source, String>(Source::from_bytes(name, bytes))
    };
    let initrd = choice.initrd.iter().take(MAX_INITRDS);
    Ok(Bootable {
        kernel: take(&choice.kernel, MAX_KERNEL)?,
        initrd: initrd
            .map(|path| take(path, MAX_INITRD))
            .collect::<Result<_, _>>()?,
        append: choice.append.clone(),
        whence: format!("{}, {whence}", partition.name()),
    })
}
