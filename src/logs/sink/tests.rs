//! A sink against a real file.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn log_path(directory: &Path) -> LogPath {
    LogPath::new(&directory.display().to_string(), "main/0.log").expect("good")
}

fn sink(directory: &Path) -> Arc<LogSink> {
    Arc::new(LogSink::create(log_path(directory)).expect("created"))
}

/// The contents of a log file's lines, parts joined.
fn text(path: &Path) -> String {
    let bytes = std::fs::read(path).expect("reads");
    let mut text = String::new();
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let (content, is_last) = line::decode(line).expect("a CRI line");
        text.push_str(&String::from_utf8_lossy(content));
        if is_last {
            text.push('\n');
        }
    }
    text
}

fn fetch(sink: &Arc<LogSink>, log: &str, is_end: bool) -> Result<u64, Error> {
    let stream = sink.begin();
    for bytes in log.as_bytes().chunks(7) {
        stream.push(bytes)?;
    }
    stream.finish(is_end)
}

/// Fetches as often as a worker does for one that is not recognised.
fn fetch_until_known(sink: &Arc<LogSink>, log: &str, is_end: bool) {
    let known = (0..3).any(|_| fetch(sink, log, is_end).is_ok());
    assert!(known, "{log:?} is not recognised");
}

#[test]
fn each_line_comes_once_through_reconnects() {
    let dir = tempfile::tempdir().expect("dir");
    let (sink, file) = (sink(dir.path()), dir.path().join("main/0.log"));
    fetch(&sink, "one\ntw", false).expect("fetched");
    assert_eq!(text(&file), "one\n", "an incomplete line is held back");
    fetch(&sink, "one\ntwo\nthree\n", false).expect("fetched");
    fetch(&sink, "one\ntwo\nthree\n", false).expect("fetched");
    fetch(&sink, "one\ntwo\nthree\nend", true).expect("fetched");
    assert_eq!(text(&file), "one\ntwo\nthree\nend\n");
}

#[test]
fn a_last_log_that_is_shorter_loses_nothing() {
    let rows = [
        (
            "cut off",
            "one\ntwo\nthree\n",
            "one\ntwo\n",
            "one\ntwo\nthree\n",
        ),
        ("empty", "one\n", "", "one\n"),
        (
            "told twice before",
            "one\none\ntwo\n",
            "one\ntwo\n3\n",
            "one\none\ntwo\none\ntwo\n3\n",
        ),
    ];
    for (name, before, last, want) in rows {
        let dir = tempfile::tempdir().expect("dir");
        let (sink, file) = (sink(dir.path()), dir.path().join("main/0.log"));
        fetch(&sink, before, false).expect("fetched");
        fetch_until_known(&sink, last, true);
        assert_eq!(text(&file), want, "{name}");
    }
}

#[test]
fn a_prefix_that_grows_repeats_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let (sink, file) = (sink(dir.path()), dir.path().join("main/0.log"));
    fetch(&sink, "job 1\nout 1\n", false).expect("fetched");
    fetch(&sink, "job 1\njob 2\nout 1\nout 2\n", false).expect("fetched");
    fetch(&sink, "job 1\njob 2\njob 3\nout 1\nout 2\n", true).expect("fetched");
    assert_eq!(text(&file), "job 1\nout 1\njob 2\nout 2\njob 3\n");
}

#[test]
fn a_later_fetch_takes_over() {
    let dir = tempfile::tempdir().expect("dir");
    let sink = sink(dir.path());
    let follower = sink.begin();
    follower.push(b"one\n").expect("pushed");
    fetch(&sink, "one\ntwo\n", false).expect("fetched");
    assert!(matches!(follower.push(b"two\n"), Err(Error::Superseded)));
    assert_eq!(text(&dir.path().join("main/0.log")), "one\ntwo\n");
}

#[test]
fn a_shrunk_log_loses_nothing_and_another_one_is_written_whole() {
    let dir = tempfile::tempdir().expect("dir");
    let (sink, file) = (sink(dir.path()), dir.path().join("main/0.log"));
    fetch(&sink, "one\ntwo\n", false).expect("fetched");
    assert!(matches!(fetch(&sink, "one\n", false), Err(Error::Short)));
    let again = |log: &str| fetch(&sink, log, false);
    assert!(matches!(again("another\n"), Err(Error::Unrecognised)));
    // One wrong answer changes nothing.
    again("one\ntwo\nthree\n").expect("fetched");
    assert!(matches!(again("another\n"), Err(Error::Unrecognised)));
    assert!(matches!(again("another\nlog\n"), Err(Error::BegunAnew)));
    again("another\nlog\n").expect("fetched");
    assert_eq!(text(&file), "one\ntwo\nthree\nanother\nlog\n");
}

#[test]
fn a_log_that_begins_anew_is_shown_at_once_and_a_restart_repeats_nothing() {
    let dir = tempfile::tempdir().expect("dir");
    let (sink, file) = (sink(dir.path()), dir.path().join("main/0.log"));
    fetch(&sink, "start\nstep 1\nstep 2\nstep 3\n", false).expect("fetched");
    assert!(fetch(&sink, "start again\n", false).is_err());
    assert!(matches!(
        fetch(&sink, "start again\n", false),
        Err(Error::BegunAnew)
    ));
    let checkpoint = sink.take_checkpoint();
    fetch(&sink, "start again\nstep 1\n", false).expect("fetched");
    drop(sink);
    let again = LogSink::recover(log_path(dir.path()), checkpoint.as_deref()).expect("recovered");
    fetch(&Arc::new(again), "start again\nstep 1\nstep 2\n", true).expect("fetched");
    let want = "start\nstep 1\nstep 2\nstep 3\nstart again\nstep 1\nstep 2\n";
    assert_eq!(text(&file), want);
}

