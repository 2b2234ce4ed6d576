//! The extensions that the CPU may announce, and which of them a hart has.
//!
//! An extension is announced only with its architectural behaviour; without it its
//! instructions and CSRs are illegal and it is absent from the device tree.

/// One extension, by the name the device tree uses.
macro_rules! extensions {
    ($( $(#[$doc:meta])* $name:ident $text:literal ),* $(,)?) => {
        /// An extension of the RISC-V instruction set or its privileged architecture.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Ext { $( $(#[$doc])* $name ),* }

        impl Ext {
            /// Every extension that this frontend knows, in canonical order.
            pub const ALL: &'static [Ext] = &[$( Ext::$name ),*];

            /// The name as in the ISA string and in `--cpu rv64,NAME=off`.
            pub const fn name(self) -> &'static str {
                match self { $( Ext::$name => $text ),* }
            }
        }
    };
}

extensions! {
    /// Base integer instructions.
    I "i",
    /// Multiplication and division.
    M "m",
    /// Atomics.
    A "a",
    /// Single-precision floating point.
    F "f",
    /// Double-precision floating point.
    D "d",
    /// Compressed instructions (Zca and Zcd).
    C "c",
    /// Cache-block management.
    Zicbom "zicbom",
    /// Cache-block prefetch hints.
    Zicbop "zicbop",
    /// Cache-block zero.
    Zicboz "zicboz",
    /// Base counters and timers.
    Zicntr "zicntr",
    /// Conditional operations.
    Zicond "zicond",
    /// CSR access.
    Zicsr "zicsr",
    /// Instruction-fetch fence.
    Zifencei "zifencei",
    /// Pause hint.
    Zihintpause "zihintpause",
    /// Hardware performance counters.
    Zihpm "zihpm",
    /// Atomic compare-and-swap.
    Zacas "zacas",
    /// Wait on reservation set.
    Zawrs "zawrs",
    /// Half-precision floating point.
    Zfh "zfh",
    /// Half-precision moves and conversions.
    Zfhmin "zfhmin",
    /// Compressed integer instructions.
    Zca "zca",
    /// Additional compressed instructions.
    Zcb "zcb",
    /// Compressed double-precision loads and stores.
    Zcd "zcd",
    /// Address generation.
    Zba "zba",
    /// Basic bit manipulation.
    Zbb "zbb",
    /// Carry-less multiplication.
    Zbc "zbc",
    /// Single-bit instructions.
    Zbs "zbs",
    /// Data-independent latency.
    Zkt "zkt",
    /// Advanced interrupt architecture, M mode.
    Smaia "smaia",
    /// Enhanced physical memory protection.
    Smepmp "smepmp",
    /// Advanced interrupt architecture, S mode.
    Ssaia "ssaia",
    /// Supervisor counter-enable covers every counter that is not zero.
    Sscounterenw "sscounterenw",
    /// Supervisor timer compare.
    Sstc "sstc",
    /// UXL is 64 bits.
    Ssu64xl "ssu64xl",
    /// Page faults when A or D is clear.
    Svade "svade",
    /// Hardware update of A and D, where `menvcfg.ADUE` asks for it.
    Svadu "svadu",
    /// Fine-grained address-translation invalidation.
    Svinval "svinval",
    /// NAPOT contiguous translations.
    Svnapot "svnapot",
    /// Page-based memory types.
    Svpbmt "svpbmt",
    /// The satp mode Bare.
    Svbare "svbare",
    /// 39-bit virtual addresses.
    Sv39 "sv39",
    /// 48-bit virtual addresses.
    Sv48 "sv48",
    /// 57-bit virtual addresses.
    Sv57 "sv57",
}

/// A set of extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtSet(u64);

impl ExtSet {
    /// The empty set.
    pub const NONE: ExtSet = ExtSet(0);

    /// Whether the set holds an extension.
    #[inline]
    pub const fn has(self, e: Ext) -> bool {
        self.0 >> e as u8 & 1 != 0
    }

    /// The set with an extension.
    pub const fn with(self, e: Ext) -> ExtSet {
        ExtSet(self.0 | 1 << e as u8)
    }

    /// The set without an extension.
    pub const fn without(self, e: Ext) -> ExtSet {
        ExtSet(self.0 & !(1 << e as u8))
    }

    /// The extensions in canonical order.
    pub fn iter(self) -> impl Iterator<Item = Ext> {
        Ext::ALL.iter().copied().filter(move |e| self.has(*e))
    }
}

/// Why a CPU description is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpuError {
    /// No extension of that name.
    #[error("`{0}` is no extension of the rv64 CPU; known are: {known}", known = known())]
    Unknown(String),
    /// The extension cannot be turned off or stands on another that is off.
    #[error("`{ext}` cannot be {state}: {reason}")]
    Dependency {
        /// The extension.
        ext: &'static str,
        /// `on` or `off`.
        state: &'static str,
        /// Why not.
        reason: String,
    },
}

