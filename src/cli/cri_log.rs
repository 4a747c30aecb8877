//! Reads a CRI log file as it grows.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

/// A log file, and how far it has been read.
pub struct Tail {
    path: PathBuf,
    read: u64,
    /// The beginning of a line whose end has not come yet.
    pending: Vec<u8>,
    /// Parts (`P`) of a line whose last part (`F`) has not come yet.
    parts: String,
}

impl Tail {
    /// Starts at the file's beginning; it need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: 0,
            pending: Vec::new(),
            parts: String::new(),
        }
    }

    /// The lines that have come since the last call.
    pub fn read_new(&mut self) -> Vec<String> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_end(&mut bytes)
        });
        // Not there yet, or not readable: the container's status tells what is wrong.
        let Ok(count) = read else { return Vec::new() };
        self.read += count as u64;
        self.pending.append(&mut bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            lines.extend(self.take(&line[..end]));
        }
        lines
    }

    /// `TIME STREAM TAG CONTENT`; a text once its last part has come.
    fn take(&mut self, line: &[u8]) -> Option<String> {
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let (tag, content) = (fields.nth(2)?, fields.next().unwrap_or_default());
        self.parts.push_str(&String::from_utf8_lossy(content));
        (tag == b"F").then(|| std::mem::take(&mut self.parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_once_and_whole() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("0.log");
        let mut tail = Tail::new(path.clone());
        assert!(tail.read_new().is_empty(), "not there yet");
        std::fs::write(&path, "t stdout F a b\nt stdout P c\nt std").expect("writes");
        assert_eq!(tail.read_new(), ["a b"]);
        std::fs::write(
            &path,
            "t stdout F a b\nt stdout P c\nt stdout F d\nt stdout F \n",
        )
        .expect("writes");
        assert_eq!(tail.read_new(), ["cd", ""]);
        assert!(tail.read_new().is_empty());
    }
}
