//! Lists of shell patterns, as the configuration has them.

use glob::{MatchOptions, Pattern};

use super::Error;

/// `*` goes over `/`, and a leading dot is nothing special: these are names, not files.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// Patterns of which one has to fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Reads the patterns.
    ///
    /// # Errors
    /// [`Error::Pattern`] for the first that is none.
    pub fn new(texts: &[String]) -> Result<Self, Error> {
        let pattern = |text: &String| {
            Pattern::new(text).map_err(|error| Error::Pattern {
                text: text.clone(),
                fault: error.msg,
            })
        };
        texts
            .iter()
            .map(pattern)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether one of them fits.
    pub fn any(&self, text: &str) -> bool {
        self.0
            .iter()
            .any(|pattern| pattern.matches_with(text, OPTIONS))
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
        let some = patterns(&["slurm-job.vk.io/*", "app"]).unwrap();
        for (text, fits) in [
            ("slurm-job.vk.io/flags", true),
            ("slurm-job.vk.io/a/b", true),
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
}
