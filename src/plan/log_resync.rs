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
//!
//! A log can begin anew, too: a job that is queued again starts with an empty file. Then a fetch differs
//! from its beginning on. That shows early, at one of the *marks* of the position, which are hashes of
//! prefixes that end with a line; a fetch that ends before anything differs was only cut short. Where the
//! job's own output is new and the container's goes on (as [`OwnBeginning`] tells), all behind one of the
//! marks stands in the fetch, and is not new:
//!
//! ```text
//!  read before    |job output|container output|
//!  a fresh fetch  |of another run|container output|new|
//! ```
//!
//! Else nothing of it was read before, once a second look has shown the same (`log_doubt`): one answer
//! alone may be wrong.

use super::log_position::{extend, inverse_of_base, mul, power_of_base, sub, Mark, Position};

/// How much of a fetch's beginning is kept to find what was inserted there: job output is short,
/// and grows within its first megabyte.
const HEAD: usize = 1 << 20;
/// Byte steps of the search, all candidates together: about half a second.
const MAX_STEPS: u64 = 32 << 20;
/// How much of a log a job's own beginning is looked for in.
const OWN_BEGINNING: usize = 4096;
/// Most bytes, and most lines, of the job's own output that a log can begin anew with.
const MAX_REPLACED: u64 = 64 << 10;
const MAX_REPLACED_LINES: usize = 4096;
/// Tells whether a log begins with a job's own output, behind which comes what its containers have
/// written in all of the job's runs.
pub type OwnBeginning = fn(&[u8]) -> bool;

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
    /// It begins with the output of another run of the job, and goes on with what was read before of
    /// the container: see [`Resync::replaced`].
    Replaced,
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
    /// They differ.
    Searching(Box<Fresh>),
    /// Everything that comes is new.
    Live,
    Unrecognised(Box<Fresh>),
}

#[derive(Debug)]
struct Fresh {
    old: Position,
    /// The fetch so far.
    now: Position,
    /// The next of the old marks that the fetch comes to.
    next_mark: usize,
    /// The beginning, as far as something may have been inserted there.
    head: Vec<u8>,
    steps: u64,
    own_beginning: Option<OwnBeginning>,
    /// Where lines end in the part that another run of the job may have written.
    lines: Vec<Mark>,
    /// For each of the old marks the power that belongs to the length behind it; while searching.
    scales: Vec<u64>,
    kept: Option<Kept>,
}

/// Where the old text without its beginning stands in a fetch.
#[derive(Debug)]
struct Kept {
    begin: usize,
    bytes: u64,
    /// At its end.
    position: Position,
}

impl Resync {
    /// Starts with a fetch from the log's beginning.
    pub fn new(old: &Position) -> Self {
        if old.bytes == 0 {
            return Self { state: State::Live };
        }
        let fresh = Fresh {
            old: old.clone(),
            now: Position::default(),
            next_mark: 0,
            head: Vec::new(),
            steps: 0,
            own_beginning: None,
            lines: Vec::new(),
            scales: Vec::new(),
            kept: None,
        };
        Self {
            state: State::Matching(Box::new(fresh)),
        }
    }

