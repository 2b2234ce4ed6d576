//! Guest RAM, the physical bus, the soft TLB and code-page tracking.
