//! What a line of the log looks like.

use std::{
    fmt::{self, Write as _},
    io::{self, Write},
    os::fd::AsFd as _,
};

use log::{
    kv::{self, Key, Value, VisitSource},
    Level, Record,
};
use serde::{
    ser::{SerializeMap as _, Serializer as _},
    Serialize,
};

use super::scope::Fields;
use crate::text;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// A JSON object for each line, instead of text.
    pub is_json: bool,
    /// The journal reads them: it has a time of its own for each, and takes their priority from a prefix
    /// (`SyslogLevelPrefix` in systemd.exec(5)).
    pub is_for_journal: bool,
}

impl Format {
    /// Writes a record as one line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(
        self,
        out: &mut env_logger::fmt::Formatter,
        record: &Record<'_>,
    ) -> io::Result<()> {
        let time = out.timestamp_millis().to_string();
        let scope = Fields::current();
        let line = Line::new(record, &scope);
        if self.is_for_journal {
            write!(out, "<{}>", priority(record.level()))?;
        }
        if self.is_json {
            return writeln!(out, "{}", line.json(&time)?);
        }
        if !self.is_for_journal {
            let (level, style) = (record.level(), out.default_level_style(record.level()));
            write!(out, "[{time} {style}{level:<5}{style:#}] ")?;
        }
        writeln!(out, "{}", line.text())
    }
}

/// Priorities of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Whether standard error is the journal. `JOURNAL_STREAM` has the device and inode of what systemd gave to
/// the process that it started; a child of that with another standard error inherits the variable.
pub fn is_journal(journal_stream: Option<&str>) -> bool {
    let Some((device, inode)) = journal_stream.and_then(|stream| stream.split_once(':')) else {
        return false;
    };
    let is = rustix::fs::fstat(io::stderr().as_fd());
    is.is_ok_and(|is| is.st_dev.to_string() == device && is.st_ino.to_string() == inode)
}

/// What a line says.
struct Line<'a> {
    record: &'a Record<'a>,
    fields: Vec<(Key<'a>, Value<'a>)>,
}

impl<'a> Line<'a> {
    fn new(record: &'a Record<'a>, scope: &'a Fields) -> Self {
        let mut fields: Vec<_> = scope
            .iter()
            .map(|(key, value)| (Key::from_str(key), Value::from(value)))
            .collect();
        // It cannot fail: the visitor does not.
        let _ = record.key_values().visit(&mut Added(&mut fields));
        fields.retain(|(key, value)| !is_nothing(key, value));
        Self { record, fields }
    }

    fn get(&self, key: &str) -> Option<&Value<'a>> {
        let found = self.fields.iter().find(|(other, _)| other.as_str() == key);
        found.map(|(_, value)| value)
    }

    /// For people: what it is about comes first, and what went wrong after the message.
    fn text(&self) -> String {
        let mut line = String::new();
        // A `String` takes everything.
        let _ = self.write_text(&mut line);
        match line.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
            true => line,
            // Foreign texts begin no line of their own, and hide nothing.
            false => text::for_terminal(&line.replace(['\n', '\t'], " ")),
        }
    }

    fn write_text(&self, line: &mut String) -> fmt::Result {
        if let Some(container) = self.get("container") {
            write!(line, "container {container} of ")?;
        }
        if let (Some(namespace), Some(pod)) = (self.get("namespace"), self.get("pod")) {
            write!(line, "pod {namespace}/{pod}: ")?;
        }
        write!(line, "{}", self.record.args())?;
        if let Some(error) = self.get("error") {
            write!(line, ": {error}")?;
        }
        for (key, value) in &self.fields {
            match key.as_str() {
                "namespace" | "pod" | "container" | "error" => {}
                // As long as in tables.
                "sandbox" | "container_id" => {
                    write!(line, " {key}={}", text::beginning(&value.to_string(), 12))?;
                }
                key => write_pair(line, key, &value.to_string())?,
            }
        }
        Ok(())
    }

    fn json(&self, time: &str) -> serde_json::Result<String> {
        let mut line = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut line);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", time)?;
        let level = self.record.level().as_str().to_ascii_lowercase();
        map.serialize_entry("level", &level)?;
        map.serialize_entry("target", self.record.target())?;
        map.serialize_entry("message", &self.record.args().to_string())?;
        for (key, value) in &self.fields {
            map.serialize_entry(key.as_str(), &Json(value))?;
        }
        map.end()?;
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

