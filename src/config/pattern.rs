//! Shell patterns for names and words: `*`, `?` and `[...]`.

use glob::MatchOptions;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no pattern: {fault}")]
pub struct BadPattern {
    /// As given.
    pub text: String,
    /// Why it is none, as a clause about it.
    pub fault: &'static str,
}

/// A pattern that has to fit the whole of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    pattern: glob::Pattern,
    case_sensitive: bool,
}

impl Pattern {
    /// A pattern of names, of which upper and lower case are not the same.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn of_names(text: &str) -> Result<Self, BadPattern> {
        Self::new(text, true)
    }

    /// A pattern of words, of which upper and lower case are the same: plugins do not agree on it.
    ///
    /// # Errors
    /// [`BadPattern`].
    pub fn of_words(text: &str) -> Result<Self, BadPattern> {
        Self::new(text, false)
    }

    /// A pattern that fits this word and nothing else, in upper or lower case.
    pub fn literally(text: &str) -> Self {
        // Not reached: an escaped text is a pattern. The default fits the empty text.
        Self::of_words(&glob::Pattern::escape(text)).unwrap_or_else(|_| Self {
            pattern: glob::Pattern::default(),
            case_sensitive: false,
        })
    }

    fn new(text: &str, case_sensitive: bool) -> Result<Self, BadPattern> {
        let pattern = glob::Pattern::new(text).map_err(|error| BadPattern {
            text: text.to_owned(),
            fault: error.msg,
        })?;
        Ok(Self {
            pattern,
            case_sensitive,
        })
    }

    /// Whether it fits.
    pub fn fits(&self, text: &str) -> bool {
        let options = MatchOptions {
            case_sensitive: self.case_sensitive,
            // These are no files: `*` goes over `/`, and a leading dot is nothing special.
            require_literal_separator: false,
            require_literal_leading_dot: false,
        };
        self.pattern.matches_with(text, options)
    }
}

/// Patterns of names, of which one has to fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Reads the patterns.
    ///
    /// # Errors
    /// [`BadPattern`] for the first that is none.
    pub fn new(texts: &[String]) -> Result<Self, BadPattern> {
        let patterns = texts.iter().map(|text| Pattern::of_names(text));
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of them fits.
    pub fn any(&self, text: &str) -> bool {
        self.0.iter().any(|pattern| pattern.fits(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_to_fit() {
        let patterns = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
            Patterns::new(&texts)
        };
        let some = patterns(&["job.example.org/*", "app"]).unwrap();
        for (text, fits) in [
            ("job.example.org/flags", true),
            ("job.example.org/a/b", true),
            ("app", true),
            ("app2", false),
            ("App", false),
        ] {
            assert_eq!(some.any(text), fits, "{text}");
        }
        assert!(patterns(&["*"]).unwrap().any(".x/y"));
        assert!(!patterns(&[]).unwrap().any(""));
        let error = patterns(&["a***"]).unwrap_err().to_string();
        assert!(error.contains("`a***`"), "{error}");
    }

    #[test]
    fn words_may_be_written_in_any_case() {
        let word = Pattern::of_words("*JobTimeout").unwrap();
        assert!(word.fits("BATCHJOBTIMEOUT") && word.fits("jobTimeout"));
        assert!(!word.fits("JobTimeouts"));
        let odd = Pattern::literally("a[*");
        assert!(odd.fits("A[*") && !odd.fits("a[b"));
        assert!(!Pattern::of_names("*JobTimeout").unwrap().fits("jobtimeout"));
    }
}
