//! The /etc/hosts file that a kubelet writes for a pod.

use k8s_openapi::api::core::v1::HostAlias;

/// What the kubelet writes before a pod's host aliases (`hostsEntriesFromHostAliases` in
/// `pkg/kubelet/kubelet_pods.go`).
const ALIASES: &str = "# Entries added by HostAliases.";

/// The pod's host aliases, which the CRI does not carry otherwise.
pub fn host_aliases(file: &str) -> Option<Vec<HostAlias>> {
    let (_, lines) = file.split_once(ALIASES)?;
    let alias = |line: &str| {
        let mut words = line.split_whitespace();
        let ip: std::net::IpAddr = words.next()?.parse().ok()?;
        Some(HostAlias {
            ip: ip.to_string(),
            hostnames: Some(words.map(str::to_owned).collect()),
        })
    };
    let aliases: Vec<_> = lines.lines().filter_map(alias).collect();
    (!aliases.is_empty()).then_some(aliases)
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;

    #[test]
    fn host_aliases_are_read_from_the_file() {
        let file = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n10.1.0.2\tweb\n";
        let with = format!("{file}\n{ALIASES}\n10.0.0.7\tdb\tdb.lab\nfd00::1\tsix\nnonsense x\n");
        assert_eq!(
            json!(host_aliases(&with)),
            json!([
                {"ip": "10.0.0.7", "hostnames": ["db", "db.lab"]},
                {"ip": "fd00::1", "hostnames": ["six"]},
            ])
        );
        assert_eq!(json!(host_aliases(file)), Value::Null);
    }
}
