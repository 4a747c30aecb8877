//! `$(NAME)` in a container's command, arguments and variables
//! (`third_party/forked/golang/expansion` of Kubernetes).

use std::borrow::Cow;

/// The text with the values of the variables that it names. What is not known stays as it is, and
/// `$$` is a dollar sign that begins nothing. None if that has more than `most` bytes, which is noticed
/// before more of it is made.
pub fn expand<'v>(
    text: &str,
    value_of: impl Fn(&str) -> Option<Cow<'v, str>>,
    most: usize,
) -> Option<String> {
    let mut expanded = String::with_capacity(text.len().min(most));
    let mut push = |part: &str| {
        let fits = part.len() <= most - expanded.len();
        fits.then(|| expanded.push_str(part))
    };
    // Behind the last one no name is looked for: to look to the end each time takes its time.
    let last_close = text.rfind(')').unwrap_or(0);
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        push(&rest[..at])?;
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            push("$")?;
            rest = after;
        } else if let Some((name, after)) = named(rest, text.len() - rest.len() < last_close) {
            match value_of(name) {
                Some(value) => push(&value)?,
                None => ["$(", name, ")"].into_iter().try_for_each(&mut push)?,
            }
            rest = after;
        } else {
            push("$")?;
        }
    }
    push(rest)?;
    Some(expanded)
}

/// `NAME` of `(NAME)...`, and what follows, in a text that has a `)`.
fn named(text: &str, has_close: bool) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('(').filter(|_| has_close)?;
    inside.split_once(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_replaced() {
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "1"),
            ("x$(A)y$(B)z", "x1y$(A)z"),
            ("$(NONE)", "$(NONE)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$", "$"),
            ("a$", "a$"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("$()", "$()"),
            ("$(A)$($(A", "1$($(A"),
            ("$($(A)", "$($(A)"),
            ("é$(A)é", "é1é"),
        ] {
            let value_of = |name: &str| match name {
                "A" => Some(Cow::from("1")),
                // Is not looked at again.
                "B" => Some(Cow::from("$(A)")),
                _ => None,
            };
            assert_eq!(expand(text, value_of, 99).as_deref(), Some(want), "{text}");
            // As many bytes as it has are enough, and fewer are not.
            let enough = expand(text, value_of, want.len());
            assert_eq!(enough.as_deref(), Some(want), "{text}");
            if let Some(fewer) = want.len().checked_sub(1) {
                assert_eq!(expand(text, value_of, fewer), None, "{text}");
            }
        }
    }
}
