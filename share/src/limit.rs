//! How many descriptors there are.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that the rest of the program needs.
const RESERVED: u64 = 256;
/// Descriptors of one file that a client holds: itself, and as it was opened.
const PER_FID: u64 = 2;
/// More than that a client need not have, whatever the host allows.
const FIDS_MAX: usize = 1 << 16;

/// Raises the process's limit of open files as far as it may. A guest holds a descriptor
/// or two for each file that its kernel remembers; the usual limit of 1024 is there for
/// programs that use `select`, which none of ours does.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where it may not, guests have fewer files.
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Files that one client of `shares` may hold, so that all of them leave descriptors for
/// the rest of the program.
pub(crate) fn fids(shares: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let all = limit.map_or(u64::MAX, |n| n.saturating_sub(RESERVED.min(n / 2)));
    let each = all / PER_FID / shares.max(1) as u64;
    usize::try_from(each).map_or(FIDS_MAX, |n| n.min(FIDS_MAX))
}
