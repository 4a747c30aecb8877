//! What gets into a log file, whatever a remote log does and however its fetches end.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
};

use super::{line, log_path::LogPath, Error, LogSink};
use crate::plan::log_pace::LogBounds;

/// A directory that goes with its owner.
pub(crate) struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("interlink-cri-fuzz-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a directory below TMPDIR");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left lies in a directory for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The longest remote log.
const MAX_LOG: usize = 48 << 10;
/// The most steps of a script.
const MAX_STEPS: usize = 64;
/// Small ones, so that the log has notices about them among its lines.
const BOUNDS: LogBounds = LogBounds {
    bytes_per_second: 16,
    file_bytes: 512,
};
/// What the file is called within its directory.
const NAME: &str = "main/0.log";

/// A script, one step a line: what the remote log does, how it is fetched, and what happens here.
///
/// ```text
/// +TEXT   the container prints a line            f    a fetch; fN: in pieces of N bytes
/// ~TEXT   the container prints, without an end   bN   one that breaks off after N/256 of the log
/// *NTEXT  the same, N times 64                   sN   one that ends there, as if that were all
/// ^TEXT   the job prints a line, which comes     ?X   one that brings another text
///         before all that the containers print   r    a restart
/// R       a rotation                             t    a restart after a crash within a line
/// !TEXT   the remote log begins anew, with a
///         line that was never in it
/// cJSON   a restart with this for a checkpoint
/// ```
pub fn any_fetches(data: &[u8]) {
    let mut world = World::new();
    for step in data.split(|byte| *byte == b'\n').take(MAX_STEPS) {
        if let Some((kind, text)) = step.split_first() {
            world.step(*kind, text);
            world.check(false);
        }
    }
    world.end();
}

struct World {
    scratch: Scratch,
    sink: Arc<LogSink>,
    checkpoint: Option<Vec<u8>>,
    /// The job's own output, which comes first.
    job: Vec<u8>,
    out: Vec<u8>,
    rotations: usize,
    /// Text was inserted, and what is in the file does not tell where.
    inserted: bool,
    unkept: bool,
    /// Lines may come twice: what was inserted was forgotten, or another text was shown.
    may_repeat: bool,
    /// Something came that was never in the log.
    foreign: bool,
    /// How often the log has begun anew, and what was written before it did so the last time.
    begun_anew: usize,
    past: Vec<u8>,
    /// A line that was inserted may be taken for part of one, in a fetch that does not show more.
    may_split: bool,
}

impl World {
    fn new() -> Self {
        let scratch = Scratch::new();
        let sink = LogSink::create(log_path(&scratch.0)).expect("created");
        let sink = Arc::new(sink.within(BOUNDS));
        Self {
            scratch,
            sink,
            checkpoint: None,
            job: Vec::new(),
            out: Vec::new(),
            rotations: 0,
            inserted: false,
            unkept: false,
            may_repeat: false,
            foreign: false,
            begun_anew: 0,
            past: Vec::new(),
            may_split: false,
        }
    }

    fn step(&mut self, kind: u8, text: &[u8]) {
        let number = usize::from(text.first().copied().unwrap_or(7));
        match kind {
            b'+' => self.print(text, 1, true),
            b'~' => self.print(text, 1, false),
            b'*' => self.print(text.get(1..).unwrap_or_default(), number * 64, false),
            b'^' => {
                self.inserted |= !self.log().is_empty();
                self.job.extend_from_slice(text);
                self.job.extend_from_slice(&self.line_end());
                self.job.truncate(MAX_LOG);
            }
            b'f' if text.is_empty() => self.fetch(MAX_LOG * 2, 256, true),
            b'f' => self.fetch(number, 256, true),
            b'b' => self.fetch(number * 11 + 1, number, false),
            b's' => {
                // Cut off within what moved it is another text.
                self.may_repeat |= self.inserted;
                self.fetch(number * 11 + 1, number, true);
            }
            b'?' => {
                (self.foreign, self.may_repeat) = (true, true);
                let stream = self.sink.begin();
                let _ = stream.push(text).and_then(|_| stream.finish(false));
            }
            b'c' => {
                (self.foreign, self.may_repeat) = (true, true);
                self.checkpoint = Some(text.to_vec());
                self.restart();
            }
            b'!' => {
                // What nobody has fetched is gone.
                self.past = self.written();
                self.begun_anew += 1;
                self.job.clear();
                self.out = text.to_vec();
                self.out.extend_from_slice(&self.line_end());
            }
            b'R' => self.rotate(),
            b'r' => self.restart(),
            b't' => {
                let file = fs::OpenOptions::new().append(true).open(self.file());
                let torn = b"2026-01-01T00:00:00.000000000Z stdout F torn";
                file.and_then(|mut file| file.write_all(torn))
                    .expect("written");
                self.restart();
            }
            _ => {}
        }
    }

    fn print(&mut self, text: &[u8], times: usize, is_line: bool) {
        let room = MAX_LOG.saturating_sub(self.out.len() + 1);
        let times = times.min(room / text.len().max(1));
        self.out.extend_from_slice(&text.repeat(times));
        if is_line && room > 0 {
            self.out.extend_from_slice(&self.line_end());
        }
    }

    /// In a log that has begun anew no line is one of those before: it could not be told from them.
    fn line_end(&self) -> Vec<u8> {
        match self.begun_anew {
            0 => b"\n".to_vec(),
            run => format!(" in run {run}\n").into_bytes(),
        }
    }

    fn log(&self) -> Vec<u8> {
        [&self.job[..], &self.out].concat()
    }

