//! Kernel modules: what each says about itself in `.modinfo`, which others it
//! needs, and the index files `modprobe` reads in the guest.
//!
//! Debian's package has no `modules.dep` (depmod writes it at installation), so
//! the order comes from the modules themselves.

use std::collections::{BTreeMap, BTreeSet};

use object::{Object as _, ObjectSection as _};

use crate::error::Malformed;
use crate::unpack::{unxz, unzstd};

/// The largest modules (GPU drivers) are about 60 MB.
const MAX_MODULE: u64 = 256 << 20;

/// What a module's `.modinfo` section says, as far as loading it is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModInfo {
    /// Modules that must be loaded first.
    pub depends: Vec<String>,
    /// Modules that should be loaded first where they exist (`softdep=pre:`).
    pub soft_before: Vec<String>,
    /// Other names and device patterns it is loaded by.
    pub aliases: Vec<String>,
    /// The kernel it was built for.
    pub vermagic: Option<String>,
}

impl ModInfo {
    /// Reads the section's content: `key=value` texts, each ended by NUL.
    /// Unknown keys are skipped.
    pub fn from_section(section: &[u8]) -> ModInfo {
        let mut info = ModInfo::default();
        for record in section.split(|&b| b == 0) {
            let text = String::from_utf8_lossy(record);
            let Some((key, value)) = text.split_once('=') else {
                continue;
            };
            match key {
                "depends" => info.depends.extend(names(value.split(','))),
                "softdep" => info.soft_before.extend(names(before(value))),
                "alias" => info.aliases.push(value.to_owned()),
                "vermagic" => info.vermagic = Some(value.to_owned()),
                _ => {}
            }
        }
        info
    }

    /// Reads an uncompressed module, an ELF file of any architecture.
    ///
    /// # Errors
    /// No ELF file, or one without `.modinfo`.
    pub fn from_elf(elf: &[u8]) -> Result<ModInfo, Malformed> {
        let file = object::File::parse(elf)
            .map_err(|e| Malformed::new(format!("it is no ELF file: {e}")))?;
        let section = file
            .section_by_name(".modinfo")
            .ok_or_else(|| Malformed::new("it is no kernel module (no .modinfo section)"))?;
        let data = section
            .data()
            .map_err(|e| Malformed::new(format!("its .modinfo is damaged: {e}")))?;
        Ok(ModInfo::from_section(data))
    }
}

/// The words after `pre:` up to `post:` (or `platform:`).
fn before(softdep: &str) -> impl Iterator<Item = &str> {
    let mut taking = false;
    softdep.split_ascii_whitespace().filter(move |word| {
        if word.ends_with(':') {
            taking = *word == "pre:";
            return false;
        }
        taking
    })
}

fn names<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    words
        .filter(|word| !word.is_empty())
        .map(canonical)
        .collect()
}

/// Names compare with `-` and `_` alike.
pub fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// `kernel/fs/ext4/ext4.ko.xz` → `ext4`; `None` where the path is no module's.
pub fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (stem, rest) = file.split_once(".ko")?;
    matches!(rest, "" | ".xz" | ".zst").then(|| canonical(stem))
}

/// The modules of one kernel package, compressed as they came.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, (String, Vec<u8>)>,
    builtin: BTreeSet<String>,
}

/// A module chosen for an image, ready to be loaded.
#[derive(Debug, Clone)]
pub struct Module {
    /// Canonical name, e.g. `virtio_blk`.
    pub name: String,
    /// Path under `/lib/modules/VERSION`, ending in `.ko`.
    pub path: String,
    /// The ELF file.
    pub elf: Vec<u8>,
    /// What it says about itself.
    pub info: ModInfo,
    /// Direct needs, hard and soft, that are modules of this image.
    pub needs: Vec<String>,
}

impl Tree {
    /// Adds the module file `path` (relative to `/lib/modules/VERSION`);
    /// anything that is no module is ignored.
    pub fn add(&mut self, path: &str, bytes: Vec<u8>) {
        if let Some(name) = name_of(path) {
            self.files.insert(name, (path.to_owned(), bytes));
        }
    }

    /// Takes in `modules.builtin`: paths of what is part of the kernel itself.
    pub fn add_builtin(&mut self, list: &[u8]) {
        let list = String::from_utf8_lossy(list);
        self.builtin
            .extend(list.lines().filter_map(|line| name_of(line.trim())));
    }

    /// Whether a module or built-in of that name is known.
    pub fn knows(&self, name: &str) -> bool {
        let name = canonical(name);
        self.files.contains_key(&name) || self.builtin.contains(&name)
    }

