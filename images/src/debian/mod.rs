//! Debian archives: what `InRelease` and `Packages` say, and whom to believe.

pub mod archive;
pub mod packages;
pub mod release;
pub mod signature;
pub mod version;
