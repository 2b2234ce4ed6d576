//! Debian archives: what `InRelease` and `Packages` say, and whom to believe.

pub mod archive;
pub mod packages;
pub mod relation;
pub mod release;
pub mod resolve;
pub mod signature;
pub mod version;
