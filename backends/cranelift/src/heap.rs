//! Memory that was freed, back to the host.

/// Has the allocator give back pages that hold nothing any more. It keeps what a thread
/// frees for that thread, and a compiler, like the vCPUs that ask it for code, frees much.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number, and changes nothing that is in use.
    #[expect(unsafe_code, reason = "a function of the C library without a wrapper")]
    unsafe {
        libc::malloc_trim(0);
    }
}
