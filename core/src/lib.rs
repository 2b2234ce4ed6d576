//! Contracts between guests, backends and devices.
