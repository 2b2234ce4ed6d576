//! What a machine is to be: the one struct between the command line and the run
//! loop, holding nothing that is not checked.
//!
//! The readers here ([`size`], [`drive`], [`share`], [`words`] and the functions of this
//! file) are pure: text in, value or sentence out. Files are opened elsewhere
//! (`boot::load`, the disks); whether a CPU knows a feature is asked of the CPU.

pub mod drive;
pub mod firmware;
pub mod net;
pub mod share;
pub mod size;
pub mod slot;
pub mod vsock;
pub mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use isoform_images::cache::Cache;

pub use drive::{Drive, DriveInterface, DriveSpec};
pub use firmware::{FwCfgItem, FwCfgName, PflashSpec};
pub use share::Share;
pub use slot::SlotId;
pub use vsock::Vsock;

/// Physical address of the first byte of RAM on the `virt` board.
pub const RAM_BASE: u64 = 0x8000_0000;
/// Most harts a machine can have: each is a host thread, and a set of them fits a
/// 32-bit mask.
pub const MAX_HARTS: u32 = 32;
/// Longest command line for a kernel, bytes: none takes more.
pub const MAX_APPEND: usize = 4096;
/// Seed of the instruction clock's random values where none is given.
pub const DEFAULT_SEED: u64 = 0;

/// A guest architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Arch {
    /// 64-bit RISC-V.
    #[default]
    Riscv64,
}

/// What executes guest instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum BackendChoice {
    /// The fastest that works here.
    #[default]
    Auto,
    /// The translator: warm code runs as host code.
    Jit,
    /// The interpreter alone.
    Interp,
}

/// What makes guest time pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClockChoice {
    /// The host's clock.
    #[default]
    Host,
    /// Executed instructions: two runs with the same inputs are the same run.
    Insn {
        /// Where everything random in the guest's view comes from.
        seed: u64,
    },
}

/// What runs in M-mode below the program, as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BiosChoice {
    /// As the program needs: nothing for one that owns the machine, the built-in
    /// SBI for kernels.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// The built-in SBI.
    Builtin,
    /// A firmware file.
    File(PathBuf),
}

/// Where the serial line ends on the host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SerialSpec {
    /// Standard input and output.
    #[default]
    Stdio,
    /// Nowhere.
    Null,
    /// Output to a file, created or emptied; no input.
    File(PathBuf),
    /// A Unix socket to listen on, one peer at a time.
    Unix(PathBuf),
    /// A new pseudo-terminal, whose name is said on standard error.
    Pty,
}

/// Which register interface the virtio-mmio slots have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VirtioMmio {
    /// Version 1, which some teaching kernels want.
    Legacy,
    /// Version 2.
    #[default]
    Modern,
}

/// Which interrupt controller the board has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aia {
    /// A PLIC.
    #[default]
    None,
    /// An APLIC and an IMSIC for each hart: interrupts are messages.
    AplicImsic,
}

/// Properties of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MachineOptions {
    /// Its interrupt controller.
    pub aia: Aia,
    /// The register interface of the virtio-mmio slots.
    pub virtio_mmio: VirtioMmio,
}

/// Properties of the CPU, to be checked against the CPU's own list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuOptions {
    /// Features by name, in the order given, each at most once.
    pub features: Vec<(String, bool)>,
}

