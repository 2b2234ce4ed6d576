//! `cargo xtask cross`: builds the workspace for hosts of another architecture, and runs
//! its unit tests and the guest programs there, on QEMU's user mode.
//!
//! The toolchain comes from Debian's packages, taken from where apt takes them on this
//! machine and unpacked into a folder of their own: nothing is installed, and no list of
//! the system's changes. Debian has a newer compiler for browsers, with a standard library
//! for each architecture; both must be of one version, which apt sees to.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{process, skips};

/// For which hosts, and what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The host architecture
    #[arg(value_enum)]
    host: Host,
    /// Only build
    #[arg(long)]
    build: bool,
    /// Only the tests whose names contain this
    #[arg(long)]
    only: Option<String>,
}

#[derive(clap::ValueEnum, Clone, Copy)]
enum Host {
    Aarch64,
}

/// What is different from host to host.
struct Names {
    /// The folder for it all.
    folder: &'static str,
    /// Debian's name of the architecture.
    debian: &'static str,
    /// The compiler's name of the target.
    triple: &'static str,
    /// What Debian's cross tools begin with.
    tools: &'static str,
    /// What runs its programs.
    runner: &'static str,
}

impl Host {
    fn names(self) -> Names {
        match self {
            Host::Aarch64 => Names {
                folder: "aarch64",
                debian: "arm64",
                triple: "aarch64-unknown-linux-gnu",
                tools: "aarch64-linux-gnu-",
                runner: "qemu-aarch64",
            },
        }
    }
}

/// What the folder of the tools has, and Debian's name for it; of cross tools, behind
/// their prefix.
const TOOLS: [(&str, &str); 2] = [("rustc", "rustc"), ("rustdoc", "rustdoc")];
const CROSS_TOOLS: [(&str, &str); 2] = [("cc", "gcc"), ("ar", "ar")];

/// Tests of the packages' own that are of this machine, or need what QEMU's user mode has
/// not, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "every_kind_of_write_is_noted",
        "QEMU's user mode does nothing at MADV_REMOVE, by which RAM is cleared",
    ),
    (
        "a_slow_reader_gets_everything_and_stops_no_hart",
        "the guest is slower than the reader here",
    ),
];

/// Carries out `cargo xtask cross`.
pub(crate) fn run(args: &Args) -> Result<()> {
    let names = args.host.names();
    let folder = process::target().join("cross").join(names.folder);
    for tool in ["apt-get", "dpkg-deb", names.runner] {
        if !process::works(tool, "--version") {
            skips::note(&format!("cross {}", names.triple), &format!("no {tool}"));
            return Ok(());
        }
    }
    let ready = folder.join("ready");
    if !ready.exists() {
        if let Err(error) = prepare(&folder, &names) {
            skips::note(&format!("cross {}", names.triple), &format!("{error:#}"));
            return Ok(());
        }
        std::fs::write(&ready, "")?;
    }
    let cross = Cross { folder, names };
    cross.step("build", cross.tests(&["--no-run"]))?;
    if args.build {
        return Ok(());
    }
    let mut words = vec!["--no-fail-fast", "--", "--show-output"];
    for (test, why) in LEFT_OUT {
        skips::note(test, why);
        words.extend(["--skip", test]);
    }
    words.extend(args.only.as_deref());
    cross.step("tests", cross.tests(&words))
}

/// A toolchain that is there.
struct Cross {
    folder: PathBuf,
    names: Names,
}

