//! A word to a thread that there is something new, which it picks up when it comes to it.

use crossbeam_channel::{bounded, Receiver, Sender};

/// The way of such a word.
pub struct Nudge(Sender<()>, Receiver<()>);

impl Default for Nudge {
    fn default() -> Self {
        let (sender, receiver) = bounded(1);
        Self(sender, receiver)
    }
}

impl Nudge {
    /// Tells the thread. Never waits.
    pub fn give(&self) {
        // Full: it has been told already.
        let _ = self.0.try_send(());
    }

    /// Where the thread hears of it.
    pub fn heard(&self) -> Receiver<()> {
        self.1.clone()
    }
}
