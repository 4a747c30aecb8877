//! Which bytes are new, in rows and in any text.

use proptest::prelude::*;

use super::*;

fn position(text: &str) -> Position {
    let mut position = Position::default();
    position.advance(text.as_bytes());
    position
}

/// Feeds a fetch in chunks; returns what was inserted, what is new, and the end.
fn fetch(old: &Position, text: &[u8], chunk: usize) -> (Vec<u8>, Vec<u8>, End, Position) {
    let (mut inserted, mut new, mut at) = (Vec::new(), Vec::new(), old.clone());
    let mut resync = Resync::new(old);
    for bytes in text.chunks(chunk.max(1)) {
        for piece in resync.feed(bytes) {
            match piece {
                Piece::Inserted(bytes, position) => {
                    inserted.extend(bytes);
                    at = position;
                }
                Piece::New(bytes) => {
                    new.extend_from_slice(bytes);
                    at.advance(bytes);
                }
            }
        }
    }
    (inserted, new, resync.end(), at)
}

#[test]
fn rows() {
    let rows = [
        (
            "the first fetch",
            "",
            "a\nb\n",
            "",
            "a\nb\n",
            End::Recognised,
        ),
        ("nothing new", "a\nb\n", "a\nb\n", "", "", End::Recognised),
        (
            "more at the end",
            "a\nb\n",
            "a\nb\nc\n",
            "",
            "c\n",
            End::Recognised,
        ),
        ("cut short", "a\nb\n", "a\n", "", "", End::Short),
        ("gone", "a\nb\n", "", "", "", End::Short),
        (
            "a prefix that grew",
            "job\nout\n",
            "job\nmore\nout\n",
            "more\n",
            "",
            End::Recognised,
        ),
        (
            "a prefix that appeared",
            "out\n",
            "job\nout\n",
            "job\n",
            "",
            End::Recognised,
        ),
        (
            "grown on both ends",
            "job\nout\n",
            "job\nmore\nout\nnew\n",
            "more\n",
            "new\n",
            End::Recognised,
        ),
        (
            "repeated lines",
            "j\nx\nx\nx\n",
            "j\nk\nx\nx\nx\nx\n",
            "k\n",
            "x\n",
            End::Recognised,
        ),
        (
            "another log",
            "a\nb\n",
            "completely\ndifferent\n",
            "",
            "",
            End::Unrecognised,
        ),
        (
            "one that begins anew",
            "start\nstep 1\nstep 2\nstep 3\n",
            "start again\n",
            "",
            "",
            End::Unrecognised,
        ),
        (
            "anew, with the same first line",
            "start\nstep 1\nstep 2\n",
            "start\nother\n",
            "",
            "",
            End::Unrecognised,
        ),
        (
            "the same beginning",
            "start\nstep 1\nstep 2\n",
            "start\nst",
            "",
            "",
            End::Short,
        ),
    ];
    for (name, old, fresh, inserted, new, end) in rows {
        for chunk in [1, 3, 1000] {
            let got = fetch(&position(old), fresh.as_bytes(), chunk);
            let texts = (got.0.as_slice(), got.1.as_slice(), got.2);
            assert_eq!(
                texts,
                (inserted.as_bytes(), new.as_bytes(), end),
                "{name}, by {chunk}"
            );
            if end == End::Recognised {
                assert_eq!(
                    got.3,
                    position(fresh),
                    "{name}: the position is the fresh log's"
                );
            }
        }
    }
}

#[test]
fn whole_lines_are_rather_meant_than_parts_of_them() {
    for (old, fresh, inserted) in [
        ("job\nout\n", "job\nmore out\nout\n", "more out\n"),
        ("epoch 1\n", "epoch 11\nepoch 1\n", "epoch 11\n"),
        ("\n\n", "\na\n\n", "a\n"),
    ] {
        let got = fetch(&position(old), fresh.as_bytes(), 1000);
        let texts = (got.0.as_slice(), got.1.as_slice(), got.2);
        let want = (inserted.as_bytes(), &b""[..], End::Recognised);
        assert_eq!(texts, want, "{fresh:?}");
    }
    // With nothing behind it, a part of a line it must be.
    let got = fetch(&position("job\nout\n"), b"job\nmore out\nnew\n", 1000);
    assert_eq!(
        (got.0.as_slice(), got.1.as_slice()),
        (&b"more "[..], &b"new\n"[..])
    );
}

