//! From a region to host code: Cranelift.

use crate::TranslatorError;
use crate::abi::{self, Name, Stub};
use crate::emit;
use crate::host::{self, Distance};
use crate::jumps::Entry;
use crate::linker::Refused;
use crate::object::{Object, Relocation};
use crate::region::Region;
use crate::target::Target;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{ExternalName, Function};
use cranelift_codegen::isa::CallConv;
use cranelift_codegen::{Context, FinalizedMachReloc, FinalizedRelocTarget};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use isoform_core::{FloatLayout, Layout, Translate};
use std::marker::PhantomData;

/// A compiler.
pub(crate) struct Compiler<G: Translate> {
    target: Target,
    context: Context,
    builder: FunctionBuilderContext,
    guest: PhantomData<fn(&mut G)>,
}

impl<G: Translate> Compiler<G> {
    /// A compiler for this host.
    pub(crate) fn new() -> Result<Self, TranslatorError> {
        let target = Target::host()?;
        host::check().map_err(TranslatorError::Host)?;
        Ok(Self {
            target,
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            guest: PhantomData,
        })
    }

    /// Makes a stub.
    pub(crate) fn stub(&mut self, stub: Stub) -> Result<Object, Refused> {
        let host = self.host_convention();
        let fill = |b: &mut FunctionBuilder<'_>| abi::stub::<G>(b, stub, host);
        self.make(abi::stub_function(stub, host), None, fill)
    }

    /// Whether the baseline compiler makes code for this host.
    pub(crate) fn has_baseline(&self) -> bool {
        self.target.features().baseline
    }

    fn host_convention(&self) -> CallConv {
        self.target.isa().default_call_conv()
    }

    /// What the code depends on beside what it is made from: the sources of this build,
    /// and the host's features.
    pub(crate) fn identity(&self) -> String {
        let isa = self.target.isa();
        let flags: Vec<_> = isa.isa_flags().iter().map(|f| f.to_string()).collect();
        format!(
            "{} {} {} {} {:?} {:?}",
            env!("ISOFORM_SOURCES"),
            G::NAME,
            isa.triple(),
            flags.join(" "),
            layout::<G>(),
            size_of::<Entry>(),
        )
    }

    /// Forgets its buffers, and what a panic left half done in them.
    pub(crate) fn shrink(&mut self) {
        (self.context, self.builder) = (Context::new(), FunctionBuilderContext::new());
    }

    /// Compiles a region.
    pub(crate) fn region(&mut self, region: &Region, mode: G::Mode) -> Result<Object, Refused> {
        let host = self.target.features();
        self.make(emit::unit_function(), Some(region), |b| {
            emit::region::<G>(b, region, mode, host);
        })
    }

    fn make(
        &mut self,
        function: Function,
        region: Option<&Region>,
        fill: impl FnOnce(&mut FunctionBuilder<'_>),
    ) -> Result<Object, Refused> {
        self.context.clear();
        self.context.func = function;
        let mut b = FunctionBuilder::new(&mut self.context.func, &mut self.builder);
        fill(&mut b);
        let isa = match region {
            Some(region) => self.target.for_region(region),
            None => self.target.isa(),
        };
        b.finalize(isa.frontend_config());
        let mut control = ControlPlane::default();
        if let Err(e) = self.context.compile(isa, &mut control) {
            return Err(Refused::Unsupported(format!("{:?}", e.inner)));
        }
        let Some(compiled) = self.context.compiled_code() else {
            return Err(Refused::Unsupported("no code".into()));
        };
        let relocation = |reloc: &FinalizedMachReloc| {
            let relocation = Relocation {
                offset: reloc.offset,
                distance: Distance::of(reloc.kind)?,
                addend: reloc.addend as i32,
                to: self.named(&reloc.target)?,
            };
            Some(relocation)
        };
        let relocations = compiled.buffer.relocs().iter().map(|reloc| {
            let unsupported = || Refused::Unsupported(format!("{reloc:?}"));
            relocation(reloc).ok_or_else(unsupported)
        });
        Ok(Object {
            code: compiled.buffer.data().to_vec(),
            relocations: relocations.collect::<Result<_, _>>()?,
        })
    }

    /// What a relocation names.
    fn named(&self, target: &FinalizedRelocTarget) -> Option<Name> {
        let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = target else {
            return None;
        };
        Some(Name::of(
            &self.context.func.params.user_named_funcs()[*name],
        ))
    }
}

/// Where a guest's state lies, in words. Without the function that tells what rounding
/// modes mean: its address differs from run to run.
fn layout<G: Translate>() -> String {
    let Layout {
        regs,
        fregs,
        fregs_written,
        float,
        pc,
        scratch,
        reservation,
        tlb,
    } = G::LAYOUT;
    let FloatLayout {
        control,
        inexact,
        direction,
        reserved,
        rounding: _,
    } = float;
    let float = (control, inexact, direction, reserved);
    let state = (regs, fregs, fregs_written, float, pc, scratch);
    format!("{:?}", (state, reservation, tlb))
}
