//! Pod addresses: each in use by one pod at a time.

use std::{collections::HashSet, net::IpAddr};

use ipnet::IpNet;

use crate::config::policy::pod_ranges;

/// The annotation by which a pod brings its own address (a mesh or VPN on the remote side).
pub const ANNOTATION: &str = "interlink.eu/pod-ip";

/// The address that a pod brings itself.
///
/// # Errors
/// What is wrong with its annotation.
pub fn own(text: Option<&String>) -> Result<Option<IpAddr>, String> {
    let Some(text) = text else { return Ok(None) };
    let address: IpAddr = text.trim().parse().map_err(|_| {
        format!("annotation `{ANNOTATION}`: `{text}` is not an IP address; write for example `10.7.0.9`")
    })?;
    Ok(Some(address))
}

/// The first address of the node's pod CIDR that no pod has. With several ranges (dual stack) the
/// first one counts. The network's own address, the gateway's and the broadcast are left out.
pub fn pick(cidrs: &str, used: &HashSet<IpAddr>) -> Option<IpAddr> {
    let range = *pod_ranges(cidrs)?.first()?;
    let bits = range.max_prefix_len() - range.prefix_len();
    // A node has a few hundred pods: searching the first 2^16 addresses is enough for any range.
    let last = (1_usize << bits.min(16)).saturating_sub(2);
    let addresses: Box<dyn Iterator<Item = IpAddr>> = match range {
        // The iterator of an IPv4 range leaves out the network's own address.
        IpNet::V4(network) => Box::new(network.hosts().skip(1).map(IpAddr::V4)),
        IpNet::V6(network) => Box::new(network.hosts().skip(2).map(IpAddr::V6)),
    };
    let mut addresses = addresses.take(last.saturating_sub(1));
    addresses.find(|address| !used.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(cidrs: &str, used: &[&str]) -> Option<String> {
        let used = used
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect();
        pick(cidrs, &used).map(|address| address.to_string())
    }

    #[test]
    fn a_pod_may_bring_its_own() {
        let read = |text: &str| own(Some(&text.to_owned()));
        assert_eq!(own(None), Ok(None));
        assert_eq!(read(" 10.7.0.9"), Ok("10.7.0.9".parse().ok()));
        assert_eq!(read("fd00::9"), Ok("fd00::9".parse().ok()));
        for bad in ["", "10.7.0", "10.7.0.9/24", "host"] {
            assert!(
                read(bad).unwrap_err().contains("is not an IP address"),
                "{bad}"
            );
        }
    }

    #[test]
    fn addresses_come_from_the_range_and_are_free() {
        let rows: [(&str, &[&str], Option<&str>); 8] = [
            ("10.1.2.0/24", &[], Some("10.1.2.2")),
            ("10.1.2.0/24", &["10.1.2.2", "10.1.2.3"], Some("10.1.2.4")),
            ("10.1.2.77/24,fd00::/64", &[], Some("10.1.2.2")),
            ("fd00:1::/64", &["fd00:1::2"], Some("fd00:1::3")),
            ("10.1.2.0/30", &["10.1.2.2"], None),
            ("10.1.2.0/32", &[], None),
            ("10.1.2.0/99", &[], None),
            ("nonsense", &[], None),
        ];
        for (cidrs, used, want) in rows {
            assert_eq!(picked(cidrs, used).as_deref(), want, "{cidrs} {used:?}");
        }
    }
}
