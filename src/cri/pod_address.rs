//! Pod addresses: each in use by one pod at a time.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{config::policy::pod_ranges, text::quoted};

/// The annotation by which a pod brings its own address (a mesh or VPN on the remote side).
pub const ANNOTATION: &str = "interlink.eu/pod-ip";

/// Metadata services of clouds that are not at a link-local address: AWS over IPv6, Azure's wire server,
/// Alibaba Cloud, Oracle Cloud's classic one.
const METADATA: [&str; 4] = [
    "fd00:ec2::254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
];

/// The address that a pod brings itself, from one of these ranges.
///
/// # Errors
/// What is wrong with its annotation.
pub fn own(text: Option<&String>, ranges: &[String]) -> Result<Option<IpAddr>, String> {
    let Some(text) = text else { return Ok(None) };
    let refused = |why: &str| {
        Err(format!(
            "annotation `{ANNOTATION}`: `{}` {why}",
            quoted(text)
        ))
    };
    let Ok(address) = text.trim().parse::<IpAddr>() else {
        return refused("is not an IP address; write for example `10.7.0.9`");
    };
    let address = address.to_canonical();
    if is_special(address) {
        return refused("is a special address, which no pod has");
    }
    let mut all = ranges
        .iter()
        .filter_map(|range| pod_ranges(range))
        .flatten();
    match all.any(|range| range.contains(&address)) {
        true => Ok(Some(address)),
        false => {
            refused("is in none of the ranges of network.own_ranges; leave the annotation out")
        }
    }
}

/// Whether an address is nobody's, everybody's, this machine's, or of a service that trusts who asks.
fn is_special(address: IpAddr) -> bool {
    let is_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let mut metadata = METADATA
        .iter()
        .filter_map(|text| text.parse::<IpAddr>().ok());
    is_local
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unspecified()
        || metadata.any(|service| service == address)
}

/// The first free address of the node's pod CIDR. With several ranges (dual stack) the
/// first one counts. The network's own address, the gateway's and the broadcast are left out.
pub fn pick(cidrs: &str, is_free: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
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
    addresses.find(|address| is_free(*address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(cidrs: &str, used: &[&str]) -> Option<String> {
        let used = used.iter().filter_map(|address| address.parse().ok());
        let used: Vec<IpAddr> = used.collect();
        pick(cidrs, |address| !used.contains(&address)).map(|address| address.to_string())
    }

    #[test]
    fn a_pod_may_bring_its_own() {
        let ranges = ["10.0.0.0/8".to_owned(), "fd00::/16,0.0.0.0/0".to_owned()];
        let read = |text: &str| own(Some(&text.to_owned()), &ranges);
        assert_eq!(own(None, &[]), Ok(None));
        assert_eq!(read(" 10.7.0.9"), Ok("10.7.0.9".parse().ok()));
        assert_eq!(read("fd00::9"), Ok("fd00::9".parse().ok()));
        for bad in ["", "10.7.0", "10.7.0.9/24", "host"] {
            assert!(
                read(bad).unwrap_err().contains("is not an IP address"),
                "{bad}"
            );
        }
        for special in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "fe80::1",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "fd00:ec2::254",
            "168.63.129.16",
            "100.100.100.200",
        ] {
            let why = read(special).unwrap_err();
            assert!(why.contains("is a special address"), "{special}: {why}");
        }
        let outside = own(Some(&"192.168.0.1".to_owned()), &ranges[..1]).unwrap_err();
        assert!(outside.contains("network.own_ranges"), "{outside}");
        assert!(
            own(Some(&"10.7.0.9".to_owned()), &[]).is_err(),
            "off by default"
        );
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
