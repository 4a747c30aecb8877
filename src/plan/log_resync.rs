//! Which bytes of a remote log are new.
//!
//! interLink has no log offsets: every fetch, and every reconnect of a followed log, sends the
//! whole log from its beginning. And that beginning can grow: some plugins put the job's own
//! output before the container's, so what was read before moves.
//!
//! ```text
//!  read before    |job output|container output|
//!                 ◄──────── bytes, hash ──────►
//!  a fresh fetch  |job output|grown|container output|new|
//!                            d     d+g              e
//! ```
//!
//! A [`Position`] remembers how much was read, and a hash of it, in constant space. In a fresh
//! fetch the first `bytes` bytes normally have the same hash: everything after them is new. If
//! not, the prefix has grown: the search is for a split `d` and a growth `g` such that the fetch
//! without `d..d+g` is what was read before. The hash is a polynomial, so the hash of such a
//! concatenation follows from hashes of prefixes, and each candidate costs a few multiplications.

use serde::{Deserialize, Serialize};

/// The prime 2^61 - 1.
const PRIME: u64 = (1 << 61) - 1;
const BASE: u64 = 0x0bad_5eed_cafe_f00d % PRIME;
/// The last bytes that were read, by which the end of the old text is found in a grown one.
const TAIL: usize = 128;
/// How much of a fetch's beginning is kept to find what was inserted there: job output is short,
/// and grows within its first megabyte.
const HEAD: usize = 1 << 20;
/// Byte steps of the search, all candidates together: about half a second.
const MAX_STEPS: u64 = 32 << 20;

fn mul(a: u64, b: u64) -> u64 {
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

fn sub(a: u64, b: u64) -> u64 {
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

fn extend(hash: u64, bytes: &[u8]) -> u64 {
    // Zero bytes count too, hence the 1.
    bytes.iter().fold(hash, |hash, byte| {
        add(mul(hash, BASE), u64::from(*byte) + 1)
    })
}

/// How much of a remote log was read, in the order in which the remote side sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    bytes: u64,
    hash: u64,
    tail: Vec<u8>,
}

impl Position {
    /// Takes over bytes that came behind what was read.
    pub fn advance(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hash = extend(self.hash, bytes);
        let keep = bytes.len().min(TAIL);
        self.tail.extend_from_slice(&bytes[bytes.len() - keep..]);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
    }

    /// The last line that was read, or its end. It lies behind whatever is inserted, because the
    /// job's output comes before the container's.
    fn last_line(&self) -> &[u8] {
        let body = self.tail.strip_suffix(b"\n").unwrap_or(&self.tail);
        let start = body
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        &self.tail[start..]
    }

    /// Whether it can be the position of any log: one that was kept may be damaged.
    pub fn is_sound(&self) -> bool {
        self.hash < PRIME && self.tail.len() <= TAIL && self.bytes <= i64::MAX.unsigned_abs()
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A piece of a fresh fetch that was not read before.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Text that has grown in the middle of what was read. Once it is taken over, the position is
    /// the given one.
    Inserted(Vec<u8>, Position),
    /// Text behind all that was read.
    New(&'a [u8]),
}

/// How a fetch ended that showed nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All that was read before was recognised.
    Recognised,
    /// It was shorter than what was read before: cut off, or not all there. Nothing is known to
    /// be new.
    Short,
    /// It is not what was read before, nor anything that could have grown from it.
    Unrecognised,
}

/// Recognises in a fresh fetch what was read before.
#[derive(Debug)]
pub struct Resync {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Within the bytes that may be the ones read before.
    Matching(Box<Fresh>),
    /// Behind them, and they differ.
    Searching(Box<Fresh>),
    /// Everything that comes is new.
    Live,
    Unrecognised,
}

#[derive(Debug)]
struct Fresh {
    old: Position,
    bytes: u64,
    hash: u64,
    /// The beginning, as far as something may have been inserted there.
    head: Vec<u8>,
    /// The last bytes, at the least as many as a tail has.
    recent: Vec<u8>,
    steps: u64,
}

impl Resync {
    /// Starts with a fetch from the log's beginning.
    pub fn new(old: &Position) -> Self {
        if old.bytes == 0 {
            return Self { state: State::Live };
        }
        let fresh = Fresh {
            old: old.clone(),
            bytes: 0,
            hash: 0,
            head: Vec::new(),
            recent: Vec::new(),
            steps: 0,
        };
        Self {
            state: State::Matching(Box::new(fresh)),
        }
    }

    /// Takes the next bytes of the fetch, and returns what in them was not read before.
    pub fn feed<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            match &mut self.state {
                State::Live => {
                    pieces.push(Piece::New(bytes));
                    break;
                }
                State::Unrecognised => break,
                State::Matching(fresh) => {
                    bytes = fresh.take_up_to_old(bytes);
                    if fresh.bytes == fresh.old.bytes {
                        let matched = fresh.hash == fresh.old.hash;
                        let state = std::mem::replace(&mut self.state, State::Live);
                        if let (State::Matching(fresh), false) = (state, matched) {
                            self.state = State::Searching(fresh);
                        }
                    }
                }
                State::Searching(fresh) => {
                    let Some((count, found)) = fresh.search(bytes) else {
                        if fresh.is_hopeless() {
                            self.state = State::Unrecognised;
                        }
                        break;
                    };
                    pieces.push(found);
                    bytes = &bytes[count..];
                    self.state = State::Live;
                }
            }
        }
        pieces
    }

    /// Whether the fetch is certainly not what was read before, so that reading on is of no use.
    pub fn is_hopeless(&self) -> bool {
        matches!(self.state, State::Unrecognised)
    }

    /// How many bytes a fetch had that ended [`End::Short`].
    pub fn short_bytes(&self) -> u64 {
        match &self.state {
            State::Matching(fresh) => fresh.bytes,
            State::Searching(_) | State::Live | State::Unrecognised => 0,
        }
    }

    /// Whether a fetch that ended [`End::Short`] is exactly what is in a position.
    pub fn is_same_as(&self, position: &Position) -> bool {
        match &self.state {
            State::Matching(fresh) => (fresh.bytes, fresh.hash) == (position.bytes, position.hash),
            State::Searching(_) | State::Live | State::Unrecognised => false,
        }
    }

    /// What is known when the fetch has ended.
    pub fn end(&self) -> End {
        match &self.state {
            State::Live => End::Recognised,
            State::Matching(_) => End::Short,
            State::Searching(_) | State::Unrecognised => End::Unrecognised,
        }
    }
}

