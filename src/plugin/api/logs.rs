//! Container logs: which part of the file is wanted, and following it as it grows.
//!
//! The file holds what the container wrote to stdout and stderr, in its order, with no times in
//! it. So `Timestamps` is ignored, as plugins do, and `SinceSeconds` and `SinceTime` can only
//! tell a log that was last written before that time, of which nothing is sent.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    time::{Duration, SystemTime},
};

use jiff::Timestamp;

use crate::{
    interlink::wire::{LogOpts, LogStruct, ZERO_TIME},
    plugin::{
        backend::ContainerLog,
        http::{BodyWriter, Responder},
        pods::is_pod_uid,
        refusal::Refusal,
    },
    text::is_dns_label,
};

/// How often a followed log is looked at for more.
const POLL: Duration = Duration::from_millis(50);
/// How much of a log is read at once.
const BLOCK: usize = 64 * 1024;

/// Which part of a log is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogRange {
    part: LogPart,
    since: Option<SystemTime>,
    follow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogPart {
    All,
    Lines(u64),
    Bytes(u64),
}

/// Checks a request as the interLink server does (0.6, 0.7), and a little more.
pub(super) fn check(request: &LogStruct, now: Timestamp) -> Result<LogRange, Refusal> {
    if !is_pod_uid(&request.pod_uid) {
        let text = format!("PodUID `{}` is not a lower-case UUID", request.pod_uid);
        return Err(Refusal::invalid(text));
    }
    for (key, name) in [
        ("Namespace", &request.namespace),
        ("ContainerName", &request.container_name),
    ] {
        if !is_dns_label(name) {
            let text = format!("{key} `{name}` is not a DNS label");
            return Err(Refusal::invalid(text));
        }
    }
    let opts = &request.opts;
    if opts.previous {
        let text = "there is no previous log: every container runs once";
        return Err(Refusal::invalid(text));
    }
    let count = |key: &str, value: i64| {
        u64::try_from(value).map_err(|_| Refusal::invalid(format!("{key} is negative")))
    };
    let part = match (count("Tail", opts.tail)?, count("Bytes", opts.bytes)?) {
        (0, 0) => LogPart::All,
        (lines, 0) => LogPart::Lines(lines),
        (0, bytes) => LogPart::Bytes(bytes),
        _ => return Err(Refusal::invalid("Tail and Bytes exclude each other")),
    };
    Ok(LogRange {
        part,
        since: since(opts, now)?,
        follow: opts.follow,
    })
}

fn since(opts: &LogOpts, now: Timestamp) -> Result<Option<SystemTime>, Refusal> {
    let time = match (opts.since_seconds, opts.since_time.as_str()) {
        (0, "" | ZERO_TIME) => return Ok(None),
        (0, time) => time.parse::<Timestamp>().map_err(|error| {
            let text = format!("SinceTime `{time}` is no RFC 3339 time: {error}");
            Refusal::invalid(text)
        })?,
        (..0, _) => return Err(Refusal::invalid("SinceSeconds is negative")),
        (seconds, "" | ZERO_TIME) => {
            let span = jiff::SignedDuration::from_secs(seconds);
            now.saturating_sub(span).unwrap_or(Timestamp::MIN)
        }
        _ => {
            let text = "SinceSeconds and SinceTime exclude each other";
            return Err(Refusal::invalid(text));
        }
    };
    Ok(Some(time.into()))
}

/// Answers with a log. A follower whose pod is deleted gets all that was written.
///
/// # Errors
/// The client is gone, or the log cannot be read to its end; then neither does the answer end.
pub(super) fn answer(log: ContainerLog, range: LogRange, responder: Responder) -> io::Result<()> {
    let mut file = log.file;
    let begin = begin(&mut file, range)?;
    file.seek(SeekFrom::Start(begin))?;
    let mut body = responder.stream(200, "text/plain; charset=utf-8")?;
    loop {
        // In this order: what is written before the end is read after it.
        let is_last = !range.follow || (log.is_complete)();
        send_rest(&mut file, &mut body)?;
        if is_last {
            return body.finish();
        }
        if !body.pause(POLL) {
            return Ok(());
        }
    }
}

/// Sends what is there now, and does not run after a container that writes faster.
fn send_rest(file: &mut File, body: &mut BodyWriter) -> io::Result<()> {
    let mut left = file
        .metadata()?
        .len()
        .saturating_sub(file.stream_position()?);
    let mut block = vec![0_u8; usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK))];
    while left > 0 {
        let length = match file.read(&mut block)? {
            // Truncated by somebody.
            0 => return Ok(()),
            length => length,
        };
        body.write_all(&block[..length])?;
        left = left.saturating_sub(length as u64);
    }
    Ok(())
}

/// The offset of the first byte that is wanted.
fn begin(file: &mut File, range: LogRange) -> io::Result<u64> {
    let meta = file.metadata()?;
    let length = meta.len();
    if range
        .since
        .is_some_and(|since| meta.modified().is_ok_and(|time| time < since))
    {
        return Ok(length);
    }
    match range.part {
        LogPart::All => Ok(0),
        LogPart::Bytes(bytes) => Ok(length.saturating_sub(bytes)),
        LogPart::Lines(lines) => begin_of_lines(file, length, lines),
    }
}

