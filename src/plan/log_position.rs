//! How much of a remote log was read: a length and a hash, in constant space.
//!
//! The hash is a polynomial over the bytes, so that the hash of a part follows from those of prefixes.

use serde::{Deserialize, Serialize};

/// The prime 2^61 - 1.
const PRIME: u64 = (1 << 61) - 1;
const BASE: u64 = 0x0bad_5eed_cafe_f00d % PRIME;
/// The last bytes that were read, by which the end of the old text is found in a grown one.
const TAIL: usize = 128;
/// The first bytes of a log, which are compared one by one.
const FIRST: usize = 64;
/// So many lines have a mark each; behind them, each mark is half as far again as the one before.
const LINES_MARKED: usize = 32;
/// Enough for 2^40 bytes behind the first lines.
const MAX_MARKS: usize = LINES_MARKED + 72;
pub(super) fn mul(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    // Both halves fit: the product is below 2^122.
    let (low, high) = ((product & u128::from(PRIME)) as u64, (product >> 61) as u64);
    add(low, high)
}

fn add(a: u64, b: u64) -> u64 {
    let sum = a + b;
    if sum >= PRIME {
        sum - PRIME
    } else {
        sum
    }
}

pub(super) fn sub(a: u64, b: u64) -> u64 {
    add(a, PRIME - b)
}

fn power(mut base: u64, mut exponent: u64) -> u64 {
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = mul(result, base);
        }
        base = mul(base, base);
        exponent >>= 1;
    }
    result
}

pub(super) fn extend(hash: u64, bytes: &[u8]) -> u64 {
    // Zero bytes count too, hence the 1.
    bytes.iter().fold(hash, |hash, byte| {
        add(mul(hash, BASE), u64::from(*byte) + 1)
    })
}

/// `B^exponent`.
pub(super) fn power_of_base(exponent: u64) -> u64 {
    power(BASE, exponent)
}

/// What `B` is multiplied by to give 1.
pub(super) fn inverse_of_base() -> u64 {
    power(BASE, PRIME - 2)
}

/// How much of a remote log was read, in the order in which the remote side sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub(super) bytes: u64,
    pub(super) hash: u64,
    pub(super) tail: Vec<u8>,
    /// The first bytes; empty where the position was kept by a version without them.
    #[serde(default)]
    pub(super) first: Vec<u8>,
    /// Positions before this one at ends of lines, in their order.
    #[serde(default)]
    pub(super) marks: Vec<Mark>,
}

/// How long the beginning of a log is that ends with a line, and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub bytes: u64,
    pub hash: u64,
}

impl Position {
    /// Takes over bytes that came behind what was read.
    pub fn advance(&mut self, bytes: &[u8]) {
        self.advance_by_lines(bytes, |_| ());
    }

    /// The same; shows each end of a line.
    pub(super) fn advance_by_lines(&mut self, bytes: &[u8], mut line_end: impl FnMut(Mark)) {
        // Nothing is missing before.
        if self.first.len() as u64 == self.bytes {
            let room = (FIRST - self.first.len().min(FIRST)).min(bytes.len());
            self.first.extend_from_slice(&bytes[..room]);
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.bytes += line.len() as u64;
            self.hash = extend(self.hash, line);
            if line.ends_with(b"\n") {
                let mark = Mark {
                    bytes: self.bytes,
                    hash: self.hash,
                };
                self.mark(mark);
                line_end(mark);
            }
        }
        let keep = bytes.len().min(TAIL);
        self.tail.extend_from_slice(&bytes[bytes.len() - keep..]);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
    }

    fn mark(&mut self, mark: Mark) {
        let count = self.marks.len();
        let last = self.marks.last().map_or(0, |last| last.bytes);
        let is_due = count < LINES_MARKED || mark.bytes >= last.saturating_add(last / 2);
        if is_due && count < MAX_MARKS {
            self.marks.push(mark);
        }
    }

    /// The last line that was read, or its end. It lies behind whatever is inserted, because the
    /// job's output comes before the container's.
    pub(super) fn last_line(&self) -> &[u8] {
        let body = self.tail.strip_suffix(b"\n").unwrap_or(&self.tail);
        let start = body
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        &self.tail[start..]
    }

    /// Whether it can be the position of any log: one that was kept may be damaged.
    pub fn is_sound(&self) -> bool {
        let marks = self.marks.iter();
        self.hash < PRIME
            && self.tail.len() <= TAIL
            && self.first.len() <= FIRST
            && self.first.len() as u64 <= self.bytes
            && self.bytes <= i64::MAX.unsigned_abs()
            && self.marks.len() <= MAX_MARKS
            && self.marks.is_sorted_by(|a, b| a.bytes < b.bytes)
            && marks
                .clone()
                .all(|mark| mark.bytes <= self.bytes && mark.hash < PRIME)
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
