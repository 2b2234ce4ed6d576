//! Tests of the whole way from a name to files, on a made-up Debian archive that a
//! small server offers over loopback, with faults on demand.

mod archive;
mod faults;
mod fixtures;
mod hostile;
mod packages;
mod parcels;
mod scripts;
mod server;
mod signed;
