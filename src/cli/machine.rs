//! From options to a machine: what IMAGE is, what goes with it, what does not.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use isoform_images::{self as images, Options};

use super::progress::Reporter;
use super::run::Args;
use super::{Failure, conflict, firmware, handed, system};
use crate::boot::load::{
    self, Disk, Firmware, Kind, LoadError, Payload, Program, Source, StartMode, detect, detect_path,
};
use crate::config::firmware::FLASH_BANKS;
use crate::config::{
    self, BiosChoice, ClockChoice, DriveSpec, FwCfgItem, MachineConfig, PflashSpec, RAM_BASE,
    SerialSpec, drive, net, share,
};

/// The guest that runs when nothing else is asked for.
const DEFAULT_GUEST: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/test-roms/bin/hello.elf"
));

/// What IMAGE and the options beside it come to.
#[derive(Default)]
pub(super) struct Start {
    pub(super) program: Option<Program>,
    pub(super) initrd: Vec<Source>,
    pub(super) append: Option<String>,
    /// An IMAGE that is a disk.
    pub(super) disk: Option<DriveSpec>,
    /// What the flash banks hold.
    pub(super) pflash: Vec<PflashSpec>,
    /// What firmware in flash is handed.
    pub(super) handed: Vec<FwCfgItem>,
}

/// Makes the machine that `args` ask for. Files are opened and recognised here, so
/// that whatever is wrong with them is said before anything runs.
pub(super) fn build(args: &Args, verbose: bool) -> Result<(MachineConfig, Payload), Failure> {
    check_options(args)?;
    for spec in &args.guest.drives {
        check_drive(spec)?;
    }
    let dtb = args
        .guest
        .dtb
        .as_deref()
        .map(load::device_tree)
        .transpose()?;
    let start = system::with_its_kernel(start(args, verbose)?, args)?;
    let extra: Vec<DriveSpec> = start.disk.into_iter().collect();
    let drives = drive::place(&args.guest.drives, &extra).map_err(conflict)?;
    let cards = net::cards(&args.nets, &args.publish, args.pcap.as_deref()).map_err(conflict)?;
    let outside = !cards.is_empty() || args.vsock.is_some();
    if outside && matches!(args.clock, ClockChoice::Insn { .. }) {
        return Err(conflict(
            "a network answers in the host's time, which --clock insn has none of; \
             leave --net, --vsock or --clock out",
        ));
    }
    share::check(&args.shares).map_err(conflict)?;
    let firmware = below(args.guest.bios.as_ref(), start.program.as_ref())?;
    let fw_cfg = handed::items(&args.guest.fw_cfg, start.handed)?;
    if let Some(program) = &start.program
        && (args.exec.is_none() || verbose)
    {
        announce(program, &firmware);
    }
    let serial = args.serial.clone().unwrap_or(match args.exec {
        Some(_) => SerialSpec::Null,
        None => SerialSpec::Stdio,
    });
    let config = MachineConfig {
        arch: args.guest.arch,
        memory: args.guest.memory,
        smp: args.guest.smp,
        append: start.append,
        dump_dtb: args.dump_dtb.clone(),
        drives,
        cards,
        vsock: args.vsock.clone(),
        balloon: args.balloon,
        shares: args.shares.clone(),
        pflash: start.pflash,
        fw_cfg,
        serial,
        machine: args.guest.machine,
        cpu: args.guest.cpu.clone(),
        backend: args.backend,
        code_cache: args.guest.code_cache,
        translation_cache: config::translations(args.translation_cache.as_deref()),
        clock: args.clock,
        exec: args
            .exec
            .as_deref()
            .map(|command| command.as_bytes().to_vec()),
        reboot: !args.no_reboot,
        timeout: args.timeout,
        stats: args.stats,
        perf_map: args.perf_map,
    };
    let payload = Payload {
        firmware,
        program: start.program,
        initrd: start.initrd,
        dtb,
    };
    Ok((config, payload))
}

/// The name of the catalogue that IMAGE is, if it is one.
pub(super) fn catalogue_name(args: &Args) -> Option<(&str, images::Kind)> {
    let name = args.guest.image.as_deref().and_then(OsStr::to_str)?;
    Some((name, images::kind(name)?))
}