#[test]
fn a_hopeless_search_ends() {
    let old = position(&"old line\n".repeat(1000));
    let fresh = "another line\n".repeat(400_000);
    let (inserted, new, end, _) = fetch(&old, fresh.as_bytes(), 16 << 10);
    assert_eq!((inserted.len(), new.len(), end), (0, 0, End::Unrecognised));
}

#[test]
fn a_search_through_repeated_lines_is_bounded() {
    let old = position(&format!("a{}", "x\n".repeat(400_000)));
    let fresh = format!("b{}", "x\n".repeat(1_000_000));
    let (.., end, _) = fetch(&old, fresh.as_bytes(), 16 << 10);
    assert_eq!(end, End::Unrecognised);
}

fn lines() -> impl Strategy<Value = String> {
    proptest::collection::vec("[a-c]{0,3}", 0..12)
        .prop_map(|lines| lines.iter().map(|line| format!("{line}\n")).collect())
}

proptest! {
    #[test]
    fn every_byte_comes_once(
        job in lines(), grown in lines(), out in lines(), new in lines(), chunk in 1_usize..40,
    ) {
        let old = format!("{job}{out}");
        let fresh = format!("{job}{grown}{out}{new}");
        let (inserted, appended, end, at) = fetch(&position(&old), fresh.as_bytes(), chunk);
        prop_assert_eq!(end, End::Recognised);
        prop_assert_eq!(at, position(&fresh));
        // The bytes that were read before, inserted and appended are the fresh ones: with
        // repeated lines it cannot be told which of them are the new ones, and need not be.
        let mut got: Vec<u8> = [old.as_bytes(), &inserted, &appended].concat();
        let mut want = fresh.into_bytes();
        prop_assert_eq!(got.len(), want.len());
        got.sort_unstable();
        want.sort_unstable();
        prop_assert_eq!(got, want);
    }

    #[test]
    fn any_fetch_is_survived(old in lines(), fresh in proptest::collection::vec(any::<u8>(), 0..300), chunk in 1_usize..50) {
        let (_, _, end, _) = fetch(&position(&old), &fresh, chunk);
        prop_assert!(matches!(end, End::Recognised | End::Short | End::Unrecognised));
    }

    #[test]
    fn what_a_job_s_first_run_has_shown_is_not_new_in_its_second(
        first in lines(), second in lines(), out in lines(), new in lines(), chunk in 1_u8..40,
    ) {
        let parts = [first, second, out, new, String::new()].join("==");
        crate::plan::properties::resync(&[&[chunk], parts.as_bytes()].concat());
    }
}

fn slurm(text: &[u8]) -> bool {
    text.starts_with(b"This pod")
}

/// As the SLURM plugin's job script writes them: a fresh job.out, and a container's output that goes on.
#[test]
fn a_job_that_is_queued_again() {
    let first = "This pod web/7 has been submitted to SLURM node n1.\nat 10:00 Running a\n";
    let second = "This pod web/7 has been submitted to SLURM node n22.\nat 11:00 Running a\nand\n";
    let out = "x\nx\nx\n";
    for chunk in [1, 7, 1000] {
        let old = position(&format!("{first}{out}"));
        let mut resync = Resync::with_own_beginning(&old, slurm);
        let fresh = format!("{second}{out}x\ny\n");
        for bytes in fresh.as_bytes().chunks(chunk) {
            assert!(resync.feed(bytes).is_empty());
        }
        assert_eq!(resync.end(), End::Replaced);
        let want = (
            second.as_bytes().to_vec(),
            position(&format!("{second}{out}")),
        );
        assert_eq!(resync.replaced(), Some(want));
    }
    // A log of any other kind may say the same again.
    let mut resync = Resync::new(&position("start\nstep 1\n"));
    assert!(resync.feed(b"start again\nstep 1\n").is_empty());
    assert_eq!(resync.end(), End::Unrecognised);
}

#[test]
fn a_position_kept_by_an_earlier_version_is_taken_up() {
    let kept = serde_json::to_value(position("job\nout\n")).expect("JSON");
    let old =
        serde_json::json!({"bytes": kept["bytes"], "hash": kept["hash"], "tail": kept["tail"]});
    let mut old: Position = serde_json::from_value(old).expect("a position");
    old.advance(b"new\n");
    assert!(old.is_sound());
    let (inserted, new, end, _) = fetch(&old, b"job\nmore\nout\nnew\nnewer\n", 5);
    assert_eq!(
        (inserted.as_slice(), new.as_slice()),
        (&b"more\n"[..], &b"newer\n"[..])
    );
    assert_eq!(end, End::Recognised);
}
