//! The server by its messages: what they do, what they must not do, and what becomes of
//! those that no client sends.

mod client;
mod escape;
mod hostile;
mod protocol;
