//! The network against real sockets on the host's loopback, and against hostile guests.
//! The well-behaved guest is a second TCP/IP stack with a clock and a thread of its own.

mod attacks;
mod boot;
mod guest;
mod speed;
mod streams;
mod world;
