//! Rust functions that generated code calls.

use crate::abi::{self, Purpose};
use crate::code::PAGE;
use isoform_core::{Helper, Scratch, Translate};

/// The number of a helper, which is listed among the guest's.
pub(crate) fn number<G: Translate>(helper: &'static Helper<G>) -> u64 {
    let mut all = G::HELPERS.iter();
    let place = all.position(|known| std::ptr::eq(*known, helper));
    debug_assert!(place.is_some(), "{} is not listed", helper.name);
    place.map_or(LAST - 1, |place| place as u64)
}

/// Added to a helper's number where the unit ends after it.
pub(crate) const LAST: u64 = 1 << 10;

/// The functions' addresses, in the order of [`Scratch::functions`].
pub(crate) fn functions<G: Translate>() -> [usize; isoform_core::translate::FUNCTIONS] {
    let functions: [extern "C" fn(*mut G); _] = [memory::<G>, helper::<G>, pure_helper::<G>];
    functions.map(|function| function as usize)
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

/// Calls a helper by its number. Generated code has only numbers of some.
fn call<G: Translate>(guest: &mut G, number: u64) -> Result<u64, G::Trap> {
    let args = guest.scratch().args;
    match G::HELPERS.get(number as usize) {
        Some(helper) => (helper.call)(guest, args),
        None => Ok(0),
    }
}

/// Puts a result where generated code finds it.
fn answer<G: Translate>(guest: &mut G, value: u64) {
    let scratch = guest.scratch();
    (scratch.status, scratch.value) = (0, value);
}

/// Has generated code return to the run loop, and the interpreter execute the
/// instruction at `pc`, before which `left` were left.
fn hand_back<G: Translate>(guest: &mut G, pc: u64, left: u64) {
    guest.set_pc(pc);
    let scratch = guest.scratch();
    (scratch.status, scratch.value) = (1, left);
    scratch.handed_back = 1;
}

/// What a call is for, and the program counter and the instructions left before its
/// instruction.
fn purpose<G: Translate>(guest: &mut G) -> (u64, u64, u64) {
    let Scratch {
        entry,
        left,
        purpose,
        ..
    } = *guest.scratch();
    let Purpose { what, done, at } = Purpose::decode(purpose);
    let page = entry & !(PAGE as u64 - 1);
    (what, page | at, left.wrapping_sub(done))
}

/// An access to memory.
extern "C" fn memory<G: Translate>(guest: *mut G) {
    let guest = vcpu(guest);
    let (what, pc, left) = purpose(guest);
    let [addr, a, b, _] = guest.scratch().args;
    match guest.access_ram(abi::decode(what), addr, a, b) {
        Some(value) => answer(guest, value),
        None => hand_back(guest, pc, left),
    }
}

/// Calls a helper with the state's program counter and instruction count as they are
/// before the instruction. Where that is the last one of its unit, a trap is delivered,
/// and the unit goes on with the handler; else the interpreter does that.
extern "C" fn helper<G: Translate>(guest: *mut G) {
    let guest = vcpu(guest);
    let (what, pc, left) = purpose(guest);
    guest.set_pc(pc);
    let told = std::mem::replace(&mut guest.scratch().told, left);
    guest.advance(told.wrapping_sub(left));
    match call(guest, what & !LAST) {
        Ok(value) => answer(guest, value),
        Err(trap) if what & LAST != 0 => {
            guest.advance(1);
            guest.scratch().told = left.wrapping_sub(1);
            guest.deliver(trap);
            let scratch = guest.scratch();
            (scratch.status, scratch.value) = (1, left.wrapping_sub(1));
        }
        Err(_) => hand_back(guest, pc, left),
    }
    if what & LAST != 0 {
        // Without a stamp no unit is found: control goes back to the run loop.
        let (stamp, since) = match guest.exits() {
            true => (!0, !0),
            false => (guest.code_stamp(), guest.code_since()),
        };
        let scratch = guest.scratch();
        (scratch.stamp, scratch.since) = (stamp, since);
    }
}

/// Calls a helper that looks at nothing but its arguments and floating-point flags.
extern "C" fn pure_helper<G: Translate>(guest: *mut G) {
    let guest = vcpu(guest);
    let number = guest.scratch().purpose;
    let value = call(guest, number);
    let scratch = guest.scratch();
    scratch.status = value.is_err().into();
    scratch.value = value.unwrap_or(0);
}