/// Everything a machine is made from, besides what gets loaded into its memory
/// ([`boot::load::Payload`](crate::boot::load::Payload)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// The guest architecture.
    pub arch: Arch,
    /// RAM in bytes: whole pages, within [`size::MIN_MEMORY`] and [`size::MAX_MEMORY`].
    pub memory: u64,
    /// Harts, 1 to [`MAX_HARTS`].
    pub smp: u32,
    /// The kernel's command line, complete (an image's own part included); without
    /// NUL, at most [`MAX_APPEND`] bytes.
    pub append: Option<String>,
    /// Write the device tree here and do not run.
    pub dump_dtb: Option<PathBuf>,
    /// Block devices, by slot, no slot twice.
    pub drives: Vec<Drive>,
    /// Network cards.
    pub cards: Vec<net::Card>,
    /// A memory balloon, where a slot is left for it.
    pub balloon: bool,
    /// Folders of the host, no tag twice; each takes a slot.
    pub shares: Vec<Share>,
    /// Sockets between the guest and this host.
    pub vsock: Option<Vsock>,
    /// What the flash banks hold, at most [`firmware::FLASH_BANKS`]; others are erased.
    pub pflash: Vec<PflashSpec>,
    /// What firmware is handed.
    pub fw_cfg: Vec<FwCfgItem>,
    /// Where the serial line ends.
    pub serial: SerialSpec,
    /// Properties of the board.
    pub machine: MachineOptions,
    /// Properties of the CPU.
    pub cpu: CpuOptions,
    /// What executes guest instructions.
    pub backend: BackendChoice,
    /// Bytes of translated code kept.
    pub code_cache: usize,
    /// The folder in which translated code is kept between runs, if it is.
    pub translation_cache: Option<PathBuf>,
    /// What makes guest time pass.
    pub clock: ClockChoice,
    /// A shell command to run in the guest (`--exec`); its output comes on ports
    /// of their own, and its exit status is the machine's outcome.
    pub exec: Option<Vec<u8>>,
    /// Whether a guest's reset restarts it; otherwise it ends the run.
    pub reboot: bool,
    /// End the run after this much host time.
    pub timeout: Option<Duration>,
    /// Report at the end what the machine did.
    pub stats: bool,
    /// Write names of translated code where perf looks for them.
    pub perf_map: bool,
}

impl Default for MachineConfig {
    /// What `isoform run` makes without options.
    fn default() -> MachineConfig {
        MachineConfig {
            arch: Arch::default(),
            memory: 1 << 30,
            smp: 1,
            append: None,
            dump_dtb: None,
            drives: Vec::new(),
            cards: Vec::new(),
            balloon: true,
            shares: Vec::new(),
            vsock: None,
            pflash: Vec::new(),
            fw_cfg: Vec::new(),
            serial: SerialSpec::default(),
            machine: MachineOptions::default(),
            cpu: CpuOptions::default(),
            backend: BackendChoice::default(),
            code_cache: size::CODE_CACHE,
            translation_cache: None,
            clock: ClockChoice::default(),
            exec: None,
            reboot: true,
            timeout: None,
            stats: false,
            perf_map: false,
        }
    }
}

/// The folder for translated code: the one given, none for `off`, else the user's, if
/// there is one.
pub fn translations(given: Option<&Path>) -> Option<PathBuf> {
    match given {
        Some(folder) if folder == "off" => None,
        Some(folder) => Some(folder.to_owned()),
        None => {
            let cache = Cache::locate(None, |name| std::env::var(name).ok()).ok()?;
            Some(cache.root().join("translations"))
        }
    }
}

/// How a run ended, other than by a host error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The guest powered off.
    PowerOff,
    /// The guest ended with a code of its own (test finisher, HTIF, semihosting),
    /// or `--exec`'s command with its status.
    Exit(u32),
    /// The guest asked for a reset, and `--no-reboot` made that the end.
    Reset,
    /// The person quit (Ctrl-A x, or the monitor's `quit`).
    Quit,
    /// `--timeout` passed.
    Timeout,
    /// The device tree was written (`--dump-dtb`); nothing ran.
    Dumped,
}

/// Reads `--bios`.
///
/// # Errors
/// An empty name.
pub fn bios(text: &str) -> Result<BiosChoice, String> {
    match text {
        "" => Err("it is none, builtin or a file".to_owned()),
        "none" => Ok(BiosChoice::None),
        "builtin" => Ok(BiosChoice::Builtin),
        file => Ok(BiosChoice::File(file.into())),
    }
}

/// Reads `--serial`.
///
/// # Errors
/// An unknown form, or `file:` and `unix:` without a path.
pub fn serial(text: &str) -> Result<SerialSpec, String> {
    match text.split_once(':') {
        None if text == "stdio" => Ok(SerialSpec::Stdio),
        None if text == "null" => Ok(SerialSpec::Null),
        None if text == "pty" => Ok(SerialSpec::Pty),
        Some((kind @ ("file" | "unix"), "")) => Err(format!("`{kind}:` needs a path behind it")),
        Some(("file", path)) => Ok(SerialSpec::File(path.into())),
        Some(("unix", path)) => Ok(SerialSpec::Unix(path.into())),
        _ => Err("it is stdio, null, file:PATH, unix:PATH or pty".to_owned()),
    }
}

