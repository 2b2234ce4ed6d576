//! From a region to host code: Cranelift, and the arena that the code lies in.

use crate::TranslatorError;
use crate::abi::{self, Name, STUBS, Stub};
use crate::arena::{Arena, Maps};
use crate::emit;
use crate::host::{self, Distance};
use crate::jumps::Entry;
use crate::link::Link;
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
use std::ops::Range;
use std::sync::Arc;

/// Why a region has no code.
pub(crate) enum Refused {
    /// The arena is full.
    Full,
    /// Cranelift does not take it.
    Unsupported(String),
}

/// A unit as it lies in the arena.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Where it is entered.
    pub(crate) code: usize,
    /// Its jumps to units of the same page, which lead to the dispatcher at first.
    pub(crate) links: Vec<Link>,
}

/// A compiler with its arena.
pub(crate) struct Compiler<G: Translate> {
    target: Target,
    context: Context,
    builder: FunctionBuilderContext,
    arena: Arena,
    stubs: [usize; STUBS.len()],
    /// Bytes of the arena that the stubs take.
    fixed: usize,
    guest: PhantomData<fn(&mut G)>,
}

impl<G: Translate> Compiler<G> {
    /// A compiler whose code takes at most `size` bytes.
    pub(crate) fn new(size: usize) -> Result<Self, TranslatorError> {
        let target = Target::host()?;
        host::check().map_err(TranslatorError::Host)?;
        let arena = Arena::new(size).map_err(TranslatorError::Memory)?;
        let mut this = Self {
            target,
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            arena,
            stubs: [0; STUBS.len()],
            fixed: 0,
            guest: PhantomData,
        };
        this.make_stubs()?;
        Ok(this)
    }

    fn make_stubs(&mut self) -> Result<(), TranslatorError> {
        let host = self.host_convention();
        for stub in STUBS {
            let fill = |b: &mut FunctionBuilder<'_>| abi::stub::<G>(b, stub, host);
            let object = self.make(abi::stub_function(stub, host), None, fill);
            let made = object.and_then(|object| self.place(object));
            let made = made.map_err(|refused| match refused {
                Refused::Full => TranslatorError::Host("the code cache is too small".into()),
                Refused::Unsupported(reason) => TranslatorError::Host(reason),
            })?;
            self.stubs[stub as usize] = made.code;
        }
        self.fixed = self.arena.used();
        Ok(())
    }

    fn host_convention(&self) -> CallConv {
        self.target.isa().default_call_conv()
    }

    /// The address of the stub that leads into a unit.
    pub(crate) fn enter(&self) -> usize {
        self.stubs[Stub::Enter as usize]
    }

    /// The address of the stub that leads to the unit at any address.
    pub(crate) fn dispatcher(&self) -> usize {
        self.stubs[Stub::Dispatch as usize]
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

    /// Where code lies, to change it in.
    pub(crate) fn maps(&self) -> &Arc<Maps> {
        self.arena.maps()
    }

    /// The address behind the code made last.
    pub(crate) fn end(&self) -> usize {
        self.arena.next()
    }

    /// The stubs by name, and where they lie, where no unit was made yet.
    pub(crate) fn stubs(&self) -> Vec<(&'static str, Range<usize>)> {
        let ends = self.stubs.iter().skip(1).copied().chain([self.end()]);
        let places = (0..).zip(self.stubs.iter().zip(ends));
        places
            .map(|(n, (start, end))| (Name::Stub(n).label(), *start..end))
            .collect()
    }

    /// Bytes of code.
    pub(crate) fn used(&self) -> usize {
        self.arena.used()
    }

    /// Forgets all units. Nobody executes any.
    pub(crate) fn rewind(&mut self) {
        self.arena.rewind(self.fixed);
    }

    /// Forgets what a panic left half done.
    pub(crate) fn recover(&mut self) {
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

    /// Puts code into the arena.
    pub(crate) fn place(&mut self, object: Object) -> Result<Unit, Refused> {
        let Object {
            mut code,
            relocations,
        } = object;
        let (base, mut links) = (self.arena.next(), Vec::new());
        for relocation in relocations {
            let unsupported = || Refused::Unsupported(format!("{relocation:?}"));
            match relocation.to {
                Name::Unit(to) => {
                    let dispatcher = self.dispatcher();
                    let link = Link::prepare(&relocation, to, &mut code, base, dispatcher);
                    links.push(link.ok_or_else(unsupported)?);
                }
                name => {
                    let stub = self.stub(name).ok_or_else(unsupported)?;
                    relocation
                        .apply(&mut code, base, stub)
                        .ok_or_else(unsupported)?;
                }
            }
        }
        let code = self.arena.put(&code).ok_or(Refused::Full)?;
        Ok(Unit { code, links })
    }

    /// The stub that code is to reach by a name; other units by way of the dispatcher.
    fn stub(&self, name: Name) -> Option<usize> {
        match name {
            Name::Stub(number) => self.stubs.get(usize::from(number)).copied(),
            Name::Unit(_) => Some(self.dispatcher()),
        }
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
