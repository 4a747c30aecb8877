//! What `daemon.log_level` may say: a level, or a filter of env_logger
//! (<https://docs.rs/env_logger/latest/env_logger/#enabling-logging>).

use std::str::FromStr as _;

use log::LevelFilter;

const LEVELS: &str = "off, error, warn, info, debug or trace";

/// Looks at a level or a filter: `debug`, or `info,interlink_cri::interlink=debug`, perhaps with `/TEXT` behind
/// it, which lines must have in them. env_logger leaves out a part that it cannot read, and takes a word that is
/// no level for a target of which everything is wanted, and of all others nothing: a level that is misspelt
/// would switch the log off.
///
/// # Errors
/// What is wrong with it, and what to write.
pub fn check(text: &str) -> Result<(), String> {
    let (parts, words) = text.split_once('/').unwrap_or((text, ""));
    if words.contains('/') {
        return Err("has more than one `/`".to_owned());
    }
    if parts.trim().is_empty() {
        return Err(format!("write {LEVELS}"));
    }
    parts.split(',').try_for_each(|part| part_of(part.trim()))
}

/// Looks at the value of a flag.
///
/// # Errors
/// As [`check`].
pub fn parse(text: &str) -> Result<String, String> {
    check(text).map(|()| text.to_owned())
}

fn part_of(part: &str) -> Result<(), String> {
    let is_level = |text: &str| LevelFilter::from_str(text).is_ok();
    let level = match part.split_once('=') {
        None => part,
        Some((target, _)) if target.trim().is_empty() => {
            return Err(format!("`{part}` has no target before its `=`"));
        }
        Some((_, level)) => level.trim(),
    };
    if is_level(level) {
        return Ok(());
    }
    Err(format!(
        "`{level}` is no level; write {LEVELS}, or a filter such as \
         `info,interlink_cri::interlink=debug`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters() {
        for good in [
            "off",
            "INFO",
            "trace",
            "info,interlink_cri::interlink=debug",
            " warn , interlink_cri::cri = trace ",
            "interlink_cri=debug",
            "debug/pod",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, part) in [
            ("", "write off"),
            (" ", "write off"),
            ("infoo", "`infoo` is no level"),
            ("interlink_cri::cri", "is no level"),
            ("info,interlink_cri=verbose", "`verbose` is no level"),
            ("info,,debug", "`` is no level"),
            ("=debug", "no target"),
            ("info,a=b=debug", "`b=debug` is no level"),
            ("info/a/b", "more than one"),
            ("/pod", "write off"),
        ] {
            let error = check(bad).expect_err(bad);
            assert!(error.contains(part), "{bad}: {error}");
        }
    }
}