/// Where the last `lines` lines begin; a last line without an end counts.
fn begin_of_lines(file: &mut File, length: u64, lines: u64) -> io::Result<u64> {
    let mut block = vec![0_u8; BLOCK];
    let mut end = length;
    let mut ends_seen = 0;
    while end > 0 {
        let size = end.min(BLOCK as u64);
        let begin = end - size;
        let block = &mut block[..usize::try_from(size).unwrap_or(BLOCK)];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(block)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            let next = begin + at as u64 + 1;
            // The end of the last line separates nothing.
            if next == length {
                continue;
            }
            ends_seen += 1;
            if ends_seen == lines {
                return Ok(next);
            }
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(opts: LogOpts) -> LogStruct {
        LogStruct {
            namespace: "lab".to_owned(),
            pod_uid: "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10".to_owned(),
            pod_name: "p".to_owned(),
            container_name: "main".to_owned(),
            opts,
        }
    }

    #[test]
    fn requests_are_checked_as_the_server_does() {
        let good = request(LogOpts::default());
        assert!(check(&good, Timestamp::now()).is_ok());
        let opts = |change: fn(&mut LogOpts)| {
            let mut opts = LogOpts::default();
            change(&mut opts);
            request(opts)
        };
        let with = |change: fn(&mut LogStruct)| {
            let mut request = good.clone();
            change(&mut request);
            request
        };
        for (request, want) in [
            (
                with(|r| r.pod_uid = "../../etc".into()),
                "not a lower-case UUID",
            ),
            (with(|r| r.namespace = "..".into()), "Namespace `..`"),
            (
                with(|r| r.container_name = "a/b".into()),
                "ContainerName `a/b`",
            ),
            (opts(|o| (o.tail, o.bytes) = (1, 1)), "Tail and Bytes"),
            (opts(|o| o.tail = -1), "Tail is negative"),
            (opts(|o| o.bytes = -1), "Bytes is negative"),
            (opts(|o| o.since_seconds = -1), "SinceSeconds is negative"),
            (
                opts(|o| o.since_time = "noon".into()),
                "`noon` is no RFC 3339",
            ),
            (
                opts(|o| {
                    o.since_seconds = 1;
                    o.since_time = "2026-01-01T00:00:00Z".into();
                }),
                "SinceSeconds and SinceTime",
            ),
            (opts(|o| o.previous = true), "no previous log"),
        ] {
            let text = check(&request, Timestamp::now()).unwrap_err().to_string();
            assert!(text.contains(want), "{text} / {want}");
        }
        for since_time in ["2026-01-01T00:00:00Z", "2026-01-01T01:02:03.004+02:00", ""] {
            let opts = LogOpts {
                since_time: since_time.to_owned(),
                ..LogOpts::default()
            };
            assert!(
                check(&request(opts), Timestamp::now()).is_ok(),
                "{since_time}"
            );
        }
        let far = opts(|o| o.since_seconds = i64::MAX);
        assert!(check(&far, Timestamp::now()).is_ok());
    }

    fn part_of(text: &[u8], part: LogPart, since: Option<SystemTime>) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let range = LogRange {
            part,
            since,
            follow: false,
        };
        let begin = begin(&mut file, range).unwrap();
        text[usize::try_from(begin).unwrap()..].to_vec()
    }

    #[test]
    fn parts_of_a_log() {
        let text = b"one\ntwo\n\nfour\n";
        for (part, want) in [
            (LogPart::All, &text[..]),
            (LogPart::Bytes(3), b"ur\n"),
            (LogPart::Bytes(100), text),
            (LogPart::Lines(1), b"four\n"),
            (LogPart::Lines(2), b"\nfour\n"),
            (LogPart::Lines(3), b"two\n\nfour\n"),
            (LogPart::Lines(4), text),
            (LogPart::Lines(u64::MAX), text),
        ] {
            assert_eq!(part_of(text, part, None), want, "{part:?}");
        }
        assert_eq!(part_of(b"one\ntwo", LogPart::Lines(1), None), b"two");
        assert_eq!(part_of(b"", LogPart::Lines(1), None), b"");
        assert_eq!(part_of(b"\n", LogPart::Lines(1), None), b"\n");
        let long: Vec<u8> = (0..50_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        let last: Vec<u8> = (20_000..50_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        assert_eq!(part_of(&long, LogPart::Lines(30_000), None), last);
    }

    #[test]
    fn a_log_that_is_too_old_is_empty() {
        let hour = Duration::from_secs(3600);
        let now = SystemTime::now();
        assert_eq!(part_of(b"one\n", LogPart::All, Some(now - hour)), b"one\n");
        assert_eq!(part_of(b"one\n", LogPart::All, Some(now + hour)), b"");
    }
}
