//! Errors as a log line shows them.

/// An error with what is behind it. Errors leave their source out of their own text, so each part
/// comes once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
