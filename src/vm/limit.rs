//! How many descriptors the process may have.

use rustix::process::{Resource, getrlimit, setrlimit};

/// As many as the host allows: each connection and each open file of a guest's is one. The
/// usual limit is there for programs that use `select`, which none of ours does.
pub(super) fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        log::warn!("a guest may run out of connections and open files: {e}");
    }
}
