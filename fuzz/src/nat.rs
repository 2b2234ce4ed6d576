//! Frames of a guest to the user-mode network, with a host that reaches nothing.

/// The first byte says how the network is; see `isoform_net::user::sample`.
pub fn run(data: &[u8]) {
    isoform_net::user::sample::run(data);
}
