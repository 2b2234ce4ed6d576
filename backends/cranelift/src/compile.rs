//! From a region to host code: Cranelift, and the arena that the code lies in.

use crate::TranslatorError;
use crate::abi::{self, Name, STUBS, Stub};
use crate::arena::{Arena, Maps};
use crate::call::Helpers;
use crate::emit;
use crate::link::{self, Link};
use crate::region::Region;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{ExternalName, Function};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{Context, FinalizedRelocTarget};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use isoform_core::Translate;
use std::marker::PhantomData;
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
    isa: OwnedTargetIsa,
    context: Context,
    builder: FunctionBuilderContext,
    arena: Arena,
    stubs: [usize; STUBS.len()],
    /// Bytes of the arena that the stubs take.
    fixed: usize,
    guest: PhantomData<fn(&mut G)>,
}

fn target() -> Result<OwnedTargetIsa, TranslatorError> {
    let unsupported = |reason: String| TranslatorError::Host(reason);
    let mut flags = settings::builder();
    let options = [
        ("opt_level", "speed"),
        // Units end by tail calls, which need them.
        ("preserve_frame_pointers", "true"),
        // No stack is walked, and none of it is large.
        ("unwind_info", "false"),
        ("enable_probestack", "false"),
        // The guest's own code decides what it speculates about.
        ("enable_heap_access_spectre_mitigation", "false"),
        ("enable_table_access_spectre_mitigation", "false"),
        (
            "enable_verifier",
            if cfg!(debug_assertions) {
                "true"
            } else {
                "false"
            },
        ),
    ];
    for (name, value) in options {
        flags
            .set(name, value)
            .map_err(|e| unsupported(e.to_string()))?;
    }
    let builder = cranelift_native::builder().map_err(|e| unsupported(e.to_string()))?;
    builder
        .finish(settings::Flags::new(flags))
        .map_err(|e| unsupported(e.to_string()))
}

impl<G: Translate> Compiler<G> {
    /// A compiler whose code takes at most `size` bytes.
    pub(crate) fn new(size: usize) -> Result<Self, TranslatorError> {
        let isa = target()?;
        if !cfg!(target_arch = "x86_64") {
            // Code would have to be made visible to the other processors' fetches.
            let reason = "translated code is published on x86-64 hosts only";
            return Err(TranslatorError::Host(reason.into()));
        }
        let arena = Arena::new(size).map_err(TranslatorError::Memory)?;
        let mut this = Self {
            isa,
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
            let made = self.make(abi::stub_function(stub, host), fill);
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
        self.isa.default_call_conv()
    }

    /// The address of the stub that leads into a unit.
    pub(crate) fn enter(&self) -> usize {
        self.stubs[Stub::Enter as usize]
    }

    /// The address of the stub that leads to the unit at any address.
    pub(crate) fn dispatcher(&self) -> usize {
        self.stubs[Stub::Dispatch as usize]
    }

    /// Where code lies, to change it in.
    pub(crate) fn maps(&self) -> &Arc<Maps> {
        self.arena.maps()
    }

    /// Bytes of code.
    pub(crate) fn used(&self) -> usize {
        self.arena.used()
    }

    /// Forgets all units. Nobody executes any.
    pub(crate) fn rewind(&mut self) {
        self.arena.rewind(self.fixed);
    }

    /// Compiles a region.
    pub(crate) fn region(
        &mut self,
        helpers: &Helpers<G>,
        region: &Region,
        mode: G::Mode,
    ) -> Result<Unit, Refused> {
        self.make(emit::unit_function(), |b| {
            emit::region(b, helpers, region, mode);
        })
    }

    fn make(
        &mut self,
        function: Function,
        fill: impl FnOnce(&mut FunctionBuilder<'_>),
    ) -> Result<Unit, Refused> {
        self.context.clear();
        self.context.func = function;
        let mut b = FunctionBuilder::new(&mut self.context.func, &mut self.builder);
        fill(&mut b);
        b.finalize(self.isa.frontend_config());
        let mut control = ControlPlane::default();
        if let Err(e) = self.context.compile(&*self.isa, &mut control) {
            return Err(Refused::Unsupported(format!("{:?}", e.inner)));
        }
        let Some(compiled) = self.context.compiled_code() else {
            return Err(Refused::Unsupported("no code".into()));
        };
        let mut code = compiled.buffer.data().to_vec();
        let (base, mut links) = (self.arena.next(), Vec::new());
        for reloc in compiled.buffer.relocs() {
            let unsupported = || Refused::Unsupported(format!("{reloc:?}"));
            let offset = reloc.offset as usize;
            match self.named(&reloc.target).ok_or_else(unsupported)? {
                Name::Unit(to) if link::SUPPORTED => {
                    let at = link::prepare(&mut code, base, offset, self.dispatcher());
                    let at = at.ok_or_else(unsupported)?;
                    links.push(Link { at, to });
                }
                name => {
                    let stub = match name {
                        Name::Stub(number) => self.stubs.get(number).copied(),
                        Name::Unit(_) => Some(self.dispatcher()),
                    };
                    let stub = stub.ok_or_else(unsupported)? as i64;
                    let distance = stub.wrapping_add(reloc.addend) - (base + offset) as i64;
                    patch(&mut code, offset, reloc.kind, distance).ok_or_else(unsupported)?;
                }
            }
        }
        let code = self.arena.put(&code).ok_or(Refused::Full)?;
        Ok(Unit { code, links })
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

/// Writes a distance within the arena into code.
fn patch(code: &mut [u8], offset: usize, kind: Reloc, distance: i64) -> Option<()> {
    match kind {
        Reloc::X86CallPCRel4 | Reloc::X86PCRel4 => {
            let distance = i32::try_from(distance).ok()?;
            let place = code.get_mut(offset..offset + 4)?;
            place.copy_from_slice(&distance.to_le_bytes());
            Some(())
        }
        _ => None,
    }
}
