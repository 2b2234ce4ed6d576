//! IEEE 754 arithmetic in integers, bit-exact on every host.