    /// Starts with a fetch of a log that may begin with a job's own output.
    pub fn with_own_beginning(old: &Position, own_beginning: OwnBeginning) -> Self {
        let mut resync = Self::new(old);
        if let State::Matching(fresh) = &mut resync.state {
            fresh.own_beginning = Some(own_beginning);
        }
        resync
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
                State::Unrecognised(_) => break,
                State::Matching(fresh) => {
                    bytes = fresh.take_up_to_mark(bytes);
                    if fresh.differs() {
                        fresh.begin_search();
                        self.change(State::Searching);
                    } else if fresh.now.bytes == fresh.old.bytes {
                        self.state = State::Live;
                    }
                }
                State::Searching(fresh) => {
                    let Some((count, found)) = fresh.search(bytes) else {
                        if fresh.is_hopeless() {
                            self.change(State::Unrecognised);
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

    fn change(&mut self, to: fn(Box<Fresh>) -> State) {
        self.state = match std::mem::replace(&mut self.state, State::Live) {
            State::Matching(fresh) | State::Searching(fresh) | State::Unrecognised(fresh) => {
                to(fresh)
            }
            State::Live => State::Live,
        };
    }

    fn fresh(&self) -> Option<&Fresh> {
        match &self.state {
            State::Matching(fresh) | State::Searching(fresh) | State::Unrecognised(fresh) => {
                Some(fresh)
            }
            State::Live => None,
        }
    }

    /// Whether the fetch is certainly not what was read before, so that reading on is of no use.
    pub fn is_hopeless(&self) -> bool {
        matches!(self.state, State::Unrecognised(_))
    }

    /// Whether the fetch has come to something that was not read before in that place, and nothing tells
    /// yet what that is.
    pub fn has_diverged(&self) -> bool {
        matches!(self.state, State::Searching(_) | State::Unrecognised(_))
    }

    /// How many bytes a fetch had that ended [`End::Short`].
    pub fn short_bytes(&self) -> u64 {
        match &self.state {
            State::Matching(fresh) => fresh.now.bytes,
            State::Searching(_) | State::Live | State::Unrecognised(_) => 0,
        }
    }

    /// Whether a fetch that ended [`End::Short`] is exactly what is in a position.
    pub fn is_same_as(&self, position: &Position) -> bool {
        match &self.state {
            State::Matching(fresh) => {
                (fresh.now.bytes, fresh.now.hash) == (position.bytes, position.hash)
            }
            State::Searching(_) | State::Live | State::Unrecognised(_) => false,
        }
    }

    /// What another run of the job has written, after a fetch that ended [`End::Replaced`], and the
    /// position once that is taken over. What lies behind it is told by the next fetch.
    pub fn replaced(&self) -> Option<(Vec<u8>, Position)> {
        let fresh = self.fresh()?;
        let kept = fresh.kept.as_ref()?;
        Some((fresh.head[..kept.begin].to_vec(), kept.position.clone()))
    }

    /// The position after what was fetched so far of a log that is not recognised.
    pub fn fetched(&self) -> Position {
        self.fresh()
            .map(|fresh| fresh.now.clone())
            .unwrap_or_default()
    }

    /// What is known when the fetch has ended.
    pub fn end(&self) -> End {
        match &self.state {
            State::Live => End::Recognised,
            State::Matching(_) => End::Short,
            State::Searching(fresh) | State::Unrecognised(fresh) => match fresh.kept {
                Some(_) => End::Replaced,
                None => End::Unrecognised,
            },
        }
    }
}

impl Fresh {
    fn keep(&mut self, bytes: &[u8]) {
        let room = HEAD.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        let lines = &mut self.lines;
        self.now.advance_by_lines(bytes, |end| {
            if end.bytes <= MAX_REPLACED && lines.len() < MAX_REPLACED_LINES {
                lines.push(end);
            }
        });
    }

    /// Takes what lies before the next mark, or before the end of what was read.
    fn take_up_to_mark<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mark = self.old.marks.get(self.next_mark);
        let end = mark.map_or(self.old.bytes, |mark| mark.bytes);
        let left = usize::try_from(end - self.now.bytes).unwrap_or(usize::MAX);
        let (taken, rest) = bytes.split_at(left.min(bytes.len()));
        self.keep(taken);
        rest
    }

    /// Whether the fetch so far is no beginning of what was read before.
    fn differs(&mut self) -> bool {
        let common = self.now.first.len().min(self.old.first.len());
        let mark = self.old.marks.get(self.next_mark);
        let mark = mark.filter(|mark| mark.bytes == self.now.bytes);
        self.next_mark += usize::from(mark.is_some());
        self.now.first[..common] != self.old.first[..common]
            || mark.is_some_and(|mark| mark.hash != self.now.hash)
            || (self.now.bytes == self.old.bytes && self.now.hash != self.old.hash)
    }

    /// It was not seen at once that the fetch differs: what is kept of it is looked through again.
    fn begin_search(&mut self) {
        let scale = |mark: &Mark| power_of_base(self.old.bytes - mark.bytes);
        self.scales = self.old.marks.iter().map(scale).collect();
        if self.head.len() as u64 != self.now.bytes {
            return;
        }
        let head = std::mem::take(&mut self.head);
        self.now = Position::default();
        self.lines.clear();
        // Shorter than the old text, so nothing can have been inserted in it.
        let found = self.search(&head);
        debug_assert!(found.is_none());
    }

    /// Looks for the place where the old text ends in the grown one; tells how many of the bytes
    /// belong to it, and what was inserted.
    ///
    /// A line that ends as the old text does looks like part of a line before that text:
    /// `epoch 1` with an `epoch 11` before it. So whole lines are looked for in all the bytes at
    /// hand before part of one is believed.
    fn search(&mut self, bytes: &[u8]) -> Option<(usize, Piece<'static>)> {
        let (mut part, mut at) = (None, 0);
        while at < bytes.len() && !self.is_hopeless() {
            at += self.up_to_a_last_byte(&bytes[at..]);
            if !self.now.tail.ends_with(self.old.last_line()) {
                continue;
            }
            self.note_kept();
            if self.now.bytes < self.old.bytes {
                continue;
            }
            if let Some((inserted, is_whole)) = self.inserted() {
                let found = (at, Piece::Inserted(inserted, self.now.clone()));
                if is_whole {
                    return Some(found);
                }
                part.get_or_insert(found);
            }
        }
        part
    }

    /// Takes the bytes up to the next one that the old text could end with; returns how many.
    fn up_to_a_last_byte(&mut self, bytes: &[u8]) -> usize {
        let last = self.old.tail.last();
        let end = bytes
            .iter()
            .position(|byte| last.is_none_or(|last| last == byte));
        let count = end.map_or(bytes.len(), |end| end + 1);
        self.keep(&bytes[..count]);
        count
    }

    /// Notes what of the old text ends here, if that is all behind one of its marks, and more than was
    /// found before. With `e` the length read, `n` the old length, `m` a mark's and `P`, `O` the hashes
    /// of the two texts' prefixes, it is so if `P(e) - P(e-n+m)·B^(n-m)` is `O(n) - O(m)·B^(n-m)`.
    fn note_kept(&mut self) {
        let beginning = &self.head[..self.head.len().min(OWN_BEGINNING)];
        if !self.own_beginning.is_some_and(|is_own| is_own(beginning)) {
            // It is the same at the next place.
            if beginning.len() == OWN_BEGINNING {
                self.own_beginning = None;
            }
            return;
        }
        self.steps += self.old.marks.len() as u64;
        for (mark, scale) in self.old.marks.iter().zip(&self.scales) {
            let bytes = self.old.bytes - mark.bytes;
            let best = self.kept.as_ref().map_or(0, |kept| kept.bytes);
            if bytes <= best {
                return;
            }
            let begin = self.now.bytes.checked_sub(bytes).and_then(|begin| {
                let found = self.lines.binary_search_by_key(&begin, |line| line.bytes);
                Some(self.lines[found.ok()?])
            });
            let Some(begin) = begin else { continue };
            let behind = |end: u64, begin: u64| sub(end, mul(begin, *scale));
            if behind(self.now.hash, begin.hash) == behind(self.old.hash, mark.hash) {
                self.kept = usize::try_from(begin.bytes).ok().map(|begin| Kept {
                    begin,
                    bytes,
                    position: self.now.clone(),
                });
                return;
            }
        }
    }

    /// What was inserted, if the old text ends here, and whether that is whole lines. With `e` the
    /// length read, `g` the growth and `P(i)` the hash of the first `i` bytes, a split `d` is the
    /// right one if `P(d)·B^(n-d) + P(e) - P(d+g)·B^(n-d)` is the old hash of `n` bytes. Where
    /// several neighbours are right, one that makes it whole lines is meant. Text within a line was not
    /// inserted: the job's output grows by the end of a line, or before one; `start` and `start again`
    /// are different lines.
    fn inserted(&mut self) -> Option<(Vec<u8>, bool)> {
        let growth = usize::try_from(self.now.bytes - self.old.bytes).ok()?;
        let last = self.head.len().checked_sub(growth)?;
        let last = last.min(usize::try_from(self.old.bytes).unwrap_or(usize::MAX));
        let want = sub(self.old.hash, self.now.hash);
        let inverse = inverse_of_base();
        let mut scale = power_of_base(self.old.bytes);
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
        let at_a_line = |split: &usize| ends_line(*split) || ends_line(split + growth);
        found
            .filter(at_a_line)
            .map(|split| (self.head[split..split + growth].to_vec(), is_whole(split)))
    }

    fn is_hopeless(&self) -> bool {
        let longest = self.old.bytes.saturating_add(HEAD as u64);
        self.steps > MAX_STEPS || self.now.bytes > longest
    }
}

#[cfg(test)]
mod tests;
