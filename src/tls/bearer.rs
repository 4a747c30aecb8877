//! Bearer tokens, checked before they go into a header.

use ureq::http::HeaderValue;

/// Longest token in bytes: proxies refuse request heads of more than 8 to 16 KiB.
pub const MAX_TOKEN_BYTES: u64 = 16 << 10;

/// The value of the Authorization header for a file that holds a token. It is marked as sensitive:
/// its `Debug` does not show it.
///
/// # Errors
/// Not one line of printable ASCII; what is wrong with it, never a part of it.
pub fn bearer(text: &[u8]) -> Result<HeaderValue, &'static str> {
    let token = check(text)?;
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", token].concat())
        // `check` lets nothing through that a header cannot hold.
        .map_err(|_| "characters that a header cannot hold")?;
    value.set_sensitive(true);
    Ok(value)
}

fn check(text: &[u8]) -> Result<&[u8], &'static str> {
    let token = text.trim_ascii();
    if text.len() as u64 > MAX_TOKEN_BYTES {
        Err("longer than 16 KiB: not a token")
    } else if token.is_empty() {
        Err("empty")
    } else if token.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        Err("more than one line: it must hold the token and nothing else")
    } else if !token.iter().all(u8::is_ascii_graphic) {
        Err("blanks or characters that are not ASCII: it must hold the token and nothing else")
    } else {
        Ok(token)
    }
}