/// What the SLURM plugin shows of a job that is queued again: a new job.out, and what the container has
/// written in both runs.
#[test]
fn a_second_run_repeats_nothing_of_the_first() {
    let dir = tempfile::tempdir().expect("dir");
    let (sink, file) = (sink(dir.path()), dir.path().join("main/0.log"));
    let job = |node: &str| format!("This pod web/7 has been submitted to SLURM node {node}.\n");
    fetch(&sink, &format!("{}step 1\n", job("n1")), false).expect("fetched");
    fetch_until_known(&sink, &format!("{}step 1\nstep 1\n", job("node-2")), false);
    let want = [&job("n1"), "step 1\n", &job("node-2"), "step 1\n"].concat();
    assert_eq!(text(&file), want);
}

#[test]
fn after_a_rotation_all_goes_to_the_new_file() {
    let dir = tempfile::tempdir().expect("dir");
    let (sink, file) = (sink(dir.path()), dir.path().join("main/0.log"));
    let old = dir.path().join("main/0.log.20260101-000000");
    let stream = sink.begin();
    stream.push(b"one\n").expect("pushed");
    std::fs::rename(&file, &old).expect("renamed");
    stream.push(b"two\n").expect("pushed");
    let checkpoint = sink.reopen().expect("reopened");
    assert!(file.exists());
    stream.push(b"three\n").expect("pushed");
    assert_eq!(
        (text(&old), text(&file)),
        ("one\ntwo\n".into(), "three\n".into())
    );

    drop(sink);
    let again = LogSink::recover(log_path(dir.path()), checkpoint.as_deref()).expect("recovered");
    fetch(&Arc::new(again), "one\ntwo\nthree\nfour\n", false).expect("fetched");
    assert_eq!(text(&file), "three\nfour\n");
}

#[test]
fn a_damaged_checkpoint_is_no_worse_than_none() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("main/0.log");
    fetch(&sink(dir.path()), "one\ntwo\n", false).expect("fetched");
    let with =
        |position: &str| format!(r#"{{"position":{position},"device":0,"inode":0,"length":0}}"#);
    for checkpoint in [
        "nothing".to_owned(),
        with(r#"{"bytes":18446744073709551615,"hash":0,"tail":[]}"#),
        with(r#"{"bytes":8,"hash":18446744073709551615,"tail":[]}"#),
    ] {
        let sink = LogSink::recover(log_path(dir.path()), Some(checkpoint.as_bytes()));
        let sink = Arc::new(sink.expect("recovered"));
        fetch(&sink, "one\ntwo\n", false).expect("fetched");
        assert_eq!(text(&file), "one\ntwo\n", "{checkpoint}");
    }
}

#[test]
fn no_log_asked_for_no_log_written() {
    let sink = Arc::new(LogSink::discard());
    assert!(fetch(&sink, "one\n", true).is_ok());
    assert!(sink.reopen().expect("nothing to reopen").is_none());
}

#[test]
fn binary_bytes_pass_through() {
    let dir = tempfile::tempdir().expect("dir");
    let sink = sink(dir.path());
    sink.begin().push(b"\xff\x00\x1b[m\r\n").expect("pushed");
    let bytes = std::fs::read(dir.path().join("main/0.log")).expect("reads");
    assert!(bytes.ends_with(b" stdout F \xff\x00\x1b[m\r\n"));
}

proptest! {
    /// Fetches that break off anywhere, restarts with a checkpoint of any age, rotations,
    /// and a last line that a crash has torn.
    #[test]
    fn nothing_is_lost_or_repeated(
        lines in proptest::collection::vec("[ab]{0,4}", 1..20),
        steps in proptest::collection::vec((0_usize..90, 0_u8..5), 1..12),
    ) {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("main/0.log");
        let log: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let mut checkpoint = None;
        let mut sink = sink(dir.path());
        for (number, (length, action)) in steps.into_iter().enumerate() {
            let _ = fetch(&sink, &log[..length.min(log.len())], false);
            match action {
                0 => checkpoint = sink.inner.lock().checkpoint(),
                1 => {
                    std::fs::rename(&file, dir.path().join(format!("main/0.log.{number:03}"))).expect("renamed");
                    checkpoint = sink.reopen().expect("reopened");
                }
                2 => {
                    let again = LogSink::recover(log_path(dir.path()), checkpoint.as_deref());
                    sink = Arc::new(again.expect("recovered"));
                }
                3 => {
                    // A crash in the middle of a write, after a rename that nobody answered.
                    std::fs::rename(&file, dir.path().join(format!("main/0.log.{number:03}"))).expect("renamed");
                    let _ = sink.begin().push(&log.as_bytes()[..0]);
                    let again = LogSink::recover(log_path(dir.path()), checkpoint.as_deref());
                    sink = Arc::new(again.expect("recovered"));
                }
                _ => {
                    use std::io::Write as _;
                    let mut torn = std::fs::OpenOptions::new().append(true).open(&file).expect("opens");
                    torn.write_all(b"2026-01-01T00:00:00Z stdout F tor").expect("writes");
                    let again = LogSink::recover(log_path(dir.path()), checkpoint.as_deref());
                    sink = Arc::new(again.expect("recovered"));
                }
            }
        }
        fetch(&sink, &log, true).expect("fetched");
        let mut files: Vec<_> = std::fs::read_dir(dir.path().join("main")).expect("lists")
            .map(|entry| entry.expect("entry").path()).collect();
        // The current file is the youngest; the rotated ones sort by their suffix.
        files.sort();
        files.rotate_left(1);
        let whole: String = files.iter().map(|path| text(path)).collect();
        prop_assert_eq!(whole, log);
    }
}
