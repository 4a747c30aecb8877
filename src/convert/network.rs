//! Names and ports: what a pod says of the network around it.

use k8s_openapi::api::core::v1::{ContainerPort, HostAlias, PodDNSConfig, PodDNSConfigOption};
use serde_json::Value;

use super::{names::is_dns_label, prepared::Prepared};
use crate::{
    model::Container,
    proto::{DNSConfig, PortMapping, Protocol},
};

/// Where the kubelet notes a container's ports, in JSON.
const PORTS: &str = "io.kubernetes.container.ports";
/// What the kubelet writes before a pod's host aliases (`hostsEntriesFromHostAliases`).
const ALIASES: &str = "# Entries added by HostAliases.";

/// A pod says its host name without the domain.
pub fn hostname(hostname: &str) -> Option<String> {
    let label = hostname.split('.').next().unwrap_or_default();
    is_dns_label(label).then(|| label.to_owned())
}

/// Additions to what the other side resolves by itself. No `dnsPolicy: None` goes with it: the
/// servers are often this cluster's own and cannot be reached from there.
pub fn dns_config(config: &DNSConfig) -> Option<PodDNSConfig> {
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let option = |text: &String| {
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text.as_str(), None),
        };
        PodDNSConfigOption {
            name: Some(name.to_owned()),
            value,
        }
    };
    let options: Vec<_> = config.options.iter().map(option).collect();
    let config = PodDNSConfig {
        nameservers: list(&config.servers),
        searches: list(&config.searches),
        options: (!options.is_empty()).then_some(options),
    };
    (config != PodDNSConfig::default()).then_some(config)
}

/// A container's ports, as the kubelet notes them; none where it does not.
pub fn ports(container: &Container) -> Option<Vec<ContainerPort>> {
    let ports: Vec<Value> = serde_json::from_str(container.annotations.get(PORTS)?).ok()?;
    let number = |value: &Value| value.as_i64().and_then(port_number);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let port = |port: &Value| {
        Some(ContainerPort {
            name: text(&port["name"]),
            container_port: number(&port["containerPort"])?,
            host_port: number(&port["hostPort"]),
            protocol: text(&port["protocol"]),
            host_ip: text(&port["hostIP"]),
        })
    };
    let ports: Vec<_> = ports.iter().filter_map(port).collect();
    (!ports.is_empty()).then_some(ports)
}

/// The ports of a pod.
pub fn ports_of_pod(mappings: &[PortMapping]) -> Option<Vec<ContainerPort>> {
    let protocol = |mapping: &PortMapping| match mapping.protocol.enum_value_or_default() {
        Protocol::TCP => "TCP",
        Protocol::UDP => "UDP",
        Protocol::SCTP => "SCTP",
    };
    let port = |mapping: &PortMapping| {
        Some(ContainerPort {
            container_port: port_number(mapping.container_port.into())?,
            host_port: port_number(mapping.host_port.into()),
            protocol: Some(protocol(mapping).to_owned()),
            host_ip: (!mapping.host_ip.is_empty()).then(|| mapping.host_ip.clone()),
            name: None,
        })
    };
    let ports: Vec<_> = mappings.iter().filter_map(port).collect();
    (!ports.is_empty()).then_some(ports)
}

fn port_number(number: i64) -> Option<i32> {
    i32::try_from(number)
        .ok()
        .filter(|number| (1..=65535).contains(number))
}

/// The pod's host aliases, from its /etc/hosts file: the CRI does not carry them otherwise.
pub fn host_aliases<'a>(found: impl Iterator<Item = &'a Prepared>) -> Option<Vec<HostAlias>> {
    let mut texts = found.filter_map(|found| match found {
        Prepared::EtcHosts(text) => Some(text),
        _ => None,
    });
    let (_, lines) = texts.next()?.split_once(ALIASES)?;
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
    use serde_json::json;

    use super::*;
    use crate::convert::testing::fixture;

    #[test]
    fn host_names_that_are_none_are_left_out() {
        for (given, want) in [
            ("", None),
            ("node.lab.svc", Some("node")),
            ("Node_1", None),
            (".x", None),
        ] {
            assert_eq!(hostname(given).as_deref(), want, "{given}");
        }
    }

    #[test]
    fn ports_come_as_the_kubelet_notes_them() {
        let (mut pod, _) = fixture(&["main"]);
        let container = std::sync::Arc::make_mut(&mut pod.containers[0].container);
        let mut noted = |text: &str| {
            container
                .annotations
                .insert(PORTS.to_owned(), text.to_owned());
            json!(ports(container))
        };
        assert_eq!(
            noted(
                r#"[{"name":"http","hostPort":8080,"containerPort":80,"protocol":"TCP"},{"containerPort":53,"protocol":"UDP"}]"#
            ),
            json!([
                {"name": "http", "hostPort": 8080, "containerPort": 80, "protocol": "TCP"},
                {"containerPort": 53, "protocol": "UDP"},
            ])
        );
        for none in [
            "",
            "[]",
            "{}",
            "null",
            "[1]",
            r#"[{"containerPort":0}]"#,
            r#"[{"containerPort":"x"}]"#,
        ] {
            assert_eq!(noted(none), Value::Null, "{none}");
        }
        let mapping = PortMapping {
            container_port: 80,
            protocol: Protocol::SCTP.into(),
            ..Default::default()
        };
        let bad = PortMapping {
            container_port: 70_000,
            ..Default::default()
        };
        assert_eq!(
            json!(ports_of_pod(&[mapping, bad])),
            json!([{"containerPort": 80, "protocol": "SCTP"}])
        );
        assert_eq!(ports_of_pod(&[]), None);
    }

    #[test]
    fn host_aliases_are_read_from_the_file() {
        let file = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n10.1.0.2\tweb\n";
        let with = format!("{file}\n{ALIASES}\n10.0.0.7\tdb\tdb.lab\nfd00::1\tsix\nnonsense x\n");
        let aliases = |text: &str| {
            let found = [Prepared::KubeletOwn, Prepared::EtcHosts(text.to_owned())];
            json!(host_aliases(found.iter()))
        };
        assert_eq!(
            aliases(&with),
            json!([
                {"ip": "10.0.0.7", "hostnames": ["db", "db.lab"]},
                {"ip": "fd00::1", "hostnames": ["six"]},
            ])
        );
        assert_eq!(aliases(file), Value::Null);
        assert_eq!(host_aliases([].iter()), None);
    }
}
