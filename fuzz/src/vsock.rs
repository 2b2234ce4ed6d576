//! Packets of a guest's socket device, and the programs of the host that they reach.

/// See `isoform_net::vsock::sample`.
pub fn run(data: &[u8]) {
    isoform_net::vsock::sample::run(data);
}
