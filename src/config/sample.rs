//! The commented sample: every key with its text and its default, made from `schema.rs` itself, so
//! that the two cannot drift apart.

use toml::{Table, Value};

use super::Config;

const SCHEMA: &str = concat!(
    include_str!("schema.rs"),
    include_str!("policy.rs"),
    include_str!("identity.rs"),
    include_str!("node.rs"),
    include_str!("audit.rs"),
    include_str!("metrics.rs"),
    include_str!("traces.rs")
);

/// Keys without a default, with a value to show.
const EXAMPLES: &[(&str, &str)] = &[
    ("socket_group", "\"interlink\""),
    ("url", "\"https://interlink.example.org:3000\""),
    ("token_file", "\"/etc/interlink-cri/token\""),
    ("ca_file", "\"/etc/interlink-cri/ca.pem\""),
    ("client_cert_file", "\"/etc/interlink-cri/client.pem\""),
    ("client_key_file", "\"/etc/interlink-cri/client.key\""),
    ("not_ready_after", "\"5m\""),
    ("kubeconfig", "\"/etc/kubernetes/kubelet.conf\""),
    ("node_name", "\"login-1\""),
    ("endpoint", "\"http://localhost:4318\""),
    ("sampler", "\"parentbased_traceidratio\""),
    ("ratio", "0.1"),
    ("job_scope", "\"pod\""),
    ("default_memory", "\"2Gi\""),
    ("file", "\"/var/log/interlink-cri/audit.log\""),
    ("users_file", "\"/etc/interlink-cri/users.toml\""),
    ("annotation", "\"interlink.eu/images\""),
    ("pod_cidr", "\"10.244.7.0/24\""),
];

/// The sample file.
pub fn sample() -> String {
    let mut text = String::from(
        "# interlink-cri, /etc/interlink-cri/config.toml\n\
         #\n\
         # Every key with its default; without one, with an example. Each can be set by the\n\
         # environment too: INTERLINK_CRI_<SECTION>_<KEY>. `interlink-cri check-config` shows\n\
         # what is in force.\n",
    );
    for (section, keys) in sections() {
        text.push_str(&format!("\n[{section}]\n"));
        for (key, doc) in keys {
            text.push('\n');
            doc.iter()
                .for_each(|line| text.push_str(&format!("# {line}\n")));
            // Of a list of tables, each line is commented.
            let default = default_text(section, key).map(|text| text.replace('\n', "\n#"));
            let example = EXAMPLES
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| *value);
            let value = default.as_deref().or(example).unwrap_or("\"\"");
            text.push_str(&format!("#{key} = {value}\n"));
        }
    }
    text
}

/// A key's default as TOML; none where it has none.
pub(super) fn default_text(section: &str, key: &str) -> Option<String> {
    let defaults = Table::try_from(Config::default()).ok()?;
    let value = defaults.get(section)?.get(key)?;
    Some(match value.as_array() {
        Some(list) if list.iter().any(Value::is_table) => {
            let lines: String = list.iter().map(|one| format!("    {one},\n")).collect();
            format!("[\n{lines}]")
        }
        _ => value.to_string(),
    })
}

type Keys<'a> = Vec<(&'a str, Vec<&'a str>)>;

/// The sections of the schema, each with its keys and their docs.
pub(super) fn sections() -> Vec<(&'static str, Keys<'static>)> {
    let mut sections: Vec<(&str, Keys<'static>)> = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in SCHEMA.lines() {
        let trimmed = line.trim();
        if let Some(text) = trimmed.strip_prefix("///") {
            doc.push(text.strip_prefix(' ').unwrap_or(text));
        } else if trimmed.starts_with("pub struct") {
            let section = doc
                .first()
                .and_then(|text| text.strip_prefix("`[")?.strip_suffix("]`"));
            inside = section.is_some();
            sections.extend(section.map(|section| (section, Keys::new())));
            doc.clear();
        } else if let Some(field) = trimmed.strip_prefix("pub ").filter(|_| inside) {
            let key = field.split(':').next().unwrap_or_default();
            if let Some((_, keys)) = sections.last_mut() {
                keys.push((key, std::mem::take(&mut doc)));
            }
        } else if !trimmed.starts_with("#[") {
            doc.clear();
            inside &= !trimmed.starts_with('}');
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::traces::Traces;

    const TREE: &str = include_str!("../../packaging/config.toml.sample");

    #[test]
    fn the_tree_has_the_sample() {
        assert!(
            TREE == sample(),
            "packaging/config.toml.sample is out of date; write it anew with:\n  \
             interlink-cri check-config --sample >packaging/config.toml.sample"
        );
    }

    #[test]
    fn every_key_is_there_and_reads_as_its_default() {
        let uncommented: String = sample()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(item) if item.starts_with("    {") => item,
                Some(key) if !key.starts_with(' ') && !key.is_empty() => key,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let mut config: Config = toml::from_str(&uncommented).expect("the sample is good TOML");
        let table = Table::try_from(&config).expect("it is a table");
        let keys: usize = table
            .values()
            .map(|section| section.as_table().map_or(0, Table::len))
            .sum();
        assert_eq!(
            keys,
            sections().iter().map(|(_, keys)| keys.len()).sum::<usize>()
        );
        // Those without a default are examples.
        let defaults = Config::default();
        config.daemon.socket_group = None;
        config.interlink.url = None;
        config.interlink.token_file = None;
        config.interlink.ca_file = None;
        config.interlink.client_cert_file = None;
        config.interlink.client_key_file = None;
        config.interlink.not_ready_after = None;
        config.jobs.default_memory = None;
        config.images.annotation = None;
        config.network.pod_cidr = None;
        config.kubernetes.kubeconfig = None;
        config.kubernetes.node_name = None;
        config.jobs.job_scope = None;
        config.identity.users_file = None;
        config.audit.file = None;
        config.traces = Traces::default();
        assert_eq!(config, defaults);
    }
}
