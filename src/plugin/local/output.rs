//! What a container prints: both its streams in one file, in their order, up to a bound. Nothing else rotates
//! that file, so without a bound one container would fill the plugin's disk.
//!
//! A bounded container prints into a pipe that its shim empties. What comes beyond the bound is read and left
//! out: a container that waited there for ever, or was killed for it, would not have done its work.

use std::{
    fs::{File, OpenOptions},
    io::{self, PipeReader, Read as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    process::Stdio,
    time::{Duration, Instant},
};

use super::container_dir::ContainerDir;
use crate::threads::Threads;

/// How much is read at once: what a pipe holds.
const BLOCK: usize = 64 << 10;
const STACK_BYTES: usize = 128 << 10;
/// How long the rest may take once nobody is left who prints: it is in the pipe already. Only a process that
/// could not be killed, or one that was sent the pipe, holds it up.
const REST_PATIENCE: Duration = Duration::from_secs(10);

/// Opens a container's file for appending, made (0640) if it is not there.
pub(super) fn open(dir: &ContainerDir) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(dir.output())
}

/// Where a container prints to.
pub(super) struct Streams {
    pub(super) stdout: Stdio,
    pub(super) stderr: Stdio,
    pub(super) output: Output,
}

/// The thread that keeps what is printed; there is none without a bound.
pub(super) struct Output(Option<Threads>);

impl Output {
    /// Opens the two streams of a container of which `max` bytes are kept, all where that is 0.
    pub(super) fn start(dir: &ContainerDir, max: u64) -> io::Result<Streams> {
        let file = open(dir)?;
        if max == 0 {
            return Ok(Streams {
                stderr: file.try_clone()?.into(),
                stdout: file.into(),
                output: Self(None),
            });
        }
        let (reader, writer) = io::pipe()?;
        let mut kept = Kept::new(file.metadata()?.len(), max, file);
        let threads = Threads::default();
        threads.run_with_stack("shim-output", STACK_BYTES, move || kept.take_all(reader))?;
        Ok(Streams {
            stdout: writer.try_clone()?.into(),
            stderr: writer.into(),
            output: Self(Some(threads)),
        })
    }

    /// Waits until everything is in the file. To be called when nobody is left who prints.
    pub(super) fn finish(self) {
        if let Some(threads) = self.0 {
            threads.stop(Instant::now() + REST_PATIENCE);
        }
    }
}

/// A file that takes what is printed, up to a bound.
struct Kept<W> {
    file: W,
    length: u64,
    max: u64,
    /// Whether the file ends within a line.
    is_in_line: bool,
    is_full: bool,
    /// Bytes that could not be written since the last ones that were, and why.
    lost: Option<(u64, io::Error)>,
}

impl<W: Write> Kept<W> {
    fn new(length: u64, max: u64, file: W) -> Self {
        Self {
            file,
            length,
            max,
            is_in_line: false,
            is_full: false,
            lost: None,
        }
    }

    fn take_all(&mut self, mut reader: PipeReader) {
        let mut block = vec![0; BLOCK];
        loop {
            match reader.read(&mut block) {
                Ok(0) => return,
                Ok(count) => self.take(&block[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A pipe has no other errors; whoever prints gets EPIPE.
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.is_full {
            return;
        }
        let room = usize::try_from(self.max - self.length.min(self.max)).unwrap_or(usize::MAX);
        let fitting = &bytes[..room.min(bytes.len())];
        if let Err(error) = self.write(fitting) {
            // A full disk may have room again for what comes next.
            let before = self.lost.take().map_or(0, |(count, _)| count);
            self.lost = Some((before.saturating_add(fitting.len() as u64), error));
            return;
        }
        if fitting.len() < bytes.len() {
            self.is_full = true;
            let text = format!(
                "interlink-cri: more than {} bytes were printed (logs.max_file_bytes, --max-output-bytes); \
                 the rest is left out",
                self.max
            );
            // What cannot be said is left out, too.
            let _ = self.say(&text);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some((count, error)) = &self.lost {
            let text = format!("interlink-cri: {count} bytes are missing here: {error}");
            self.say(&text)?;
            self.lost = None;
        }
        self.file.write_all(bytes)?;
        self.length = self.length.saturating_add(bytes.len() as u64);
        if let Some(last) = bytes.last() {
            self.is_in_line = *last != b'\n';
        }
        Ok(())
    }

    /// Writes a line of our own.
    fn say(&mut self, text: &str) -> io::Result<()> {
        let before = if self.is_in_line { "\n" } else { "" };
        self.file
            .write_all(format!("{before}{text}\n").as_bytes())?;
        self.is_in_line = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_bound_is_left_out_and_said_once() {
        let mut kept = Kept::new(0, 10, Vec::new());
        for text in ["one\n", "two\n", "three\n", "four\n"] {
            kept.take(text.as_bytes());
        }
        let text = String::from_utf8(kept.file).expect("text");
        let rest = text.strip_prefix("one\ntwo\nth\n").expect("ten bytes");
        assert!(rest.contains("more than 10 bytes"), "{rest}");
        assert_eq!(rest.lines().count(), 1, "{rest}");
    }

    #[test]
    fn exactly_the_bound_is_kept_without_a_word() {
        let mut kept = Kept::new(4, 8, Vec::new());
        kept.take(b"one\n");
        assert_eq!(kept.file, b"one\n");
    }

    /// A file whose disk is full now and then.
    struct Disk {
        text: Vec<u8>,
        is_full: bool,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_did_not_take_is_counted() {
        let disk = Disk {
            text: Vec::new(),
            is_full: false,
        };
        let mut kept = Kept::new(0, 1000, disk);
        kept.take(b"one\n");
        kept.file.is_full = true;
        kept.take(b"two\n");
        kept.take(b"three\n");
        kept.file.is_full = false;
        kept.take(b"four\n");
        let text = String::from_utf8(kept.file.text).expect("text");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines[2]), ("one", "four"), "{text}");
        assert!(lines[1].contains("10 bytes are missing here"), "{text}");
    }
}