/// Reads `--machine`: `virt[,aia=none|aplic-imsic][,virtio-mmio=legacy|modern]`.
///
/// # Errors
/// Another board, or an unknown property.
pub fn machine(text: &str) -> Result<MachineOptions, String> {
    let mut options = MachineOptions::default();
    let mut words = words::split(text)?.into_iter();
    match words.next() {
        Some(word) if word.key == "virt" && word.value.is_none() => {}
        Some(word) => {
            return Err(format!(
                "there is no board `{}`; the one there is: virt",
                word.key
            ));
        }
        None => return Err("it names no board: --machine virt".to_owned()),
    }
    for word in words {
        match (word.key.as_str(), word.value.as_deref()) {
            ("virtio-mmio", Some("legacy")) => options.virtio_mmio = VirtioMmio::Legacy,
            ("virtio-mmio", Some("modern")) => options.virtio_mmio = VirtioMmio::Modern,
            ("virtio-mmio", _) => return Err("`virtio-mmio` is legacy or modern".to_owned()),
            ("aia", Some("none")) => options.aia = Aia::None,
            ("aia", Some("aplic-imsic")) => options.aia = Aia::AplicImsic,
            ("aia", _) => return Err("`aia` is none or aplic-imsic".to_owned()),
            (other, _) => {
                return Err(format!(
                    "virt has no property `{other}`; known are aia and virtio-mmio"
                ));
            }
        }
    }
    Ok(options)
}

/// Reads `--cpu`: `rv64[,feature=on|off…]`.
///
/// # Errors
/// Another CPU, a feature without `on` or `off`, or one given twice.
pub fn cpu(text: &str) -> Result<CpuOptions, String> {
    let mut words = words::split(text)?.into_iter();
    match words.next() {
        Some(word) if word.key == "rv64" && word.value.is_none() => {}
        Some(word) => {
            return Err(format!(
                "there is no CPU `{}`; the one there is: rv64",
                word.key
            ));
        }
        None => return Err("it names no CPU: --cpu rv64".to_owned()),
    }
    let mut options = CpuOptions::default();
    for word in words {
        let on = words::switch(&word.key, word.value.as_deref())?;
        let name = word.key.to_ascii_lowercase();
        if options.features.iter().any(|(known, _)| *known == name) {
            return Err(format!("`{name}` is given twice"));
        }
        options.features.push((name, on));
    }
    Ok(options)
}

/// Reads `--clock`: `host`, `insn` or `insn,seed=N`.
///
/// # Errors
/// Anything else.
pub fn clock(text: &str) -> Result<ClockChoice, String> {
    let unknown = || "it is host, insn, or insn,seed=N".to_owned();
    let words = words::split(text)?;
    let keys: Vec<(&str, Option<&str>)> = words
        .iter()
        .map(|w| (w.key.as_str(), w.value.as_deref()))
        .collect();
    match keys[..] {
        [("host", None)] => Ok(ClockChoice::Host),
        [("insn", None)] => Ok(ClockChoice::Insn { seed: DEFAULT_SEED }),
        [("insn", None), ("seed", Some(seed))] => {
            let seed = seed
                .parse()
                .map_err(|_| format!("`seed` is a number of 64 bits, not `{seed}`"))?;
            Ok(ClockChoice::Insn { seed })
        }
        _ => Err(unknown()),
    }
}

/// Reads a number of instructions above 0: `300000000`, `300M`.
///
/// # Errors
/// No such number, or none of 64 bits.
pub fn count(text: &str) -> Result<u64, String> {
    let wrong = || "it is a number above 0, as in 1000, 20k, 300M or 2G".to_owned();
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1_000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number
        .checked_mul(unit)
        .filter(|n| *n > 0)
        .ok_or_else(wrong)
}

/// Reads `on` or `off`.
///
/// # Errors
/// Anything else.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("it is on or off".to_owned()),
    }
}

/// Reads `--timeout`: seconds, with a decimal point if need be.
///
/// # Errors
/// No number, or none above 0.
pub fn timeout(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "it is a number of seconds, as in 30 or 0.5".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("it is a number of seconds above 0".to_owned()),
    }
}

