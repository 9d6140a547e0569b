//! How much memory is in use.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Expects that `work` never holds more than so many bytes at once. Other threads' memory counts too.
///
/// # Panics
///
/// If it does.
pub(crate) fn expect_at_most(bytes: usize, work: impl FnOnce()) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    work();
    let held = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(held <= bytes, "{held} bytes of memory were held at once, and {bytes} are justified");
}
