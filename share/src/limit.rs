//! How many descriptors there are.

use rustix::process::{Resource, getrlimit};

/// Descriptors of one file that a client holds: itself, and as it was opened.
const PER_FID: u64 = 2;
/// More than that a client need not have, whatever the host allows.
const FIDS_MAX: usize = 1 << 16;

/// Files that one client of `shares` may hold: all of them leave half of the descriptors to
/// the rest of the program, networks for one.
pub(crate) fn fids(shares: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let all = limit.map_or(u64::MAX, |n| n / 2);
    let each = all / PER_FID / shares.max(1) as u64;
    usize::try_from(each).map_or(FIDS_MAX, |n| n.min(FIDS_MAX))
}