    /// Fetches so many 256ths of the log.
    fn fetch(&mut self, chunk: usize, share: usize, is_whole: bool) {
        let log = self.log();
        let shown = log.len() * share / 256;
        self.may_split |= self.inserted && shown.min(chunk) < log.len();
        let log = &log[..shown];
        let stream = self.sink.begin();
        let taken = log
            .chunks(chunk.max(1))
            .try_for_each(|bytes| stream.push(bytes).map(drop));
        let end = taken.and_then(|()| {
            if is_whole {
                stream.finish(false).map(drop)
            } else {
                Ok(())
            }
        });
        self.survived(end);
        if is_whole {
            self.keep();
        } else {
            self.unkept |= self.inserted;
        }
    }

    fn survived(&mut self, end: Result<(), Error>) {
        match end {
            Ok(()) | Err(Error::Short) => {}
            Err(error @ (Error::Unrecognised | Error::BegunAnew)) => {
                let is_anew = self.begun_anew > 0;
                let may_move = self.inserted || self.foreign || is_anew;
                assert!(may_move, "an append-only log is known");
                assert!(
                    self.may_repeat || is_anew,
                    "what was only inserted is recognised"
                );
                if matches!(error, Error::BegunAnew) {
                    self.keep();
                }
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn keep(&mut self) {
        self.checkpoint = self.sink.take_checkpoint().or(self.checkpoint.take());
        self.unkept = false;
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        let old = format!("{NAME}.20260101-{:06}", self.rotations);
        fs::rename(self.file(), self.scratch.0.join(old)).expect("renamed");
        self.checkpoint = self.sink.reopen().expect("reopened");
        self.unkept = false;
    }

    fn restart(&mut self) {
        self.may_repeat |= self.unkept;
        let again = LogSink::recover(log_path(&self.scratch.0), self.checkpoint.as_deref());
        self.sink = Arc::new(again.expect("recovered").within(BOUNDS));
    }

    /// The log's end: what is missing is fetched, and an incomplete line counts.
    fn end(mut self) {
        let log = self.log();
        for _ in 0..4 {
            let stream = self.sink.begin();
            let end = stream
                .push(&log)
                .and_then(|_| stream.finish(true).map(drop));
            let is_known = end.is_ok();
            self.survived(end);
            if is_known {
                return self.check(true);
            }
        }
        panic!("the log is recognised at last");
    }

    fn check(&self, is_end: bool) {
        let (log, written) = ([&self.past[..], &self.log()].concat(), self.written());
        if !self.inserted && !self.foreign {
            // Each byte once and in order; at the end all of them, and the end of the last line.
            let mut whole = log.clone();
            if is_end && log.last().is_some_and(|last| *last != b'\n') {
                whole.push(b'\n');
            }
            assert!(
                whole.starts_with(&written),
                "{} of {}",
                written.len(),
                whole.len()
            );
            assert!(!is_end || whole == written);
        } else if is_end && self.is_short_lined() {
            let parts: fn(&[u8]) -> Vec<&[u8]> = if self.may_split {
                sorted_bytes
            } else {
                sorted_lines
            };
            let (want, got) = (parts(&log), parts(&written));
            if !self.may_repeat {
                assert_eq!(got, want, "each line once");
            } else if !self.foreign {
                assert!(want.iter().all(|line| got.contains(line)), "each line");
            }
        }
    }

    /// A line that comes in parts may have others between them when text is inserted.
    fn is_short_lined(&self) -> bool {
        let log = self.log();
        let mut lines = log.split(|byte| *byte == b'\n');
        lines.all(|line| line.len() <= line::MAX_CONTENT)
    }

    fn file(&self) -> PathBuf {
        self.scratch.0.join(NAME)
    }

    /// The contents of all the log's files, oldest first.
    fn written(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for number in (1..=self.rotations + 1).map(|number| number % (self.rotations + 1)) {
            let file = match number {
                0 => self.file(),
                _ => self.scratch.0.join(format!("{NAME}.20260101-{number:06}")),
            };
            read_file(&file, &mut text);
        }
        text
    }
}

fn log_path(directory: &Path) -> LogPath {
    LogPath::new(&directory.to_string_lossy(), NAME).expect("a plain path")
}

fn read_file(file: &Path, text: &mut Vec<u8>) {
    let bytes = fs::read(file).expect("a log file");
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").expect("whole lines only");
        let notice = b" stderr F interlink-cri: ";
        if line
            .windows(notice.len())
            .nth(30)
            .is_some_and(|here| here == notice)
        {
            continue;
        }
        let (content, is_last_part) = line::decode(line).expect("a CRI line");
        assert!(content.len() <= line::MAX_CONTENT);
        text.extend_from_slice(content);
        if is_last_part {
            text.push(b'\n');
        }
    }
}

fn sorted_lines(text: &[u8]) -> Vec<&[u8]> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

/// The bytes but the ends of lines.
fn sorted_bytes(text: &[u8]) -> Vec<&[u8]> {
    let mut bytes: Vec<_> = text.chunks(1).filter(|byte| *byte != b"\n").collect();
    bytes.sort_unstable();
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What `sink` tests of a log that is appended to, with text that grows before it.
        #[test]
        fn each_line_comes_once_whatever_happens(
            steps in proptest::collection::vec("[+^!][ab]{0,3}|~[ab]|[fbs][ -~]|[fRrt]", 1..30),
        ) {
            any_fetches(steps.join("\n").as_bytes());
        }

        #[test]
        fn any_text_in_the_logs_place_is_survived(
            before in "([+^][ab]{0,3}\nf.\n){0,3}",
            text in "[ab]{0,12}",
            after in "([+^][ab]{0,3}\nf.\n|[Rrt]\n){0,3}",
        ) {
            any_fetches(format!("{before}?{text}\n{after}").as_bytes());
        }
    }
}