fn known() -> String {
    Ext::ALL
        .iter()
        .map(|e| e.name())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Which extensions need which others (ISA manual, the chapter of each).
const NEEDS: &[(Ext, Ext)] = &[
    (Ext::D, Ext::F),
    (Ext::F, Ext::Zicsr),
    (Ext::C, Ext::Zca),
    (Ext::Zcb, Ext::Zca),
    (Ext::Zcd, Ext::Zca),
    (Ext::Zcd, Ext::D),
    (Ext::Zfh, Ext::Zfhmin),
    (Ext::Zfhmin, Ext::F),
    (Ext::Zacas, Ext::A),
    (Ext::Zawrs, Ext::A),
    (Ext::Smaia, Ext::Ssaia),
    (Ext::Ssaia, Ext::Smaia),
    (Ext::Sv57, Ext::Sv48),
    (Ext::Sv48, Ext::Sv39),
    (Ext::Svnapot, Ext::Sv39),
    (Ext::Svpbmt, Ext::Sv39),
];

/// Extensions that other parts of the machine take for granted.
const ALWAYS: &[Ext] = &[
    Ext::I,
    Ext::M,
    Ext::A,
    Ext::Zicsr,
    Ext::Zifencei,
    Ext::Zicntr,
    Ext::Svbare,
    Ext::Ssu64xl,
];

/// The CPU as described by `--cpu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// What the hart has.
    pub ext: ExtSet,
}

/// What only a board with an IMSIC for each hart brings (see [`Cpu::with_imsic`]).
const IMSIC: [Ext; 2] = [Ext::Smaia, Ext::Ssaia];

impl Default for Cpu {
    /// All that this host can give: everything, and Zacas where a 16-byte
    /// compare-and-swap needs no lock. What stands on devices is not among it.
    fn default() -> Self {
        let all = Ext::ALL.iter().filter(|e| !IMSIC.contains(e));
        let mut ext = all.fold(ExtSet::NONE, |set, e| set.with(*e));
        if !isoform_memory::has_cas128() {
            ext = ext.without(Ext::Zacas);
        }
        Self { ext }
    }
}

impl Cpu {
    /// The default CPU with some extensions switched.
    pub fn with<'a>(switches: impl IntoIterator<Item = (&'a str, bool)>) -> Result<Self, CpuError> {
        let default = Self::default();
        let mut cpu = default;
        for (name, on) in switches {
            let ext = Ext::ALL
                .iter()
                .find(|e| e.name().eq_ignore_ascii_case(name));
            let ext = *ext.ok_or_else(|| CpuError::Unknown(name.to_string()))?;
            cpu.ext = if on {
                cpu.ext.with(ext)
            } else {
                cpu.ext.without(ext)
            };
            if on && !default.ext.has(ext) {
                let reason = match ext {
                    Ext::Zacas => "this host has no lock-free 16-byte compare-and-swap",
                    _ => "it comes with the board: --machine virt,aia=aplic-imsic",
                }
                .to_string();
                return Err(CpuError::Dependency {
                    ext: ext.name(),
                    state: "on",
                    reason,
                });
            }
            if !on && ALWAYS.contains(&ext) {
                let reason = "every guest relies on it".to_string();
                return Err(CpuError::Dependency {
                    ext: ext.name(),
                    state: "off",
                    reason,
                });
            }
        }
        // What stands on something that is off is off, too.
        while let Some((ext, _)) = NEEDS
            .iter()
            .find(|(e, base)| cpu.ext.has(*e) && !cpu.ext.has(*base))
        {
            cpu.ext = cpu.ext.without(*ext);
        }
        Ok(cpu)
    }

    /// The CPU in a machine whose harts have an IMSIC each.
    pub fn with_imsic(self) -> Self {
        let ext = IMSIC.into_iter().fold(self.ext, ExtSet::with);
        Self { ext }
    }

    /// The `riscv,isa` string: single letters, then the rest by underscores. Names
    /// of paging modes are not extensions there.
    pub fn isa_string(&self) -> String {
        let mut s = String::from("rv64");
        for e in self.isa_extensions() {
            if e.len() > 1 {
                s.push('_');
            }
            s.push_str(e);
        }
        s
    }

    /// The names for `riscv,isa-extensions`.
    pub fn isa_extensions(&self) -> Vec<&'static str> {
        let paging = [Ext::Sv39, Ext::Sv48, Ext::Sv57];
        self.ext
            .iter()
            .filter(|e| !paging.contains(e))
            .map(Ext::name)
            .collect()
    }

    /// The `mmu-type` property, where there is paging.
    pub fn mmu_type(&self) -> Option<&'static str> {
        [
            (Ext::Sv57, "riscv,sv57"),
            (Ext::Sv48, "riscv,sv48"),
            (Ext::Sv39, "riscv,sv39"),
        ]
        .into_iter()
        .find_map(|(e, name)| self.ext.has(e).then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_on_an_absent_extension_is_absent() {
        let cpu = Cpu::with([("sv39", false)]).expect("sv39 may be off");
        assert!(!cpu.ext.has(Ext::Sv57) && !cpu.ext.has(Ext::Svnapot));
        assert_eq!(cpu.mmu_type(), None);
        assert!(Cpu::with([("v", true)]).is_err());
        assert!(Cpu::with([("i", false)]).is_err());
    }

    #[test]
    fn the_isa_string_is_canonical() {
        let s = Cpu::default().isa_string();
        assert!(s.starts_with("rv64imafdc_zicbom_"), "{s}");
        assert!(!s.contains("sv39"), "{s}");
    }
}
