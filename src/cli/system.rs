//! Systems that last: on a disk that says itself how it boots, or that is made first.

use super::machine::{Start, catalogue_name};
use super::run::Args;
use super::{Failure, conflict, firmware, image};
use crate::boot::disk::{self, Bootable};
use crate::boot::load::{Source, detect};
use crate::config::{self, BiosChoice, DriveSpec};
use isoform_images::Kind;

/// The system on the disk of `--disk`, which is made first where there is none.
pub(super) fn lasting(args: &Args) -> Result<Start, Failure> {
    let (Some((name, Kind::System)), Some(path)) = (catalogue_name(args), &args.disk) else {
        return Err(conflict(
            "--disk is for named systems, such as debian:riscv64; give a disk that exists as IMAGE",
        ));
    };
    if args.exec.is_some() {
        return Err(conflict(
            "--exec runs its command in the named image itself, not on a disk; use one of them",
        ));
    }
    if path.symlink_metadata().is_err() {
        eprintln!(
            "{}: does not exist yet, so it is made of {name}",
            path.display()
        );
        image::build_default(name, path, args.guest.mirror.as_deref())?;
    }
    Ok(Start {
        disk: Some(DriveSpec::of(path)),
        ..Start::default()
    })
}

/// A disk that nothing was given to start with is asked how it boots: by the kernel that
/// its menu names, or else by firmware. The kernel comes first since it starts sooner,
/// takes --append, and needs nothing that may not be here.
pub(super) fn with_its_kernel(start: Start, args: &Args) -> Result<Start, Failure> {
    let firmware = matches!(args.guest.bios, Some(BiosChoice::File(_))) || !start.pflash.is_empty();
    let Some(spec) = start
        .disk
        .as_ref()
        .filter(|_| !firmware && start.program.is_none())
    else {
        return Ok(start);
    };
    let source = Source::of_disk(&spec.request()).map_err(anyhow::Error::from)?;
    let found = disk::find(&source);
    if let Ok(Some(found)) = found {
        return by_kernel(start, &source, found);
    }
    if let Some(efi) = disk::find_efi(&source)? {
        return firmware::for_disk(start, &source, &efi);
    }
    found?;
    Err(anyhow::anyhow!(
        "{} says nowhere how it boots (looked for extlinux.conf, grub.cfg and vmlinuz on \
         ext2/3/4, and for an EFI system partition); give a kernel with --kernel FILE, for \
         Linux most likely with --append root=/dev/vda1",
        source.name()
    )
    .into())
}

fn by_kernel(start: Start, source: &Source, found: Bootable) -> Result<Start, Failure> {
    eprintln!("{}: boots by {}", source.name(), found.whence);
    let append = match &start.append {
        Some(more) => format!("{} {more}", found.append),
        None => found.append,
    };
    let bad = |why: String| anyhow::anyhow!("{}: its command line: {why}", source.name());
    Ok(Start {
        program: Some(detect(found.kernel)?),
        initrd: match start.initrd.is_empty() {
            true => found.initrd,
            false => start.initrd,
        },
        append: Some(config::append(&append).map_err(bad)?),
        ..start
    })
}
