//! The rules that are in force: those of the configuration, until it is recognised which plugin stands
//! behind the server.

use std::{ops::Deref, sync::OnceLock};

use crate::{
    config::{schema::Plugin, Config},
    plan::Rules,
    profile,
};

/// The rules that are in force. With `interlink.plugin = "auto"` they change once, when the plugin is
/// recognised; after that they stay, because a server does not change its plugin while it runs.
#[derive(Debug)]
pub struct CurrentRules {
    configured: Rules,
    recognised: OnceLock<Rules>,
}

impl CurrentRules {
    /// Those that follow from a configuration.
    pub fn new(config: &Config) -> Self {
        Self {
            configured: profile::rules(config),
            recognised: OnceLock::new(),
        }
    }

    /// From now on those for this plugin, where the configuration names none. True the first time.
    pub fn recognise(&self, config: &Config, plugin: Plugin) -> bool {
        // Asked with each ping and each submission, so the rules are made for the first one only.
        if config.interlink.plugin != Plugin::Auto || self.recognised.get().is_some() {
            return false;
        }
        let rules = Rules::new(config, profile::traits(plugin));
        self.recognised.set(rules).is_ok()
    }
}

impl Deref for CurrentRules {
    type Target = Rules;

    fn deref(&self) -> &Rules {
        self.recognised.get().unwrap_or(&self.configured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recognised_counts_once_and_only_where_nothing_is_configured() {
        let mut config = Config::default();
        let rules = CurrentRules::new(&config);
        assert_eq!(rules.plugin.max_question, None);
        assert!(rules.recognise(&config, Plugin::HtCondor));
        assert_eq!(rules.plugin.max_question, Some(1));
        assert!(!rules.recognise(&config, Plugin::Kubernetes));
        assert_eq!(rules.plugin.max_question, Some(1));
        config.interlink.plugin = Plugin::Docker;
        let rules = CurrentRules::new(&config);
        assert!(!rules.recognise(&config, Plugin::HtCondor));
        assert_eq!(rules.plugin.max_question, None);
    }
}