impl Cross {
    /// The unit tests of all packages but this chore's own, which stays on the machine
    /// it is built for, and the guest programs.
    fn tests(&self, words: &[&str]) -> Command {
        let mut command = process::cargo_release("test", &["--workspace"]);
        command.args(["--exclude", "xtask", "--target", self.names.triple]);
        command.args(["--lib", "--bins", "--test", "roms"]);
        command.args(words);
        let tool = |name: &str| self.folder.join("bin").join(name);
        let upper = self.names.triple.to_uppercase().replace('-', "_");
        let lower = upper.to_lowercase();
        let set: [(String, OsString); 10] = [
            ("CARGO_TARGET_DIR".into(), self.folder.join("build").into()),
            // Debug information of all dependencies would be most of what is written.
            ("CARGO_PROFILE_RELEASE_DEBUG".into(), "false".into()),
            ("RUSTC".into(), tool("rustc").into()),
            ("RUSTDOC".into(), tool("rustdoc").into()),
            (format!("CC_{lower}"), tool("cc").into()),
            (format!("AR_{lower}"), tool("ar").into()),
            (format!("CARGO_TARGET_{upper}_LINKER"), tool("cc").into()),
            (
                format!("CARGO_TARGET_{upper}_RUNNER"),
                self.names.runner.into(),
            ),
            (
                format!("CARGO_TARGET_{upper}_RUSTFLAGS"),
                "-C target-feature=+crt-static".into(),
            ),
            ("ISOFORM_RUNNER".into(), self.names.runner.into()),
        ];
        command.envs(set);
        command
    }

    fn step(&self, what: &str, mut command: Command) -> Result<()> {
        let start = Instant::now();
        process::visible(&mut command)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{} {what}: {seconds:.0} s", self.names.triple);
        Ok(())
    }
}

/// Fetches and unpacks the toolchain.
fn prepare(folder: &Path, names: &Names) -> Result<()> {
    let apt = folder.join("apt");
    for part in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(apt.join(part))?;
    }
    let configuration = apt.join("apt.conf");
    std::fs::write(&configuration, apt_conf(&apt, names))?;
    let apt_get = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("APT_CONFIG", &configuration).arg("-qq");
        process::visible(command.args(words))
    };
    // A source of somebody else's that does not answer is none of our business; a package
    // that is missing is.
    let _ = apt_get(&["update"]);
    let library = format!("libstd-rust-web-dev:{}", names.debian);
    let gcc = format!("gcc-{}", names.tools.trim_end_matches('-'));
    let libc = format!("libc6-dev-{}-cross", names.debian);
    let words = ["--yes", "--download-only", "--no-install-recommends"];
    apt_get(&[&words[..], &["install", "rustc-web", &library, &gcc, &libc]].concat())
        .context("Debian's packages for it are not to be had")?;
    let root = folder.join("root");
    std::fs::create_dir_all(&root)?;
    for entry in std::fs::read_dir(apt.join("cache/archives"))? {
        let package = entry?.path();
        if package.extension().is_some_and(|e| e == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            process::visible(unpack.arg("-x").arg(package).arg(&root))?;
        }
    }
    wrap_tools(folder, &root, names)
}

/// The machine's own sources and what is installed, but lists and downloads of ours.
fn apt_conf(apt: &Path, names: &Names) -> String {
    let apt = apt.display();
    [
        format!("Dir::State::Lists \"{apt}/lists\";"),
        format!("Dir::Cache \"{apt}/cache\";"),
        format!("APT::Architectures {{ \"amd64\"; \"{}\"; }};", names.debian),
        "Acquire::Languages \"none\";".into(),
        "Acquire::Retries \"3\";".into(),
        "Debug::NoLocking \"1\";".into(),
        String::new(),
    ]
    .join("\n")
}

/// Makes programs that find their libraries where they were unpacked.
fn wrap_tools(folder: &Path, root: &Path, names: &Names) -> Result<()> {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin)?;
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let cross_tools = CROSS_TOOLS.map(|(name, tool)| (name, format!("{}{tool}", names.tools)));
    let tools = TOOLS.map(|(name, tool)| (name, tool.to_owned()));
    for (name, tool) in tools.into_iter().chain(cross_tools) {
        let program = root.join("usr/bin").join(tool);
        ensure!(program.exists(), "no package has {}", program.display());
        let script = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n",
            libraries.display(),
            program.display()
        );
        let wrapper = bin.join(name);
        std::fs::write(&wrapper, script)?;
        std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))?;
    }
    let mut version = Command::new(bin.join("rustc"));
    let output = process::captured(version.arg("--version"))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