fn is_nothing(key: &Key<'_>, value: &Value<'_>) -> bool {
    value.to_borrowed_str().is_some_and(str::is_empty)
        || key.as_str() == "held_back" && value.to_u64() == Some(0)
}

fn write_pair(line: &mut String, key: &str, value: &str) -> fmt::Result {
    let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '=');
    match !value.is_empty() && value.chars().all(is_plain) {
        true => write!(line, " {key}={value}"),
        false => write!(line, " {key}={value:?}"),
    }
}

/// Collects key-values; of a key that comes twice the last value counts.
struct Added<'b, 'a>(&'b mut Vec<(Key<'a>, Value<'a>)>);

impl<'a> VisitSource<'a> for Added<'_, 'a> {
    fn visit_pair(&mut self, key: Key<'a>, value: Value<'a>) -> Result<(), kv::Error> {
        self.0.retain(|(other, _)| *other != key);
        self.0.push((key, value));
        Ok(())
    }
}

/// A value as JSON: numbers and booleans as such, all else as text.
struct Json<'a>(&'a Value<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.0;
        if let Some(text) = value.to_borrowed_str() {
            serializer.serialize_str(text)
        } else if let Some(number) = value.to_u64() {
            serializer.serialize_u64(number)
        } else if let Some(number) = value.to_i64() {
            serializer.serialize_i64(number)
        } else if let Some(number) = value.to_f64() {
            serializer.serialize_f64(number)
        } else if let Some(truth) = value.to_bool() {
            serializer.serialize_bool(truth)
        } else {
            serializer.collect_str(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{daemon_log::Scope, plan::testing};

    /// The line of a record with some key-values, as text and as JSON.
    fn lines(message: fmt::Arguments<'_>, pairs: &[(&str, Value<'_>)]) -> (String, String) {
        let record = Record::builder()
            .level(Level::Warn)
            .target("interlink_cri::test")
            .key_values(&pairs)
            .args(message)
            .build();
        let scope = Fields::current();
        let line = Line::new(&record, &scope);
        (line.text(), line.json("now").expect("JSON"))
    }

    #[test]
    fn a_line_says_what_it_is_about() {
        let pod = testing::pod(&["main"]);
        let _scope = Scope::of_container(&pod, &pod.containers[0]);
        let pairs = [
            ("jid", Value::from("42")),
            ("elapsed_ms", Value::from(1.5)),
            ("exit_code", Value::from(-1)),
            ("reason", Value::from("two words")),
            ("held_back", Value::from(0_u64)),
            ("error", Value::from("no\nroom \u{202e}")),
        ];
        let (text, json) = lines(format_args!("it \"ends\""), &pairs);
        assert_eq!(
            text,
            "container main of pod lab/train: it \"ends\": no room \\u{202e} \
             pod_uid=0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10 sandbox=sandbox container_id=main-0 jid=42 \
             elapsed_ms=1.5 exit_code=-1 reason=\"two words\""
        );
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "time": "now", "level": "warn", "target": "interlink_cri::test",
                "message": "it \"ends\"", "error": "no\nroom \u{202e}",
                "namespace": "lab", "pod": "train", "pod_uid": "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10",
                "sandbox": "sandbox", "container": "main", "container_id": "main-0",
                "jid": "42", "elapsed_ms": 1.5, "exit_code": -1, "reason": "two words",
            })
        );
    }

    #[test]
    fn a_line_about_nothing_is_its_message() {
        let (text, json) = lines(format_args!("hello"), &[]);
        assert_eq!(text, "hello");
        assert!(json.ends_with(r#""message":"hello"}"#), "{json}");
    }

    #[test]
    fn the_journal_is_known_by_its_stream() {
        let is = rustix::fs::fstat(io::stderr()).expect("it is there");
        let own = format!("{}:{}", is.st_dev, is.st_ino);
        assert!(is_journal(Some(&own)));
        for other in [None, Some(""), Some("8:1"), Some("0:0")] {
            assert!(!is_journal(other), "{other:?}");
        }
    }
}
