//! What a pod's annotations may not say where the site decides whose jobs are: what makes a job run as
//! somebody else, runs commands around it, or hides it from the plugin.
//!
//! Flags are judged as sbatch understands them ([`words`], [`options`]): not by search, so that a flag is
//! known in all its spellings, and a word that only stands in a value does no harm. Two things are
//! refused because of what the plugin adds behind the pod's flags, `--uid=USER` (prepare.go,
//! `produceSLURMScript`): an option at the end that wants a value would swallow it, and so would one whose
//! value, in a word of its own, looks like an option, once the plugin has sorted the flags
//! (`deduplicateSlurmFlags`). The job would then be root's.

use std::fmt;

use super::{
    flags::{FLAGS, FLAVOR},
    options::{self, Found, SbatchOption, Takes, Use},
    words,
};
use crate::{
    config::{
        identity::Identity,
        pattern::{BadPattern, Patterns},
    },
    text::quoted,
};

/// Annotations that plugins make into commands, mounts or options of a container engine, or that lead
/// into the site's network. Of the SLURM plugin and its relatives all but those that are judged by their
/// contents are denied, so that ones to come are denied too. Read by: interlink-slurm-plugin f8451d9
/// (`slurm-job.vk.io/`), interlink-htcondor-plugin (`htcondor-job.vk.io/`, `htcondor-job.knoc.io/`),
/// interlink-docker-plugin (`docker-options.vk.io/`), interLink's virtual kubelet (the others).
const DENIED: [&str; 7] = [
    "*.vk.io/*",
    "*.knoc.io/*",
    "interlink.virtual-kubelet.io/*",
    "interlink.eu/wstunnel-*",
    "interlink.eu/wireguard-*",
    "interlink.eu/wg-*",
    "interlink.eu/pod-vpn",
];

/// Annotations of these patterns that are judged by their contents, or name something of the site's.
const JUDGED: [&str; 2] = [FLAGS, FLAVOR];

/// Why an annotation is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("annotation `{}`{fault}; take it out of the pod, or ask the site to allow it ({setting})", quoted(.key))]
pub struct Refusal {
    /// The annotation.
    key: String,
    fault: Fault,
    /// What an administrator would set.
    setting: &'static str,
}

/// What is wrong with an annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// It is denied as a whole.
    Denied,
    /// A word of it.
    Word { word: String, why: String },
    /// Its text.
    Text(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str(" is not allowed here"),
            Self::Word { word, why } => write!(f, ": `{}` {why}", quoted(word)),
            Self::Text(why) => write!(f, ": {why}"),
        }
    }
}

/// What pods' annotations may not say, as the site has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restrictions {
    denied: Patterns,
    trusted: Patterns,
    allowed_annotations: Patterns,
    allowed_flags: Patterns,
}

/// Whose annotations are judged.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// The namespace of the pod.
    pub namespace: &'a str,
    /// The account that the site says, if it says one.
    pub account: Option<&'a str>,
    /// Whether cores or GPUs of the namespace are limited.
    pub is_limited: bool,
}