/// What can be said without looking at a file.
fn check_options(args: &Args) -> Result<(), Failure> {
    let named = catalogue_name(args).map(|(_, kind)| kind);
    if args.exec.is_some() {
        if named != Some(images::Kind::System) {
            return Err(conflict(
                "--exec needs a named system to run the command in, such as debian:riscv64",
            ));
        }
        if args.guest.initrd.is_some() {
            return Err(conflict(
                "--exec uses the image's own initrd; it cannot be used with --initrd",
            ));
        }
        if args.serial == Some(SerialSpec::Stdio) {
            return Err(conflict(
                "--serial stdio would mix the console into the command's output; use --serial file:F with --exec",
            ));
        }
    }
    if args.guest.initrd.is_some() && args.guest.kernel.is_none() && args.guest.image.is_none() {
        return Err(conflict(
            "--initrd needs a kernel: give IMAGE or --kernel FILE",
        ));
    }
    if args.guest.pflash.len() > FLASH_BANKS {
        return Err(conflict(format_args!(
            "there are {FLASH_BANKS} flash banks; give --pflash at most so often"
        )));
    }
    if args.guest.mirror.is_some() && named.is_none() {
        return Err(conflict(
            "--mirror is for named images, such as debian:riscv64",
        ));
    }
    Ok(())
}

/// A drive's file must be there, and in a format that is known or given.
fn check_drive(spec: &DriveSpec) -> Result<(), LoadError> {
    let source = Source::open(&spec.file)?;
    let foreign = isoform_disk::foreign(&source.head()?);
    match foreign {
        Some(what) if spec.format.is_none() => Err(LoadError::Unsupported {
            file: source.name().to_owned(),
            what: what.to_owned(),
            advice: "convert it with `qemu-img convert -O raw`, or give format=raw to use its bytes as they are".into(),
        }),
        _ => Ok(()),
    }
}

/// Finds out what IMAGE is and puts the options beside it.
fn start(args: &Args, verbose: bool) -> Result<Start, Failure> {
    let named = catalogue_name(args);
    let mut start = match (&args.guest.image, named) {
        _ if args.disk.is_some() => system::lasting(args)?,
        (None, _) => Start::default(),
        (Some(_), Some((name, images::Kind::Firmware))) => firmware::named(args, name)?,
        (Some(_), Some((name, _))) => named_image(args, name, verbose)?,
        (Some(image), None) => image_file(args, image)?,
    };
    if start.pflash.is_empty() && !args.guest.pflash.is_empty() {
        if named.is_some() {
            return Err(conflict(
                "this named image is not started from flash; leave --pflash or the name out",
            ));
        }
        start.pflash.clone_from(&args.guest.pflash);
    }
    if !start.pflash.is_empty() && start.program.is_none() {
        start.program = Some(Program::in_flash());
        if let Some(kernel) = &args.guest.kernel {
            let (initrd, append) = (&args.guest.initrd, &args.guest.append);
            start.handed = handed::kernel(kernel, initrd.as_deref(), append.as_deref())?;
            return Ok(start);
        }
    }
    if let Some(kernel) = &args.guest.kernel {
        let program = detect_path(kernel)?;
        if let Kind::Disk(disk) = program.kind() {
            return Err(anyhow::anyhow!(
                "--kernel {} is {}, not a kernel; give the disk as IMAGE or with --drive",
                kernel.display(),
                disk.name()
            )
            .into());
        }
        start.program = Some(program);
    }
    if let Some(initrd) = &args.guest.initrd {
        start.initrd = vec![Source::open(initrd)?];
    }
    if let Some(append) = &args.guest.append {
        start.append = Some(match start.append {
            Some(own) => format!("{own} {append}"),
            None => append.clone(),
        });
    }
    let firmware_file = matches!(args.guest.bios, Some(BiosChoice::File(_)));
    if start.program.is_none() && start.disk.is_none() && !firmware_file {
        start.program = Some(detect(Source::from_static(
            "the built-in guest",
            DEFAULT_GUEST,
        ))?);
    }
    Ok(start)
}

