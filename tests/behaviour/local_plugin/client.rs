//! A client of one request a connection, small enough to show what a server really sent.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Whether the body came to its announced end.
    pub is_whole: bool,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Sends one request; an answer that is no HTTP, or none at all, is an error.
pub fn ask(socket: &Path, path: &str, body: &Value) -> io::Result<Answer> {
    let body = match body {
        Value::String(raw) => raw.clone(),
        body => body.to_string(),
    };
    read_answer(&mut open(socket, path, &body)?)
}

/// Sends one request, and leaves the answer to be read.
pub fn open(socket: &Path, path: &str, body: &str) -> io::Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    Ok(BufReader::new(stream))
}

pub fn read_answer(from: &mut BufReader<UnixStream>) -> io::Result<Answer> {
    let (status, framing) = read_head(from)?;
    let (body, is_whole) = match framing {
        Framing::Length(length) => {
            let mut body = Vec::new();
            from.take(length).read_to_end(&mut body)?;
            let is_whole = body.len() as u64 == length;
            (body, is_whole)
        }
        Framing::Chunked => read_chunks(from)?,
    };
    Ok(Answer {
        status,
        body,
        is_whole,
    })
}

pub enum Framing {
    Length(u64),
    Chunked,
}

pub fn read_head(from: &mut BufReader<UnixStream>) -> io::Result<(u16, Framing)> {
    let no_http = |line: &str| io::Error::new(io::ErrorKind::InvalidData, line.to_owned());
    let mut line = String::new();
    from.read_line(&mut line)?;
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| no_http(&line))?;
    let mut framing = None;
    loop {
        line.clear();
        from.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Ok((status, framing.ok_or_else(|| no_http("no framing"))?));
        }
        if let Some(length) = line.strip_prefix("Content-Length: ") {
            framing = Some(Framing::Length(length.parse().map_err(|_| no_http(line))?));
        }
        if line == "Transfer-Encoding: chunked" {
            framing = Some(Framing::Chunked);
        }
    }
}

fn read_chunks(from: &mut BufReader<UnixStream>) -> io::Result<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    while let Some(mut chunk) = read_chunk(from)? {
        if chunk.is_empty() {
            return Ok((body, true));
        }
        body.append(&mut chunk);
    }
    Ok((body, false))
}

/// The next chunk; an empty one is the last, and none is a connection that was cut.
pub fn read_chunk(from: &mut BufReader<UnixStream>) -> io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let Ok(size) = usize::from_str_radix(line.trim_end(), 16) else {
        return Ok(None);
    };
    let mut chunk = vec![0; size + 2];
    from.read_exact(&mut chunk)?;
    chunk.truncate(size);
    Ok(Some(chunk))
}
