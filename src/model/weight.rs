//! What a configuration counts where memory has a budget.

use protobuf::{rt::WireType, CodedInputStream};

/// What an entry of a list counts beside its text. Six bytes of protobuf can be a variable, which takes
/// more than a hundred bytes once it is read, and several hundred as a part of a Kubernetes pod.
pub const ENTRY_BYTES: usize = 128;

/// What a CRI configuration counts: its encoded bytes, and [`ENTRY_BYTES`] for each variable, argument,
/// mount, label and whatever else is a field of its own. What cannot be read counts its bytes.
pub fn weight(encoded: &[u8]) -> u64 {
    let mut stream = CodedInputStream::from_bytes(encoded);
    let mut entries = 0;
    while let Ok(Some(tag)) = stream.read_raw_tag_or_eof() {
        let kind = WireType::new(tag & 7);
        if kind.is_none_or(|kind| stream.skip_field(kind).is_err()) {
            break;
        }
        entries += 1;
    }
    (encoded.len() + entries * ENTRY_BYTES) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_entries_count_for_what_they_take() {
        // Field 6, of no bytes and of one.
        let entries = [[0x32, 0].repeat(1000), [0x32, 1, b'x'].repeat(10)].concat();
        assert_eq!(weight(&entries), 2030 + 1010 * 128);
    }

    #[test]
    fn what_cannot_be_read_counts_its_bytes() {
        for (bytes, want) in [(&[][..], 0), (&[0xff; 20], 20), (&[0x0a, 0x7f, 1], 3)] {
            assert_eq!(weight(bytes), want, "{bytes:?}");
        }
    }
}
