//! Fetching: an HTTP client that honours apt's proxies, and downloads that go on
//! where they broke off.

pub mod client;
pub mod download;
mod proxied;
