//! Puts objects into the arena, where they are led to what they call.

use crate::TranslatorError;
use crate::abi::{Name, STUBS, Stub};
use crate::arena::{Arena, Maps};
use crate::link::Link;
use crate::object::Object;
use std::ops::Range;
use std::sync::Arc;

/// Why a region has no code.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The arena is full.
    Full,
    /// The compiler does not take it.
    Unsupported(String),
}

/// A unit as it lies in the arena.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Where it is entered.
    pub(crate) code: usize,
    /// The address behind it.
    pub(crate) end: usize,
    /// Its jumps to units of the same page, which lead to the dispatcher at first.
    pub(crate) links: Vec<Link>,
}

/// The arena with the stubs, which lie at its start.
pub(crate) struct Linker {
    arena: Arena,
    stubs: [usize; STUBS.len()],
    /// Bytes that the stubs take.
    fixed: usize,
}

impl Linker {
    /// An arena of `size` bytes. The stubs are made by `make`.
    pub(crate) fn new(
        size: usize,
        mut make: impl FnMut(Stub) -> Result<Object, Refused>,
    ) -> Result<Self, TranslatorError> {
        let mut this = Self {
            arena: Arena::new(size).map_err(TranslatorError::Memory)?,
            stubs: [0; STUBS.len()],
            fixed: 0,
        };
        for stub in STUBS {
            let made = make(stub).and_then(|object| this.place(object));
            let made = made.map_err(|refused| match refused {
                Refused::Full => TranslatorError::Host("the code cache is too small".into()),
                Refused::Unsupported(reason) => TranslatorError::Host(reason),
            })?;
            this.stubs[stub as usize] = made.code;
        }
        this.fixed = this.arena.used();
        Ok(this)
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

    /// The stubs by name, and where they lie, where no unit was made yet.
    pub(crate) fn stubs(&self) -> Vec<(&'static str, Range<usize>)> {
        let ends = self.stubs.iter().skip(1).copied();
        let ends = ends.chain([self.arena.next()]);
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
                Name::Stub(number) => {
                    let stub = self.stubs.get(usize::from(number));
                    let stub = *stub.ok_or_else(unsupported)?;
                    relocation
                        .apply(&mut code, base, stub)
                        .ok_or_else(unsupported)?;
                }
            }
        }
        let code = self.arena.put(&code).ok_or(Refused::Full)?;
        let end = self.arena.next();
        Ok(Unit { code, end, links })
    }
}
