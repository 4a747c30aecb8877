//! Kubernetes quantities: printed as a user would have written them, and read back.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A text that is no amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a quantity; write for example `500m`, `512Mi` or `4G`")]
pub struct NotAQuantity {
    /// The text, cut when it is very long.
    text: String,
}

impl NotAQuantity {
    fn new(text: &str) -> Self {
        Self {
            text: text.chars().take(64).collect(),
        }
    }
}

/// 1000 millicores are `1`, 500 are `500m`.
pub fn cpu(millicores: u64) -> Quantity {
    Quantity(if millicores.is_multiple_of(1000) {
        (millicores / 1000).to_string()
    } else {
        format!("{millicores}m")
    })
}

/// 67108864 bytes are `64Mi`, 64000000 are `64M`: of the binary and the decimal suffix the one
/// that leaves the smaller number, so that an amount comes out as somebody wrote it.
pub fn memory(bytes: u64) -> Quantity {
    let (binary, b) = reduced(bytes, 1024, ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]);
    let (decimal, d) = reduced(bytes, 1000, ["", "k", "M", "G", "T", "P", "E"]);
    Quantity(if binary <= decimal {
        format!("{binary}{b}")
    } else {
        format!("{decimal}{d}")
    })
}

fn reduced(mut number: u64, base: u64, suffixes: [&str; 7]) -> (u64, &str) {
    let mut suffix = suffixes[0];
    for next in &suffixes[1..] {
        if number == 0 || !number.is_multiple_of(base) {
            break;
        }
        number /= base;
        suffix = next;
    }
    (number, suffix)
}

/// Reads an amount of memory in any form that Kubernetes knows (`64Mi`, `1.5G`, `1e9`, `500m`);
/// a fraction of a byte counts as one.
///
/// # Errors
/// Any other text, a negative amount, or one beyond 2^64.
pub fn parse_memory(text: &str) -> Result<u64, NotAQuantity> {
    parts(text, 1).ok_or_else(|| NotAQuantity::new(text))
}

/// Reads an amount of CPU (`2`, `500m`, `0.5`), in millicores; a fraction of one counts as one.
///
/// # Errors
/// As [`parse_memory`].
pub fn parse_cpu(text: &str) -> Result<u64, NotAQuantity> {
    parts(text, 1000).ok_or_else(|| NotAQuantity::new(text))
}

/// The amount in parts of one, of which `one` has so many.
fn parts(text: &str, one: u128) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    // Twenty digits fill a u64: no sum below leaves u128.
    if digits.is_empty() || digits.len() > 20 || fraction.contains('.') {
        return None;
    }
    let (multiply, divide) = scale(suffix)?;
    let multiply = multiply.checked_mul(one)?;
    let amount = digits.parse::<u128>().ok()?.checked_mul(multiply)?;
    let places = u32::try_from(fraction.len()).ok()?;
    let divide = divide.checked_mul(10_u128.checked_pow(places)?)?;
    u64::try_from(amount.div_ceil(divide)).ok()
}

/// What a suffix multiplies and divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let decimal = |power: i32| {
        let factor = 10_u128.checked_pow(power.unsigned_abs())?;
        Some(if power < 0 { (1, factor) } else { (factor, 1) })
    };
    let binary = |power: u32| Some((1_u128 << (10 * power), 1));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            (power.abs() <= 18).then(|| decimal(power)).flatten()
        }
    }
}

/// The amount in a line of `/proc/meminfo` that begins so, in KiB: its `kB` are 1024 bytes
/// (proc_meminfo(5)).
pub fn kibibytes(line: &str, label: &str) -> Option<u64> {
    let amount = line.strip_prefix(label)?.trim().strip_suffix("kB")?;
    amount.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_print_as_a_user_wrote_them() {
        for text in [
            "0",
            "1",
            "500",
            "1k",
            "64Mi",
            "64M",
            "1Gi",
            "1G",
            "1000Mi",
            "1536Mi",
            "100M",
            "128Mi",
            "4Ti",
            "1500M",
            "1Ki",
            "123456789",
            "8Ei",
            "2G",
            "250Gi",
        ] {
            let amount = parse_memory(text).unwrap();
            assert_eq!(memory(amount).0, text, "{amount}");
        }
        for (millicores, want) in [
            (0, "0"),
            (1, "1m"),
            (100, "100m"),
            (500, "500m"),
            (1000, "1"),
            (1500, "1500m"),
            (64_000, "64"),
        ] {
            assert_eq!(cpu(millicores).0, want);
        }
    }

    #[test]
    fn every_form_is_read() {
        for (text, want) in [
            ("1.5Gi", 3 << 29),
            ("0.5Ki", 512),
            (".5k", 500),
            ("1.", 1),
            ("+7", 7),
            ("1e3", 1000),
            ("1E3", 1000),
            ("12e-1", 2),
            ("1E", 1_000_000_000_000_000_000),
            ("1500m", 2),
            ("1n", 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_memory(text).unwrap(), want, "{text}");
        }
        for text in [
            "",
            " ",
            ".",
            "-1",
            "1 Gi",
            "Gi",
            "1gi",
            "1K",
            "1..2",
            "1.2.3",
            "1e",
            "1e99",
            "1e-99",
            "0x10",
            "16Ei",
            "99999999999999999999",
            "100000000000000000000000",
            "1Gib",
            "1µ",
        ] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn millicores_are_read() {
        for (text, want) in [
            ("1", 1000),
            ("500m", 500),
            ("0.5", 500),
            ("1.5", 1500),
            ("1u", 1),
            ("2k", 2_000_000),
        ] {
            assert_eq!(parse_cpu(text).unwrap(), want, "{text}");
        }
        assert!(parse_cpu("lots").is_err());
    }

    proptest! {
        #[test]
        fn a_printed_amount_reads_back(bytes: u64, shift in 0_u32..60) {
            for amount in [bytes, bytes >> shift << shift] {
                prop_assert_eq!(parse_memory(&memory(amount).0).unwrap(), amount);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}", near in "[0-9.eEkKMGi+-]{0,30}") {
            let _ = (parse_memory(&text), parse_memory(&near));
        }
    }
}
