//! The RISC-V guest: state, decoder, semantics, CSRs, address translation, disassembly.
