//! Pod addresses: each in use by one pod at a time.

use std::{collections::HashSet, net::IpAddr};

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
    let (base, length) = cidrs.split(',').next()?.trim().split_once('/')?;
    let (base, length): (IpAddr, u32) = (base.parse().ok()?, length.parse().ok()?);
    // A node has a few hundred pods: searching the first 2^16 addresses is enough for any range.
    let last = |bits: u32| {
        1_u32
            .checked_shl(bits.min(16))
            .map_or(0, |size| size.saturating_sub(2))
    };
    match base {
        IpAddr::V4(base) => {
            let bits = 32_u32.checked_sub(length)?;
            let network = u32::from(base) & u32::MAX.checked_shl(bits).unwrap_or(0);
            let address = |host: u32| IpAddr::V4((network | host).into());
            (2..=last(bits))
                .map(address)
                .find(|address| !used.contains(address))
        }
        IpAddr::V6(base) => {
            let bits = 128_u32.checked_sub(length)?;
            let network = u128::from(base) & u128::MAX.checked_shl(bits).unwrap_or(0);
            let address = |host: u32| IpAddr::V6((network | u128::from(host)).into());
            (2..=last(bits))
                .map(address)
                .find(|address| !used.contains(address))
        }
    }
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
