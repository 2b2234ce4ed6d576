//! Atomic accesses as each host architecture has them, where Rust's own are not enough.

use std::sync::atomic::{Ordering, fence};

/// Whether this host swaps 16 bytes atomically without a lock.
pub fn has_cas128() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("cmpxchg16b");
    #[cfg(not(target_arch = "x86_64"))]
    return cfg!(target_arch = "aarch64");
}

/// Has no access that follows an atomic read-modify-write come before it. On x86-64 none
/// does; where Rust makes it of a pair of exclusive accesses, a later load may come before
/// its store (Arm ARM B2.3), which an acquiring AMO does not allow (Unpriv. "RVWMO").
#[inline(always)]
pub(crate) fn fence_behind_atomic() {
    if !cfg!(target_arch = "x86_64") {
        fence(Ordering::SeqCst);
    }
}

/// Compare-and-swap of 16 bytes; the value found.
///
/// Written in assembly, since the intrinsic calls a library function that is not
/// there when the compiler does not inline it (low optimisation levels).
///
/// # Safety
/// `host` is 16-aligned and points into a live, writable mapping of guest RAM;
/// [`has_cas128`] says yes.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "guest RAM is behind a raw pointer by design")]
pub(crate) unsafe fn cas128(host: *mut u8, old: u128, new: u128) -> u128 {
    let (mut low, mut high) = (old as u64, (old >> 64) as u64);
    // SAFETY: the caller's promise; rbx, which the compiler reserves, is put back.
    unsafe {
        std::arch::asm!(
            "xchg rsi, rbx",
            "lock cmpxchg16b [rdi]",
            "mov rbx, rsi",
            in("rdi") host,
            inout("rsi") new as u64 => _,
            in("rcx") (new >> 64) as u64,
            inout("rax") low,
            inout("rdx") high,
            options(nostack),
        );
    }
    u128::from(high) << 64 | u128::from(low)
}

/// The same by exclusive accesses, which all AArch64 hosts have. What was read is one
/// value only if it could be stored back (Arm ARM B2.2.1, "Requirements for single-copy
/// atomicity"), so it is.
///
/// # Safety
/// As above.
#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "guest RAM is behind a raw pointer by design")]
pub(crate) unsafe fn cas128(host: *mut u8, old: u128, new: u128) -> u128 {
    let (low, high): (u64, u64);
    // SAFETY: the caller's promise; the loop ends, as nothing else is accessed in it.
    unsafe {
        std::arch::asm!(
            "2:",
            "ldaxp {low}, {high}, [{host}]",
            "cmp {low}, {old_low}",
            "ccmp {high}, {old_high}, #0, eq",
            "csel {put_low}, {new_low}, {low}, eq",
            "csel {put_high}, {new_high}, {high}, eq",
            "stlxp {failed:w}, {put_low}, {put_high}, [{host}]",
            "cbnz {failed:w}, 2b",
            host = in(reg) host,
            old_low = in(reg) old as u64,
            old_high = in(reg) (old >> 64) as u64,
            new_low = in(reg) new as u64,
            new_high = in(reg) (new >> 64) as u64,
            low = out(reg) low,
            high = out(reg) high,
            put_low = out(reg) _,
            put_high = out(reg) _,
            failed = out(reg) _,
            options(nostack),
        );
    }
    u128::from(high) << 64 | u128::from(low)
}

/// # Safety
/// Never called: [`has_cas128`] says no.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[expect(unsafe_code, reason = "the same signature on all hosts")]
pub(crate) unsafe fn cas128(_: *mut u8, _: u128, _: u128) -> u128 {
    0
}
