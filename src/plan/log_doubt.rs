//! When a log that is not recognised has begun anew: one answer alone may be wrong, or cut short within
//! what was inserted.

use super::{
    log_position::Position,
    log_resync::{End, Resync},
};

/// So many fetches that differ from what was read, and from each other, are believed all the same.
const MAX_LOOKS: u32 = 3;

/// What complete fetches have shown that were not recognised.
#[derive(Debug, Default)]
pub struct Doubt {
    seen: Position,
    looks: u32,
}

/// What follows from a complete fetch that was not recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One look more: the answer may be wrong.
    LookAgain,
    /// The log has begun anew, and nothing of it was read.
    BegunAnew,
}

impl Doubt {
    /// For another fetch, which is compared with the one that raised the doubt.
    pub fn compare(&self) -> Resync {
        Resync::new(&self.seen)
    }

    /// Judges a fetch that was not recognised, as `fetch` says, and how it compares with the one before.
    /// A second one that has all of the first is the log as it is now; so is any after some more.
    pub fn judge(&mut self, fetch: &Resync, compared: &Resync) -> Verdict {
        self.looks += 1;
        let is_confirmed = self.seen.bytes > 0 && compared.end() == End::Recognised;
        if is_confirmed || self.looks >= MAX_LOOKS {
            *self = Self::default();
            return Verdict::BegunAnew;
        }
        self.seen = fetch.fetched();
        Verdict::LookAgain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(fetches: &[&str]) -> Vec<Verdict> {
        let mut old = Position::default();
        old.advance(b"what was read\n");
        let mut doubt = Doubt::default();
        let judge = |text: &&str| {
            let (mut fetch, mut compared) = (Resync::new(&old), doubt.compare());
            drop((fetch.feed(text.as_bytes()), compared.feed(text.as_bytes())));
            doubt.judge(&fetch, &compared)
        };
        fetches.iter().map(judge).collect()
    }

    #[test]
    fn a_second_look_confirms() {
        use Verdict::{BegunAnew, LookAgain};
        for (fetches, want) in [
            (&["new\n", "new\n"][..], &[LookAgain, BegunAnew][..]),
            (&["new\n", "new\nand more\n"], &[LookAgain, BegunAnew]),
            (&["new\n", "job\nnew\n"], &[LookAgain, BegunAnew]),
            (
                &["an error", "new\n", "new\n"],
                &[LookAgain, LookAgain, BegunAnew],
            ),
            (
                &["1", "2", "3", "4"],
                &[LookAgain, LookAgain, BegunAnew, LookAgain],
            ),
        ] {
            assert_eq!(verdicts(fetches), want, "{fetches:?}");
        }
    }
}
