//! The daemon's log on its way to standard error. A pipe whose reader has stopped takes nothing, for
//! however long: one thread waits for it, and whoever logs never does. What finds no room is counted, and
//! said when the log flows again.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::Arc,
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use log::{Log, Metadata, Record};
use parking_lot::{Condvar, Mutex, RwLock};

use crate::threads::{self, Threads};

/// What may wait: some ten thousand lines.
const MOST_BYTES: usize = 2 << 20;
/// The name of the thread.
const NAME: &str = "log";
/// How long a flush waits for standard error.
const FLUSH: Duration = Duration::from_secs(1);

/// A logger whose lines are written by a thread of its own.
#[derive(Clone)]
pub struct Queued(Arc<Inner>);

struct Inner {
    /// Decides which lines there are, and makes them; replaced when that is to change.
    logger: RwLock<env_logger::Logger>,
    queue: Queue,
    _threads: Threads,
}

impl Queued {
    /// Builds the logger, and starts the thread that writes its lines to `out`.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn start(
        builder: env_logger::Builder,
        out: impl Write + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, threads) = (Queue::default(), Threads::default());
        let logger = RwLock::new(queue.logger(builder));
        let writer = queue.clone();
        threads.start(NAME, move || writer.write_all_to(out))?;
        Ok(Self(Arc::new(Inner {
            logger,
            queue,
            _threads: threads,
        })))
    }

    /// From now on lines are chosen and made by this one. What waits is written as it is.
    pub fn replace(&self, builder: env_logger::Builder) {
        *self.0.logger.write() = self.0.queue.logger(builder);
    }

    /// The lowest level of which lines are written.
    pub fn level(&self) -> log::LevelFilter {
        self.0.logger.read().filter()
    }
}

impl Log for Queued {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.logger.read().enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.target() == threads::LAST_LINE {
            self.0.queue.0.state.lock().last = Some(thread::current().id());
        }
        self.0.logger.read().log(record);
    }

    /// Waits until all is written, for [`FLUSH`] at most.
    fn flush(&self) {
        match thread::current().name() {
            // It is the writer itself that has died.
            Some(NAME) => self.0.queue.write_rest_to(io::stderr()),
            _ => self.0.queue.flush(FLUSH),
        }
    }
}

/// The lines that wait.
#[derive(Clone, Default)]
struct Queue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when there is something to write.
    filled: Condvar,
    /// Notified when there is nothing.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that found no room since it was last said.
    lost: u64,
    is_writing: bool,
    /// The thread whose line is the last one: nothing more is taken from any other.
    last: Option<ThreadId>,
}

impl Write for Queue {
    /// The logger writes a line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        let is_over = state
            .last
            .is_some_and(|last| last != thread::current().id());
        if is_over {
            // The process ends, and the last line has said why.
        } else if state.bytes + line.len() > MOST_BYTES {
            state.lost += 1;
        } else {
            state.bytes += line.len();
            state.lines.push_back(line.to_vec());
            self.0.filled.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn logger(&self, mut builder: env_logger::Builder) -> env_logger::Logger {
        let lines = Box::new(self.clone());
        builder.target(env_logger::Target::Pipe(lines)).build()
    }

    fn write_all_to(&self, mut out: impl Write) {
        let mut state = self.0.state.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.is_writing = true;
                parking_lot::MutexGuard::unlocked(&mut state, || {
                    threads::point(NAME);
                    // Nobody is left to be told.
                    let _ = out.write_all(&line);
                });
                state.is_writing = false;
                state.bytes -= line.len();
                continue;
            }
            let lost = std::mem::take(&mut state.lost);
            if lost > 0 {
                parking_lot::MutexGuard::unlocked(&mut state, || {
                    log::warn!(
                        "{lost} lines of this log are lost here: standard error did not take them"
                    );
                });
                continue;
            }
            self.0.emptied.notify_all();
            self.0.filled.wait(&mut state);
        }
    }

    /// Writes what waits.
    fn write_rest_to(&self, mut out: impl Write) {
        let lines = std::mem::take(&mut self.0.state.lock().lines);
        for line in lines {
            let _ = out.write_all(&line);
        }
    }

    fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.0.state.lock();
        while state.is_writing || !state.lines.is_empty() {
            if self.0.emptied.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{bounded, unbounded, Receiver, Sender};

    use super::*;

    /// A pipe that takes nothing until it is told to.
    struct Stuck {
        release: Receiver<()>,
        took: Sender<String>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Released when the other end is gone.
            let _ = self.release.recv();
            let text = String::from_utf8_lossy(bytes).into_owned();
            let _ = self.took.send(text);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_is_full_and_what_is_lost_is_counted() {
        let (release, held) = bounded(0);
        let (took, lines) = unbounded();
        let mut builder = env_logger::Builder::new();
        builder.filter_level(log::LevelFilter::Info);
        let out = Stuck {
            release: held,
            took,
        };
        let logger = Queued::start(builder, out).expect("started");
        let text = "x".repeat(64 << 10);
        let log = || {
            logger.log(
                &Record::builder()
                    .level(log::Level::Info)
                    .target("test")
                    .args(format_args!("{text}"))
                    .build(),
            );
        };
        // Three times as much as there is room for.
        let sent = 3 * (MOST_BYTES >> 16);
        (0..sent).for_each(|_| log());
        let lost = logger.0.queue.0.state.lock().lost;
        assert!((1..sent as u64).contains(&lost), "{lost} of {sent}");
        drop(release);
        let written = sent as u64 - lost;
        for _ in 0..written {
            let line = lines.recv_timeout(FLUSH * 20).expect("a line");
            assert!(line.ends_with("x\n"));
        }
        log();
        let line = lines.recv_timeout(FLUSH * 20).expect("it flows again");
        assert!(line.ends_with("x\n"));
        logger.flush();
        assert_eq!(logger.0.queue.0.state.lock().lost, 0, "it was said");
        std::thread::scope(|scope| {
            let end = || {
                let record = Record::builder()
                    .target(threads::LAST_LINE)
                    .level(log::Level::Error)
                    .build();
                logger.log(&record);
            };
            scope.spawn(end).join().expect("logged");
        });
        log();
        logger.flush();
        assert!(lines.recv_timeout(FLUSH * 20).is_ok(), "the last line");
        assert!(lines.try_recv().is_err(), "and nothing after it");
    }

    #[test]
    fn the_end_does_not_wait_for_a_pipe_that_is_full() {
        let (release, held) = bounded(0);
        let (took, _lines) = unbounded();
        let out = Stuck {
            release: held,
            took,
        };
        let logger = Queued::start(env_logger::Builder::new(), out).expect("started");
        let mut queue = logger.0.queue.clone();
        queue.write_all(b"a line\n").expect("taken");
        let begun = Instant::now();
        logger.0.queue.flush(Duration::from_millis(20));
        assert!(begun.elapsed() < FLUSH * 20);
        drop(release);
    }
}
