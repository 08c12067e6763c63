//! The C library's allocator, told at the start how to treat large blocks. Knows one of its settings; allocates nothing.

/// Blocks from this size on are mapped separately, and given back when they are freed.
const MAPPED_BYTES_MIN: libc::c_int = 1 << 20;

/// How much each heap keeps for the next blocks. With a fixed threshold alone it would give back all but 128 KiB after each batch,
/// and the kernel would zero it anew for the next: a thirtieth of all CPU time.
const KEPT_BYTES: libc::c_int = 16 << 20;

/// Fixes the size from which blocks are mapped. By default the allocator raises it to the largest block that was freed,
/// up to 32 MiB; bodies then grow inside heaps that other blocks keep from being given back: under attack 537 MiB were held
/// for 121 MiB in use, and 274 MiB with this setting. Must be called before there are threads.
pub(super) fn settle() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the calls set numbers of the allocator, and take no pointer.
    #[allow(unsafe_code, reason = "the standard library has no function for it")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}
