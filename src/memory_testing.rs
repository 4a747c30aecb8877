//! How much memory a reader of foreign bytes takes.

/// Reads a body, and checks that no more is held than four times its bytes, of which the body itself is one,
/// and `more`.
#[track_caller]
pub(crate) fn holds_little(name: &str, body: &[u8], more: u64, read: impl FnOnce(&[u8])) {
    let used = allocation_counter::measure(|| read(body));
    let most = 3 * body.len() as u64 + more;
    assert!(
        used.bytes_max <= most,
        "{name}: {} for {}",
        used.bytes_max,
        body.len()
    );
}
