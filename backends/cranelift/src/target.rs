//! What code is made for, and with how much effort.

use crate::TranslatorError;
use crate::float::Host;
use crate::host;
use crate::region::Region;
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};

/// One target, with two ways to make code for it.
pub(crate) struct Target {
    /// For code without loops: as good code, but for a twelfth of its time at most, in
    /// two thirds of the compiler's (the boot of a kernel, where that is most of all).
    quick: OwnedTargetIsa,
    /// For loops, which repay it.
    thorough: OwnedTargetIsa,
}

impl Target {
    /// This host, with all that its processor can do.
    ///
    /// # Errors
    /// The compiler does not know the host.
    pub(crate) fn host() -> Result<Self, TranslatorError> {
        let builder = cranelift_native::builder();
        Self::of(&builder.map_err(|e| TranslatorError::Host(e.to_string()))?)
    }

    /// A processor.
    ///
    /// # Errors
    /// The compiler does not know it.
    pub(crate) fn of(builder: &isa::Builder) -> Result<Self, TranslatorError> {
        Ok(Self {
            quick: finish(builder, "none")?,
            thorough: finish(builder, "speed")?,
        })
    }

    /// What is the same for all code.
    pub(crate) fn isa(&self) -> &dyn TargetIsa {
        &*self.thorough
    }

    /// What it has. A flag that an architecture does not know names what it always has.
    pub(crate) fn features(&self) -> Host {
        let flags = self.isa().isa_flags();
        let has = |name: &str| {
            let flag = flags.iter().find(|flag| flag.name == name);
            flag.is_none_or(|flag| flag.as_bool() == Some(true))
        };
        Host {
            fma: has("has_fma") && has("has_avx"),
            round: has("has_sse41"),
            atomics_fence: has("has_lse"),
            baseline: host::has_baseline(has),
        }
    }

    /// How a region's code is made.
    pub(crate) fn for_region(&self, region: &Region) -> &dyn TargetIsa {
        match region.loops() {
            true => &*self.thorough,
            false => &*self.quick,
        }
    }
}

fn finish(builder: &isa::Builder, effort: &str) -> Result<OwnedTargetIsa, TranslatorError> {
    let unsupported = |reason: String| TranslatorError::Host(reason);
    let verify = match cfg!(debug_assertions) {
        true => "true",
        false => "false",
    };
    let options = [
        ("opt_level", effort),
        // Units end by tail calls, which need them.
        ("preserve_frame_pointers", "true"),
        // No stack is walked, and none of it is large.
        ("unwind_info", "false"),
        ("enable_probestack", "false"),
        // The guest's own code decides what it speculates about.
        ("enable_heap_access_spectre_mitigation", "false"),
        ("enable_table_access_spectre_mitigation", "false"),
        ("enable_verifier", verify),
    ];
    let mut flags = settings::builder();
    for (name, value) in options {
        flags
            .set(name, value)
            .map_err(|e| unsupported(e.to_string()))?;
    }
    builder
        .finish(settings::Flags::new(flags))
        .map_err(|e| unsupported(e.to_string()))
}
