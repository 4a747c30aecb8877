//! What containers do: each leaves a mark in the ledger, writes a log that can be foretold, and
//! ends as planned.

use std::path::Path;

use fastrand::Rng;

/// One container's doings.
#[derive(Clone, Debug)]
pub struct Script {
    /// What it writes into the ledger: unique to one start.
    pub tag: String,
    lines: u32,
    pause: &'static str,
    /// Its exit code; none for one that goes on until it is stopped.
    pub code: Option<i32>,
}

impl Script {
    /// Something that ends, soon or after a while.
    pub fn ending(tag: String, rng: &mut Rng) -> Self {
        let (lines, pause) = match rng.u32(0..10) {
            0..=3 => (rng.u32(0..5), ""),
            4..=5 => (rng.u32(500..3000), ""),
            6..=8 => (rng.u32(2..8), "0.2"),
            _ => (rng.u32(2..6), "1"),
        };
        let code = if rng.bool() { 0 } else { rng.i32(1..200) };
        Self {
            tag,
            lines,
            pause,
            code: Some(code),
        }
    }

    /// Something that has to be stopped.
    pub fn endless(tag: String) -> Self {
        Self {
            tag,
            lines: 3,
            pause: "",
            code: None,
        }
    }

    /// It as a command.
    pub fn command(&self, ledger: &Path) -> Vec<String> {
        let Self {
            tag, lines, pause, ..
        } = self;
        let pause = match *pause {
            "" => String::new(),
            seconds => format!("sleep {seconds};"),
        };
        let end = match self.code {
            Some(code) => format!("exit {code}"),
            None => "exec sleep 3600".to_owned(),
        };
        let ledger = ledger.display();
        let text = format!(
            "echo {tag} >>{ledger}; i=0; while [ $i -lt {lines} ]; do \
             echo \"line $i of {tag}\"; i=$((i+1)); {pause} done; {end}"
        );
        vec!["sh".into(), "-c".into(), text]
    }

    /// The whole log.
    pub fn log(&self) -> String {
        let tag = &self.tag;
        (0..self.lines)
            .map(|i| format!("line {i} of {tag}\n"))
            .collect()
    }
}