/// Gets an image of the catalogue, and the command for `--exec` beside it.
fn named_image(args: &Args, name: &str, verbose: bool) -> Result<Start, Failure> {
    let progress = match args.exec {
        Some(_) => Reporter::for_exec(verbose),
        None => Reporter::new(),
    };
    let mut options = Options::new(&progress);
    options.mirror.clone_from(&args.guest.mirror);
    let image = images::fetch(name, &options)?;
    if args.exec.is_none() || verbose {
        eprintln!("{name}: {}", image.describe);
    }
    let mut initrd = vec![Source::open(&image.initrd)?];
    let mut append = image.append;
    if let Some(command) = &args.exec {
        let overlay = images::exec_overlay(command.as_bytes());
        initrd.push(Source::from_bytes("the command of --exec", overlay));
        append = format!("{append} {}", images::EXEC_APPEND);
    }
    let program = match args.guest.kernel {
        Some(_) => None,
        None => Some(detect_path(&image.kernel)?),
    };
    Ok(Start {
        program,
        initrd,
        append: Some(append),
        ..Start::default()
    })
}

/// Recognises an IMAGE that is a file.
fn image_file(args: &Args, image: &OsString) -> Result<Start, Failure> {
    let path = Path::new(image);
    if let Some(name) = image.to_str()
        && name.contains(':')
        && !path.exists()
    {
        // Not in the catalogue and no file: the catalogue's error lists the names.
        images::fetch(name, &Options::new(&images::Silent))?;
    }
    let program = program_in(path)?;
    let Kind::Disk(disk) = program.kind() else {
        if args.guest.kernel.is_some() {
            return Err(conflict(format_args!(
                "{} is {}, and --kernel gives another; give one of them",
                path.display(),
                program.describe()
            )));
        }
        return Ok(Start {
            program: Some(program),
            ..Start::default()
        });
    };
    eprintln!("{}: {}", path.display(), disk.name());
    Ok(Start {
        disk: Some(DriveSpec {
            readonly: *disk == Disk::Iso9660,
            ..DriveSpec::of(path)
        }),
        ..Start::default()
    })
}

/// What a file is; of a qcow2 image, the disk in it.
fn program_in(path: &Path) -> Result<Program, Failure> {
    let source = Source::open(path).map_err(name_hint)?;
    if load::is_qcow2(&source.head()?) {
        let disk = Source::of_disk(&DriveSpec::of(path).request());
        return Ok(detect(disk.map_err(anyhow::Error::from)?)?);
    }
    Ok(detect(source)?)
}

/// A missing IMAGE may have been meant as a name.
fn name_hint(mut error: LoadError) -> LoadError {
    if let LoadError::Open { source, hint, .. } = &mut error
        && source.kind() == std::io::ErrorKind::NotFound
    {
        *hint = "; check the path, or see the names there are with `isoform images`";
    }
    error
}

/// What runs below the program: as asked, or as the program needs.
fn below(bios: Option<&BiosChoice>, program: Option<&Program>) -> Result<Firmware, LoadError> {
    Ok(match bios {
        Some(BiosChoice::None) => Firmware::None,
        Some(BiosChoice::Builtin) => Firmware::Builtin,
        Some(BiosChoice::File(path)) => Firmware::File(Source::open(path)?),
        Some(BiosChoice::Auto) | None => match program.map(|p| p.start_mode(RAM_BASE)) {
            Some(StartMode::Machine) => Firmware::None,
            Some(StartMode::Supervisor) | None => Firmware::Builtin,
        },
    })
}

/// Says in one line what was recognised and how it starts.
fn announce(program: &Program, firmware: &Firmware) {
    let how = match firmware {
        Firmware::None => "starts in M-mode, no SBI".to_owned(),
        Firmware::Builtin => "starts in S-mode, built-in SBI".to_owned(),
        Firmware::File(source) => format!("started by the firmware {}", source.name()),
    };
    eprintln!("{}: {}; {how}", program.source().name(), program.describe());
}
