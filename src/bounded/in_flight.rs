//! What calls under way may hold together.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};

/// A call that holds no more than this is always let in: whatever others hold, the kubelet's questions
/// after states, the answers about a few jobs and the like are made, and their number has bounds of its own.
const SMALL: usize = 64 << 10;

/// Room for the bytes of calls under way.
#[derive(Debug)]
pub struct InFlight {
    most: usize,
    used: AtomicUsize,
}

/// There is no room for some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} bytes find no room, as calls under way hold {used} of {most}")]
pub struct NoRoom {
    /// What the call would have held.
    pub wanted: usize,
    /// What all calls held.
    pub used: usize,
    /// What they may hold.
    pub most: usize,
}

impl InFlight {
    /// Room for so many bytes.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            used: AtomicUsize::new(0),
        })
    }

    /// Takes room for a call. One that is alone has all that it wants: each call has a bound of its own.
    ///
    /// # Errors
    /// There is none. Nobody waits for it: who waits while holding some could wait for ever.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> Result<Held, NoRoom> {
        let mut held = Held {
            of: self.clone(),
            bytes: 0,
        };
        held.grow(bytes)?;
        Ok(held)
    }

    /// What calls hold now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// The room of one call, until it is dropped.
#[derive(Debug)]
pub struct Held {
    of: Arc<InFlight>,
    bytes: usize,
}

impl Held {
    /// Takes more room.
    ///
    /// # Errors
    /// There is none.
    pub fn grow(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let wanted = self.bytes.saturating_add(bytes);
        let (own, most) = (self.bytes, self.of.most);
        let taken = self
            .of
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                let sum = used.saturating_add(bytes);
                let is_alone = used == own;
                (sum <= most || wanted <= SMALL || is_alone).then_some(sum)
            });
        match taken {
            Ok(_) => {
                self.bytes = wanted;
                Ok(())
            }
            Err(used) => Err(NoRoom { wanted, used, most }),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_room_is_refused_with_the_figures_and_small_ones_never() {
        let room = InFlight::new(1 << 20);
        let first = room.hold(1 << 19).expect("room");
        let mut second = room.hold(1 << 18).expect("room");
        let refused = second.grow(1 << 19).unwrap_err();
        assert_eq!(
            (refused.wanted, refused.used),
            ((1 << 18) + (1 << 19), (1 << 18) + (1 << 19))
        );
        assert!(
            refused.to_string().contains("786432 of 1048576"),
            "{refused}"
        );
        let third = room.hold(1 << 18).expect("the last of it");
        assert!(room.hold(SMALL + 1).is_err());
        drop(room.hold(SMALL).expect("small ones are let in"));
        drop(first);
        second.grow(1 << 19).expect("room again");
        drop((second, third));
        let alone = room.hold(1 << 30).expect("nobody else is there");
        drop(alone);
        assert_eq!(room.used(), 0);
    }
}
