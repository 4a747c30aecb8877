//! Names and ports: what a pod says of the network around it.

use k8s_openapi::api::core::v1::{ContainerPort, PodDNSConfig, PodDNSConfigOption};

use crate::{
    kubelet::annotations::port_number,
    proto::{DNSConfig, PortMapping, Protocol},
    text::is_dns_label,
};

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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
    fn ports_of_a_pod() {
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
}