impl Restrictions {
    /// Takes what is allowed out of the configuration.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(from: &Identity) -> Result<Self, BadPattern> {
        Ok(Self {
            denied: Patterns::new(&DENIED.map(str::to_owned))?,
            trusted: Patterns::new(&from.trusted_namespaces)?,
            allowed_annotations: Patterns::new(&from.allow_annotations)?,
            allowed_flags: Patterns::new(&from.allow_flags)?,
        })
    }

    /// Judges the annotations, keys and values, that a pod's author wrote and that would be sent with a
    /// job.
    ///
    /// # Errors
    /// The first that is not allowed.
    pub fn check<'a>(
        &self,
        author: &Author<'_>,
        annotations: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Refusal> {
        if self.trusted.any(author.namespace) {
            return Ok(());
        }
        for (key, value) in annotations {
            if self.allowed_annotations.any(key) || !self.denied.any(key) {
                continue;
            }
            if !JUDGED.contains(&key) {
                return Err(Refusal {
                    key: key.to_owned(),
                    fault: Fault::Denied,
                    setting: "identity.allow_annotations",
                });
            }
            if key == FLAGS {
                self.check_flags(author, value).map_err(|fault| Refusal {
                    key: key.to_owned(),
                    fault,
                    setting: "identity.allow_flags",
                })?;
            } else if value.chars().any(char::is_control) {
                return Err(Refusal {
                    key: key.to_owned(),
                    fault: Fault::Text("has a control character"),
                    setting: "identity.trusted_namespaces",
                });
            }
        }
        Ok(())
    }

    fn check_flags(&self, author: &Author<'_>, text: &str) -> Result<(), Fault> {
        // A line end would end the comment that the plugin puts a flag into, and begin a command.
        if text
            .chars()
            .any(|letter| letter.is_control() && letter != '\t')
        {
            return Err(Fault::Text("has a control character"));
        }
        let readings = words::readings(text);
        if readings.is_empty() {
            return Err(Fault::Text(
                "cannot be taken apart; a quote is open, or a `:` stands alone",
            ));
        }
        readings
            .iter()
            .try_for_each(|words| self.check_words(author, words))
    }

    /// Judges words as `getopt_long` goes through them. It stops at the first that is no option; the rest
    /// is judged all the same.
    fn check_words(&self, author: &Author<'_>, words: &[String]) -> Result<(), Fault> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let fault = |why: &str| Fault::Word {
                word: word.clone(),
                why: why.to_owned(),
            };
            let rest = word.strip_prefix("--");
            let wants_value = match (rest, word.strip_prefix('-')) {
                (Some(""), _) | (_, Some("") | None) => {
                    return Err(fault("is not a flag, nor a value of one"));
                }
                (Some(long), _) => self.check_long(author, long),
                (None, Some(letters)) => self.check_letters(author, letters),
            }
            .map_err(|why| fault(&why))?;
            let Some(option) = wants_value else {
                continue;
            };
            match words.next() {
                Some(value) if !value.is_empty() && !value.starts_with('-') => {
                    self.check_value(author, option, value)
                        .map_err(|why| fault(&why))?;
                }
                _ => return Err(fault("has no value; write it as --NAME=VALUE")),
            }
        }
        Ok(())
    }

    /// Judges `NAME` or `NAME=VALUE`. Gives the option if its value is the next word.
    fn check_long(
        &self,
        author: &Author<'_>,
        long: &str,
    ) -> Result<Option<&'static SbatchOption>, String> {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let option = match options::by_name(name) {
            Found::Option(option) => option,
            // Without a value it might take the next word for one.
            Found::Unknown if self.allowed_flags.any(name) => {
                return match value {
                    Some(_) => Ok(None),
                    None => Err("is allowed only as --NAME=VALUE".to_owned()),
                };
            }
            Found::Unknown => return Err("is not known as a flag of sbatch".to_owned()),
            Found::Ambiguous => return Err("is the beginning of several flags".to_owned()),
        };
        self.check_option(author, option)?;
        match (option.takes, value) {
            (_, Some(value)) => self.check_value(author, option, value).map(|()| None),
            (Takes::Value, None) => Ok(Some(option)),
            (Takes::Nothing | Takes::Optional, None) => Ok(None),
        }
    }

    /// Judges letters that stand behind one dash. Gives the option if its value is the next word.
    fn check_letters(
        &self,
        author: &Author<'_>,
        letters: &str,
    ) -> Result<Option<&'static SbatchOption>, String> {
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            let Some(option) = options::by_letter(letter) else {
                return Err(format!(
                    "has `-{letter}`, which is not known as a flag of sbatch"
                ));
            };
            self.check_option(author, option)?;
            let value = rest.as_str();
            match option.takes {
                Takes::Nothing => {}
                Takes::Optional => return Ok(None),
                Takes::Value if value.is_empty() => return Ok(Some(option)),
                Takes::Value => return self.check_value(author, option, value).map(|()| None),
            }
        }
        Ok(None)
    }

    fn check_option(&self, author: &Author<'_>, option: &SbatchOption) -> Result<(), String> {
        if self.allowed_flags.any(option.name) {
            return Ok(());
        }
        let name = option.name;
        match option.is_for {
            Use::Denied(why) => Err(format!("is --{name}, which {why}")),
            Use::Resources if author.is_limited => Err(format!(
                "is --{name}, which asks for more than the pod's resources, and those of the \
                 namespace are limited"
            )),
            Use::Resources | Use::Account | Use::Nice | Use::Free => Ok(()),
        }
    }

    fn check_value(
        &self,
        author: &Author<'_>,
        option: &SbatchOption,
        value: &str,
    ) -> Result<(), String> {
        match (option.is_for, author.account) {
            (Use::Account, Some(account)) if account != value => {
                Err(format!("is --account, which is `{}` here", quoted(account)))
            }
            (Use::Nice, _) if value.starts_with('-') && !self.allowed_flags.any(option.name) => {
                Err("asks for a higher priority, which only administrators may".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
