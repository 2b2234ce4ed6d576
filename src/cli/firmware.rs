//! UEFI firmware and U-Boot: by their names in the catalogue, or found on this machine for
//! a disk that boots by them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use isoform_images::{self as images, Firmware, Options, Silent};

use super::machine::Start;
use super::progress::Reporter;
use super::run::Args;
use super::{Failure, conflict};
use crate::boot::disk::Efi;
use crate::boot::disk::efi::PROGRAM;
use crate::boot::load::{Program, Source, detect_path};
use crate::config::PflashSpec;

/// EDK2's name in the catalogue.
const EDK2: &str = "edk2:riscv64";
/// Where distributions install it, and the variables that it begins with.
const INSTALLED: [[&str; 2]; 2] = [
    [
        "/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd",
        "/usr/share/qemu-efi-riscv64/RISCV_VIRT_VARS.fd",
    ],
    [
        "/usr/share/qemu/edk2-riscv-code.fd",
        "/usr/share/qemu/edk2-riscv-vars.fd",
    ],
];

/// Gets firmware of the catalogue. Beside EDK2, `--pflash` names its variables.
pub(super) fn named(args: &Args, name: &str) -> Result<Start, Failure> {
    let progress = Reporter::new();
    let mut options = Options::new(&progress);
    options.mirror.clone_from(&args.guest.mirror);
    match images::firmware(name, &options)? {
        Firmware::Program(path) => {
            if args.guest.kernel.is_some() {
                return Err(conflict(format_args!(
                    "{name} finds kernels on disks and in the network; leave it or --kernel out"
                )));
            }
            Ok(Start {
                program: Some(detect_path(&path)?),
                ..Start::default()
            })
        }
        Firmware::Flash { code, variables } => {
            let variables = match &args.guest.pflash[..] {
                [] => passing(variables),
                [own] => lasting(own, &variables)?,
                _ => {
                    return Err(conflict(format_args!(
                        "{name} is the first flash bank; --pflash beside it is the second, \
                         for its variables"
                    )));
                }
            };
            Ok(Start {
                pflash: vec![code_bank(code), variables],
                ..Start::default()
            })
        }
    }
}

/// EDK2 for a disk that boots by it: the one of this machine, or the catalogue's if it is
/// in the cache.
pub(super) fn for_disk(start: Start, disk: &Source, efi: &Efi) -> Result<Start, Failure> {
    let name = disk.name();
    if !efi.is_for_this_machine() {
        // Names are what somebody put on the disk, and are shown on a terminal.
        let programs: Vec<_> = efi
            .programs
            .iter()
            .map(|name| name.escape_debug().to_string())
            .collect();
        return Err(anyhow::anyhow!(
            "{name} is for another machine: it boots by {} on {}, and a riscv64 machine looks \
             for {PROGRAM}",
            programs.join(", "),
            efi.whence
        )
        .into());
    }
    if start.append.is_some() || !start.initrd.is_empty() {
        return Err(conflict(format_args!(
            "{name} boots by firmware, which starts a kernel as the disk says; leave --append \
             and --initrd out, or give a --kernel"
        )));
    }
    let (whose, [code, variables]) = installed().or_else(cached).ok_or_else(|| {
        anyhow::anyhow!(
            "{name} boots by UEFI firmware ({}), and none is here; install it (on Debian: apt \
             install qemu-efi-riscv64), or have it fetched: isoform run {EDK2} --drive \
             file={name}",
            efi.whence
        )
    })?;
    eprintln!("{name}: boots by EDK2 ({whose}) from {}", efi.whence);
    Ok(Start {
        pflash: vec![code_bank(code), passing(variables)],
        program: Some(Program::in_flash()),
        ..start
    })
}

/// The one of this machine: where its code is, code and variables.
fn installed() -> Option<(String, [PathBuf; 2])> {
    let found = INSTALLED
        .iter()
        .find(|files| files.iter().all(|file| Path::new(file).is_file()))?;
    let [code, _] = found;
    Some(((*code).to_owned(), found.map(PathBuf::from)))
}

/// The catalogue's.
fn cached() -> Option<(String, [PathBuf; 2])> {
    let options = Options {
        offline: true,
        ..Options::new(&Silent)
    };
    match images::firmware(EDK2, &options) {
        Ok(Firmware::Flash { code, variables }) => Some((EDK2.to_owned(), [code, variables])),
        _ => None,
    }
}

fn code_bank(file: PathBuf) -> PflashSpec {
    PflashSpec {
        file,
        readonly: true,
        snapshot: false,
    }
}

/// Variables that vanish with the machine.
fn passing(file: PathBuf) -> PflashSpec {
    PflashSpec {
        file,
        readonly: false,
        snapshot: true,
    }
}

/// Variables in a file of the person's, which is made where there is none.
fn lasting(own: &PflashSpec, template: &Path) -> Result<PflashSpec, Failure> {
    let file = own.file.display();
    match own.file.symlink_metadata() {
        Err(why) if why.kind() == ErrorKind::NotFound => {
            eprintln!("{file}: does not exist yet, so it is made for the firmware's variables");
            fs::copy(template, &own.file).map_err(|why| anyhow::anyhow!("{file}: {why}"))?;
        }
        _ => {}
    }
    Ok(own.clone())
}
