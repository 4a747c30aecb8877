//! The sign to stop.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Says once that all must end, and wakes who waits.
#[derive(Debug, Default)]
pub(super) struct StopSignal {
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl StopSignal {
    pub(super) fn stop(&self) {
        *self.stopped.lock() = true;
        self.wake.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.lock()
    }

    /// Waits for that long at most; gives whether all must end.
    pub(super) fn wait(&self, span: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.wake.wait_for(&mut stopped, span);
        }
        *stopped
    }
}