impl Fresh {
    fn keep(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.bytes += bytes.len() as u64;
        self.hash = extend(self.hash, bytes);
        let keep = bytes.len().min(TAIL);
        self.recent.extend_from_slice(&bytes[bytes.len() - keep..]);
        if self.recent.len() > 64 * TAIL {
            self.recent.drain(..self.recent.len() - TAIL);
        }
    }

    fn take_up_to_old<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let left = usize::try_from(self.old.bytes - self.bytes).unwrap_or(usize::MAX);
        let (taken, rest) = bytes.split_at(left.min(bytes.len()));
        self.keep(taken);
        rest
    }

    /// Looks for the place where the old text ends in the grown one; tells how many of the bytes
    /// belong to it, and what was inserted.
    ///
    /// A line that ends as the old text does looks like part of a line before that text:
    /// `epoch 1` with an `epoch 11` before it. So whole lines are looked for in all the bytes at
    /// hand before part of one is believed.
    fn search(&mut self, bytes: &[u8]) -> Option<(usize, Piece<'static>)> {
        let mut part = None;
        for (index, byte) in bytes.iter().enumerate() {
            self.keep(std::slice::from_ref(byte));
            if self.is_hopeless() {
                break;
            }
            if !self.recent.ends_with(self.old.last_line()) {
                continue;
            }
            if let Some((inserted, is_whole)) = self.inserted() {
                let found = (index + 1, Piece::Inserted(inserted, self.position()));
                if is_whole {
                    return Some(found);
                }
                part.get_or_insert(found);
            }
        }
        part
    }

    fn position(&self) -> Position {
        let tail = self.recent[self.recent.len().saturating_sub(TAIL)..].to_vec();
        Position {
            bytes: self.bytes,
            hash: self.hash,
            tail,
        }
    }

    /// What was inserted, if the old text ends here, and whether that is whole lines. With `e` the
    /// length read, `g` the growth and `P(i)` the hash of the first `i` bytes, a split `d` is the
    /// right one if `P(d)·B^(n-d) + P(e) - P(d+g)·B^(n-d)` is the old hash of `n` bytes. Where
    /// several neighbours are right, one that makes it whole lines is meant.
    fn inserted(&mut self) -> Option<(Vec<u8>, bool)> {
        let growth = usize::try_from(self.bytes - self.old.bytes).ok()?;
        let last = self.head.len().checked_sub(growth)?;
        let last = last.min(usize::try_from(self.old.bytes).unwrap_or(usize::MAX));
        let want = sub(self.old.hash, self.hash);
        let inverse = power(BASE, PRIME - 2);
        let mut scale = power(BASE, self.old.bytes);
        let (mut before, mut after) = (0, extend(0, &self.head[..growth]));
        let mut found = None;
        let ends_line = |at: usize| at == 0 || self.head[at - 1] == b'\n';
        let is_whole = |split: usize| ends_line(split) && ends_line(split + growth);
        for split in 0..=last {
            if mul(sub(before, after), scale) == want {
                if is_whole(split) {
                    found = Some(split);
                    break;
                }
                // The first, or the first at the beginning of a line.
                found = found.filter(|old| ends_line(*old) || !ends_line(split));
                found = found.or(Some(split));
            } else if found.is_some() {
                break;
            }
            let next = (self.head.get(split), self.head.get(split + growth));
            let (Some(first), Some(second)) = next else {
                break;
            };
            before = extend(before, &[*first]);
            after = extend(after, &[*second]);
            scale = mul(scale, inverse);
        }
        if !found.is_some_and(is_whole) {
            self.steps += last as u64;
        }
        found.map(|split| (self.head[split..split + growth].to_vec(), is_whole(split)))
    }

    fn is_hopeless(&self) -> bool {
        self.steps > MAX_STEPS || self.bytes - self.old.bytes > HEAD as u64
    }
}

#[cfg(test)]
mod tests;
