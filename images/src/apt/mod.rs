//! What this machine's apt is set up with: mirrors and proxies. Read only, never
//! changed, and apt itself need not be installed.

pub mod conf;
pub mod proxy;
pub mod sources;
