//! Ranges of addresses.

use std::net::IpAddr;

/// Whether a text is a list of CIDRs.
pub fn is_cidr_list(text: &str) -> bool {
    text.split(',').all(|part| {
        part.trim().split_once('/').is_some_and(|(base, length)| {
            let longest = match base.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => 32,
                Ok(IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            length.parse::<u32>().is_ok_and(|length| length <= longest)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidr_lists() {
        for (text, good) in [
            ("10.0.0.0/8", true),
            ("10.0.0.0/8, fd00::/64", true),
            ("", false),
            ("10.0.0.0", false),
            ("10.0.0.0/33", false),
            ("10.0.0.0/8,x", false),
        ] {
            assert_eq!(is_cidr_list(text), good, "{text:?}");
        }
    }
}
