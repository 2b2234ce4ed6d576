//! From a piece in which the forms part to the instruction. Each look is a run from the
//! start: a form is what it is only where it is not stopped on the way.

use super::super::error::VmError;
use super::part;
use super::side::Pair;
use super::{Lockstep, Verdict};

/// How far before a difference is seen the wrong piece of code begins, most likely:
/// further than any piece is long.
const NEAR: u64 = 256;

/// They agree after `agreed` instructions and differ after `seen`.
pub(super) fn part(lockstep: &Lockstep<'_>, agreed: u64, seen: u64) -> Result<Verdict, VmError> {
    let differs = |stops: &[u64]| differs(lockstep, stops);
    if !differs(&[seen])? {
        return stopped_often(lockstep, agreed, seen);
    }
    let seen = first(agreed, seen, |seen| differs(&[seen]))?;
    // The latest place to stop at from which they come to differ all the same.
    let near = seen.saturating_sub(NEAR).max(agreed);
    let from = match differs(&[near, seen])? {
        true => near,
        false if near > agreed && differs(&[agreed, seen])? => agreed,
        // Stopping anywhere hides it: where it is seen is all that is known.
        false => return tell(lockstep, None, seen),
    };
    let innocent = first(from, seen, |stop| {
        differs(&[stop, seen]).map(|differs| !differs)
    })?;
    tell(lockstep, Some(innocent - 1), seen)
}

/// They differ at most where they are stopped on the way as they were before.
fn stopped_often(lockstep: &Lockstep<'_>, agreed: u64, seen: u64) -> Result<Verdict, VmError> {
    let mut pair = Pair::new(lockstep)?;
    let mut before = 0;
    while before < seen {
        let now = before.saturating_add(lockstep.every).min(seen);
        pair.advance(now);
        if now > agreed && !pair.is_all_the_same()? {
            let part = part::tell(lockstep, &pair, Some(before), now)?;
            return Ok(Verdict::Part(Box::new(part)));
        }
        before = now;
    }
    Ok(Verdict::Unsteady { seen })
}

fn tell(lockstep: &Lockstep<'_>, from: Option<u64>, seen: u64) -> Result<Verdict, VmError> {
    let mut pair = Pair::new(lockstep)?;
    if let Some(from) = from {
        pair.advance(from);
    }
    pair.advance(seen);
    let part = part::tell(lockstep, &pair, from, seen)?;
    Ok(Verdict::Part(Box::new(part)))
}

/// Whether they differ when run anew with these stops, at the last.
fn differs(lockstep: &Lockstep<'_>, stops: &[u64]) -> Result<bool, VmError> {
    let mut pair = Pair::new(lockstep)?;
    stops.iter().for_each(|stop| pair.advance(*stop));
    Ok(!pair.is_all_the_same()?)
}

/// The first number above `low` for which it is so, if it is for `high`, and is for all
/// above the first.
fn first<E>(mut low: u64, mut high: u64, is_so: impl Fn(u64) -> Result<bool, E>) -> Result<u64, E> {
    while low + 1 < high {
        let middle = low.midpoint(high);
        if is_so(middle)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found() {
        for wanted in 1..40 {
            let found: Result<_, ()> = first(0, 40, |n| Ok(n >= wanted));
            assert_eq!(found, Ok(wanted));
        }
        assert_eq!(first(6, 7, |_| Err(())), Ok(7), "nothing to ask");
    }
}
