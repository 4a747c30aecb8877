//! Answers of a peer that wants the daemon's memory.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use interlink_cri::plugin::http::Responder;

/// An answer that is made while it is sent.
#[derive(Clone, Copy, Debug)]
pub enum Flood {
    /// A text around many small elements: what comes before, an element, what comes after, and how many
    /// bytes of elements there are.
    Elements(&'static str, &'static str, &'static str, usize),
    /// A beginning, and elements without an end.
    Endless(&'static str, &'static str),
    /// Bytes that come so slowly that none of it is ever whole.
    Slow(&'static str),
}

impl Flood {
    /// Sends it, until the client goes.
    pub fn send(self, responder: Responder) -> io::Result<()> {
        let mut body = responder.stream(200, "application/json")?;
        match self {
            Self::Elements(before, piece, after, bytes) => {
                let many = piece.repeat((64 << 10) / piece.len());
                body.write_all(before.as_bytes())?;
                for _ in 0..bytes / many.len() {
                    body.write_all(many.as_bytes())?;
                }
                body.write_all(after.as_bytes())?;
            }
            Self::Endless(before, piece) => {
                let many = piece.repeat((64 << 10) / piece.len());
                body.write_all(before.as_bytes())?;
                loop {
                    body.write_all(many.as_bytes())?;
                }
            }
            Self::Slow(text) => {
                for byte in text.bytes().cycle() {
                    body.write_all(&[byte])?;
                    if !body.pause(Duration::from_millis(20)) {
                        break;
                    }
                }
            }
        }
        body.finish()
    }
}