/// Reads `--append`.
///
/// # Errors
/// A NUL, or more than [`MAX_APPEND`] bytes.
pub fn append(text: &str) -> Result<String, String> {
    if text.contains('\0') {
        return Err("a kernel's command line cannot hold a NUL".to_owned());
    }
    if text.len() > MAX_APPEND {
        return Err(format!(
            "it has {} bytes; kernels take at most {MAX_APPEND}",
            text.len()
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boards_and_their_properties() {
        assert_eq!(
            machine("virt"),
            Ok(MachineOptions {
                aia: Aia::None,
                virtio_mmio: VirtioMmio::Modern
            })
        );
        assert_eq!(
            machine("virt,aia=aplic-imsic,virtio-mmio=legacy"),
            Ok(MachineOptions {
                aia: Aia::AplicImsic,
                virtio_mmio: VirtioMmio::Legacy
            })
        );
        for bad in [
            "",
            "pc",
            "virt=1",
            "virt,virtio-mmio",
            "virt,virtio-mmio=old",
            "virt,aia=on",
        ] {
            assert!(machine(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cpus_and_their_features() {
        let features = |list: &[(&str, bool)]| {
            Ok(CpuOptions {
                features: list.iter().map(|(n, on)| ((*n).to_owned(), *on)).collect(),
            })
        };
        assert_eq!(cpu("rv64"), features(&[]));
        assert_eq!(
            cpu("rv64,sv48=off,Svadu=on"),
            features(&[("sv48", false), ("svadu", true)])
        );
        for bad in [
            "",
            "max",
            "rv64,sv48",
            "rv64,sv48=2",
            "rv64,sv48=on,SV48=off",
            "rv64,,sv48=on",
        ] {
            assert!(cpu(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn clocks() {
        assert_eq!(clock("host"), Ok(ClockChoice::Host));
        assert_eq!(clock("insn"), Ok(ClockChoice::Insn { seed: DEFAULT_SEED }));
        assert_eq!(clock("insn,seed=77"), Ok(ClockChoice::Insn { seed: 77 }));
        for bad in [
            "",
            "wall",
            "host,seed=1",
            "insn,seed=x",
            "insn,seed",
            "insn,speed=1",
        ] {
            assert!(clock(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn serial_lines() {
        assert_eq!(serial("stdio"), Ok(SerialSpec::Stdio));
        assert_eq!(serial("file:a:b"), Ok(SerialSpec::File("a:b".into())));
        assert_eq!(serial("unix:/tmp/s"), Ok(SerialSpec::Unix("/tmp/s".into())));
        for bad in ["", "file", "file:", "unix:", "tcp:1", "stdio:", "pty:x"] {
            assert!(serial(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn timeouts() {
        assert_eq!(timeout("2.5"), Ok(Duration::from_millis(2500)));
        for bad in ["", "0", "-1", "NaN", "inf", "1e300", "5s"] {
            assert!(timeout(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(count("20k"), Ok(20_000));
        assert_eq!(count("300M"), Ok(300_000_000));
        assert_eq!(count("7"), Ok(7));
        for bad in ["", "0", "0M", "M", "-1", "1.5k", "1K", "99999999999G", "é"] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn command_lines_for_kernels() {
        assert!(append("console=ttyS0 a=\"b c\"").is_ok());
        assert!(append("a\0b").is_err());
        assert!(append(&"x".repeat(MAX_APPEND + 1)).is_err());
    }

    proptest::proptest! {
        /// Whatever is typed is read or refused.
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z0-9=,:.-]{0,24}|.{0,24}") {
            let _ = (machine(&text), cpu(&text), clock(&text), serial(&text), bios(&text));
            let _ = (timeout(&text), append(&text), drive::drive(&text));
            if let Ok(size) = size::memory(&text) {
                assert!((size::MIN_MEMORY..=size::MAX_MEMORY).contains(&size));
            }
        }

        /// A name with commas survives `--drive`.
        #[test]
        fn doubled_commas_give_any_name_back(name in "[a-z,./=]{1,20}") {
            let spec = drive::drive(&format!("file={},readonly=on", name.replace(',', ",,")));
            assert_eq!(spec.map(|d| (d.file, d.readonly)), Ok((name.into(), true)));
        }
    }
}
