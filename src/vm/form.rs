//! The forms that a hart's instructions can be executed in: the one place where this
//! guest meets its backends.

use super::error::VmError;
use crate::config::{BackendChoice, MachineConfig};
use isoform_core::Exit;
use isoform_cranelift::{Jit, Translator};
use isoform_interp::Interp;
use isoform_riscv::{Hart, Lines};
use std::sync::Arc;

/// A way to execute guest code that is made elsewhere: for comparisons.
pub trait Execute: Send {
    /// Runs at most `budget` instructions, those that trap counted, and exactly that
    /// many where it gives [`Exit::Budget`].
    fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit;
}

/// Makes what a hart runs on, by the hart's number.
pub type MakeForm<'a> = &'a (dyn Fn(usize) -> Box<dyn Execute> + Sync);

/// Bytes of decoded code kept, by all harts together. With the rest of the process it
/// stays below the 40 MiB that a machine may take beside its guest's memory.
const DECODED: usize = 11 << 20;
/// The same where hot code is translated, and takes memory of its own. (With half of it
/// processes that come and go take a fifth more processor time; with twice as much, hardly
/// less.)
const DECODED_COLD: usize = 6 << 20;

/// What one hart runs on.
pub(super) enum Form {
    /// The interpreter.
    Interp(Interp),
    /// Translated code, and an interpreter for what is not.
    Jit(Box<Jit<Hart, Interp>>),
    /// What somebody else made.
    Other(Box<dyn Execute>),
}

impl Form {
    /// Runs at most `budget` instructions, and exactly that many where it gives
    /// [`Exit::Budget`].
    pub(super) fn run(&mut self, hart: &mut Hart, budget: u64) -> Exit {
        match self {
            Form::Interp(interp) => interp.run(hart, budget),
            Form::Jit(jit) => jit.run(hart, budget),
            Form::Other(other) => other.run(hart, budget),
        }
    }

    /// What the interpreter did.
    pub(super) fn interpreter(&self) -> isoform_interp::Counts {
        match self {
            Form::Interp(interp) => interp.counts(),
            Form::Jit(jit) => jit.cold().counts(),
            Form::Other(_) => isoform_interp::Counts::default(),
        }
    }

    /// What was executed in which form.
    pub(super) fn translated(&self) -> Option<isoform_cranelift::Counts> {
        match self {
            Form::Interp(_) | Form::Other(_) => None,
            Form::Jit(jit) => Some(jit.counts()),
        }
    }
}

/// The machine's translator, where its configuration asks for one.
pub(super) fn translator(
    config: &MachineConfig,
    lines: &[Arc<Lines>],
) -> Result<Option<Arc<Translator<Hart>>>, VmError> {
    let attentions = lines.iter().map(|l| l.attention().clone());
    let translator = || {
        let kept = config.translation_cache.clone();
        Translator::new(config.code_cache, attentions, kept)
    };
    match config.backend {
        BackendChoice::Interp => Ok(None),
        BackendChoice::Jit => Ok(Some(Arc::new(translator()?))),
        BackendChoice::Auto => match translator() {
            Ok(translator) => Ok(Some(Arc::new(translator))),
            Err(e) => {
                log::warn!("everything is interpreted: {e}");
                Ok(None)
            }
        },
    }
}

/// What is translated of a machine that is compared with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tiers {
    /// What is warm.
    Warm,
    /// Everything, by the baseline compiler.
    Baseline,
    /// Everything, by Cranelift.
    Regions,
}

/// The same, of a machine that is compared with another: what is translated, and when,
/// follows from the guest alone.
pub(super) fn repeatable(
    translator: Option<&Arc<Translator<Hart>>>,
    id: usize,
    harts: usize,
    tiers: Tiers,
) -> Form {
    let jit = match form(translator, id, harts) {
        Form::Jit(jit) => *jit,
        other => return other,
    };
    Form::Jit(Box::new(match tiers {
        Tiers::Warm => jit.patient(),
        Tiers::Baseline => jit.baseline(),
        Tiers::Regions => jit.eager(),
    }))
}

/// What hart `id` of a machine of `harts` runs on.
pub(super) fn form(translator: Option<&Arc<Translator<Hart>>>, id: usize, harts: usize) -> Form {
    let harts = harts.max(1);
    match translator {
        None => Form::Interp(Interp::new(DECODED / harts)),
        Some(translator) => {
            let cold = Interp::new(DECODED_COLD / harts);
            Form::Jit(Box::new(Jit::new(translator.clone(), id, cold)))
        }
    }
}
