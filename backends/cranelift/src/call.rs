//! Rust functions that generated code calls.

use crate::abi;
use isoform_core::{Helper, Scratch, Translate};
use std::sync::OnceLock;

/// More helpers than any guest has.
const HELPERS: usize = 1024;

/// Helpers by number: code that holds no addresses names them so.
pub(crate) struct Helpers<G: Translate>(Box<[OnceLock<&'static Helper<G>>]>);

impl<G: Translate> Helpers<G> {
    pub(crate) fn new() -> Self {
        Self((0..HELPERS).map(|_| OnceLock::new()).collect())
    }

    /// The number of a helper, which gets one if it has none.
    pub(crate) fn number(&self, helper: &'static Helper<G>) -> i64 {
        let is_it = |slot: &OnceLock<&'static Helper<G>>| {
            std::ptr::eq(*slot.get_or_init(|| helper), helper)
        };
        let number = self.0.iter().position(is_it);
        number.expect("a guest has fewer helpers than the table") as i64
    }

    /// Where [`Scratch::helpers`] points.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr() as usize
    }
}

/// The functions' addresses, in the order of [`Scratch::functions`].
pub(crate) fn functions<G: Translate>() -> [usize; isoform_core::translate::FUNCTIONS] {
    let memory: extern "C" fn(*mut G, u64, u64, u64, u64) = memory::<G>;
    let helper: extern "C" fn(*mut G, u64, u64, u64) = helper::<G>;
    let pure_helper: extern "C" fn(*mut G, u64) = pure_helper::<G>;
    [memory as usize, helper as usize, pure_helper as usize]
}

/// The vCPU that generated code was entered with.
fn vcpu<'a, G: Translate>(guest: *mut G) -> &'a mut G {
    // SAFETY: generated code passes on the pointer that `Jit::enter` made from its
    // exclusive reference, which is not used until the code returns.
    #[expect(unsafe_code, reason = "generated code knows no lifetimes")]
    unsafe {
        &mut *guest
    }
}

/// The helper of a number.
fn find<G: Translate>(scratch: &Scratch, number: u64) -> &'static Helper<G> {
    let table = scratch.helpers as *const OnceLock<&'static Helper<G>>;
    // SAFETY: `Jit::enter` put the address of a table there that outlives the code; the
    // number is one that the table gave, below its length.
    #[expect(unsafe_code, reason = "generated code names helpers by number")]
    let slot = unsafe { &*table.add(number as usize % HELPERS) };
    slot.get().expect("numbers are given with helpers")
}

/// Puts a result where generated code finds it.
fn answer<G: Translate>(guest: &mut G, value: Option<u64>) {
    let scratch = guest.scratch();
    scratch.status = value.is_none().into();
    scratch.value = value.unwrap_or(0);
}

extern "C" fn memory<G: Translate>(guest: *mut G, op: u64, addr: u64, a: u64, b: u64) {
    let guest = vcpu(guest);
    let value = guest.access_ram(abi::decode(op), addr, a, b);
    answer(guest, value);
}

/// Calls a helper at the program counter in the state, with `left` instructions left
/// before it. A trap is delivered, or left to the interpreter.
extern "C" fn helper<G: Translate>(guest: *mut G, number: u64, left: u64, deliver: u64) {
    let guest = vcpu(guest);
    let told = std::mem::replace(&mut guest.scratch().told, left);
    guest.advance(told.wrapping_sub(left));
    let (helper, args) = (find::<G>(guest.scratch(), number), guest.scratch().args);
    let value = match (helper.call)(guest, args) {
        Ok(value) => Some(value),
        Err(trap) if deliver != 0 => {
            guest.advance(1);
            guest.scratch().told = left.wrapping_sub(1);
            guest.deliver(trap);
            None
        }
        Err(_) => None,
    };
    answer(guest, value);
}

/// Calls a helper that looks at nothing but its arguments and floating-point flags.
extern "C" fn pure_helper<G: Translate>(guest: *mut G, number: u64) {
    let guest = vcpu(guest);
    let (helper, args) = (find::<G>(guest.scratch(), number), guest.scratch().args);
    let value = (helper.call)(guest, args).ok();
    answer(guest, value);
}