    /// `wanted` and all they need, each after what it needs. A wanted module
    /// that is built in needs nothing.
    ///
    /// # Errors
    /// An unknown module, a damaged one, or a circle of dependencies.
    pub fn closure(&self, wanted: &[&str]) -> Result<Vec<Module>, Malformed> {
        let mut walk = Walk {
            tree: self,
            done: Vec::new(),
            state: BTreeMap::new(),
        };
        for name in wanted {
            walk.visit(&canonical(name), "the image")?;
        }
        Ok(walk.done)
    }

    fn load(&self, path: &str, bytes: &[u8]) -> Result<(Vec<u8>, ModInfo), Malformed> {
        let unpacked = match path.rsplit('.').next() {
            Some("xz") => unxz(bytes, MAX_MODULE),
            Some("zst") => unzstd(bytes, MAX_MODULE),
            _ => Ok(bytes.to_vec()),
        };
        let named = |e: Malformed| Malformed::new(format!("module {path}: {e}"));
        let elf = unpacked.map_err(named)?;
        let info = ModInfo::from_elf(&elf).map_err(named)?;
        Ok((elf, info))
    }

    /// The modules behind a soft dependency: itself, or all that have it as an
    /// alias, as `modprobe` has it. Only the crypto folders are asked for aliases
    /// (`crypto-crc32c`): that is where soft dependencies need them, and to unpack
    /// all 3,000 modules would take longer than everything else.
    fn providers(&self, soft: &str) -> Result<Vec<String>, Malformed> {
        if self.files.contains_key(soft) {
            return Ok(vec![soft.to_owned()]);
        }
        let mut found = Vec::new();
        for (name, (path, bytes)) in &self.files {
            if path.contains("/crypto/") {
                let (_, info) = self.load(path, bytes)?;
                if info.aliases.iter().any(|alias| canonical(alias) == soft) {
                    found.push(name.clone());
                }
            }
        }
        Ok(found)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    UnderWay,
    Done,
}

struct Walk<'a> {
    tree: &'a Tree,
    done: Vec<Module>,
    state: BTreeMap<String, State>,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, wanted_by: &str) -> Result<(), Malformed> {
        match self.state.get(name) {
            Some(State::Done) => return Ok(()),
            Some(State::UnderWay) => {
                return Err(Malformed::new(format!(
                    "modules {name} and {wanted_by} need each other"
                )));
            }
            None => {}
        }
        let Some((path, bytes)) = self.tree.files.get(name) else {
            if self.tree.builtin.contains(name) {
                return Ok(());
            }
            return Err(Malformed::new(format!(
                "there is no module {name}, which {wanted_by} needs"
            )));
        };
        self.state.insert(name.to_owned(), State::UnderWay);
        let (elf, info) = self.tree.load(path, bytes)?;
        let mut needs = Vec::new();
        for soft in &info.soft_before {
            let providers = self.tree.providers(soft)?;
            // A soft circle is legal: the hard order wins then.
            needs.extend(
                providers
                    .into_iter()
                    .filter(|p| self.state.get(p) != Some(&State::UnderWay)),
            );
        }
        needs.extend(
            info.depends
                .iter()
                .filter(|n| !self.tree.builtin.contains(*n))
                .cloned(),
        );
        for need in &needs {
            self.visit(need, name)?;
        }
        let path = path
            .trim_end_matches(".xz")
            .trim_end_matches(".zst")
            .to_owned();
        self.state.insert(name.to_owned(), State::Done);
        self.done.push(Module {
            name: name.to_owned(),
            path,
            elf,
            info,
            needs,
        });
        Ok(())
    }
}

/// The text of `modules.dep` (modules.dep(5)): each module, then all it needs,
/// nearest first. Soft needs are among them, since busybox's modprobe reads no
/// `modules.softdep`. `modules` is in the order of [`Tree::closure`].
pub fn modules_dep(modules: &[Module]) -> String {
    let mut text = String::new();
    for (position, module) in modules.iter().enumerate() {
        text.push_str(&module.path);
        text.push(':');
        let mut all: BTreeSet<&str> = module.needs.iter().map(String::as_str).collect();
        for earlier in modules.iter().take(position).rev() {
            if all.contains(earlier.name.as_str()) {
                all.extend(earlier.needs.iter().map(String::as_str));
                text.push(' ');
                text.push_str(&earlier.path);
            }
        }
        text.push('\n');
    }
    text
}

/// The text of `modules.alias`.
pub fn modules_alias(modules: &[Module]) -> String {
    let lines = modules.iter().flat_map(|module| {
        module
            .info
            .aliases
            .iter()
            .map(move |alias| (alias, &module.name))
    });
    lines
        .map(|(alias, name)| format!("alias {alias} {name}\n"))
        .collect()
}
