//! JSON that another machine wrote, read piece by piece. A reader of the whole is all or nothing: one
//! field that is not as it should be spoils everything, and a tree of values takes many times the bytes
//! that came. Here a piece is a slice of the body, and nothing is copied but what is kept.
//!
//! Only the syntax of the outermost value is needed to find its elements. What lies within one may be
//! odd: a number that is too large, half a surrogate pair (Python's `json.dumps` writes that of bytes
//! that are no text), bytes that are no UTF-8.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// The most elements of a list, or fields of an object, that are read one by one. No answer that means well
/// has more, and ten million of three bytes each would keep a thread busy.
const MAX_PIECES: usize = 100_000;

/// What breaks a body off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The syntax is broken.
    #[error("{0}")]
    Syntax(String),
    /// More than anybody reads.
    #[error("a list or an object of more than {MAX_PIECES} elements")]
    TooMany,
    /// A value of another kind.
    #[error("{found} where {wanted} belongs")]
    Kind {
        /// What there is.
        found: &'static str,
        /// What should be there.
        wanted: &'static str,
    },
}

/// One value: a slice of the body, without the white space around it. Its syntax is that of JSON, but
/// for what a string or a number may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a>(&'a [u8]);

/// The elements of a list, or the values of an object with their names, one after the other. Nothing
/// comes after an error.
#[derive(Debug)]
pub struct Pieces<'a> {
    rest: &'a [u8],
    end: u8,
    count: usize,
}

impl<'a> Piece<'a> {
    /// The value that a whole body is.
    ///
    /// # Errors
    /// No JSON, or more than one value.
    pub fn of_body(body: &'a [u8]) -> Result<Self, Error> {
        let (piece, rest) = split(body)?;
        match rest.trim_ascii().is_empty() {
            true => Ok(piece),
            false => Err(Error::Syntax("more follows after the value".to_owned())),
        }
    }

    /// The value as it is written.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The elements of a list; those of `null` are none.
    ///
    /// # Errors
    /// Neither.
    pub fn list(self) -> Result<Pieces<'a>, Error> {
        self.pieces(b'[', b']', "a list")
    }

    /// The values of an object with their names; those of `null` are none.
    ///
    /// # Errors
    /// Neither.
    pub fn object(self) -> Result<Pieces<'a>, Error> {
        self.pieces(b'{', b'}', "an object")
    }

    /// The value of an object's field, the last one of this name; none where there is none.
    ///
    /// # Errors
    /// No object.
    pub fn field(self, wanted: &str) -> Result<Option<Piece<'a>>, Error> {
        let mut fields = self.object()?;
        let mut found = None;
        while let Some((name, value)) = fields.next_field()? {
            if name == wanted {
                found = Some(value).filter(|value| !value.is_null());
            }
        }
        Ok(found)
    }

    fn pieces(self, begin: u8, end: u8, wanted: &'static str) -> Result<Pieces<'a>, Error> {
        let rest = match self.0.split_first() {
            Some((first, rest)) if *first == begin => rest,
            _ if self.is_null() => b"",
            _ => {
                let found = self.kind();
                return Err(Error::Kind { found, wanted });
            }
        };
        Ok(Pieces {
            rest,
            end,
            count: 0,
        })
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.0 == b"null"
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.0.starts_with(b"{")
    }

    /// The text of a string; the digits of a number; nothing for `null`. What is no text in it becomes
    /// U+FFFD.
    ///
    /// # Errors
    /// Any other value.
    pub fn text(self) -> Result<Cow<'a, str>, Error> {
        match self.0 {
            [b'"', inner @ .., b'"'] if inner.contains(&b'\\') => Ok(unescape(inner).into()),
            [b'"', inner @ .., b'"'] => Ok(String::from_utf8_lossy(inner)),
            [b'0'..=b'9' | b'-', ..] => Ok(String::from_utf8_lossy(self.0)),
            _ if self.is_null() => Ok("".into()),
            _ => Err(Error::Kind {
                found: self.kind(),
                wanted: "a text",
            }),
        }
    }

    /// A whole number, also one that is written as a text (`"1"`) or as a fraction (`1.0`). One that
    /// is too large is the largest there is; `null` is none.
    ///
    /// # Errors
    /// Anything else, also a number that is not whole.
    pub fn whole_number(self) -> Result<Option<i32>, Error> {
        let text = self.text()?;
        let text = text.trim();
        if text.is_empty() && self.is_null() {
            return Ok(None);
        }
        let is_decimal =
            |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let number = text.parse::<f64>().ok();
        let number = number
            .filter(|it| text.bytes().all(is_decimal) && (it.fract() == 0.0 || it.is_infinite()));
        // From f64 to i32, `as` gives the nearest one.
        let number = number.map(|number| number as i32);
        number.map(Some).ok_or(Error::Kind {
            found: self.kind(),
            wanted: "a whole number",
        })
    }

    fn kind(self) -> &'static str {
        match self.0.first() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a text",
            Some(b't' | b'f') => "true or false",
            Some(b'n') => "null",
            Some(_) => "a number",
            None => "nothing",
        }
    }
}

impl<'a> Pieces<'a> {
    /// The next element of a list.
    ///
    /// # Errors
    /// Broken syntax.
    pub fn next_element(&mut self) -> Result<Option<Piece<'a>>, Error> {
        if !self.has_next()? {
            return Ok(None);
        }
        let (piece, rest) = split(self.rest)?;
        self.rest = rest;
        Ok(Some(piece))
    }

    /// The next value of an object, and its name.
    ///
    /// # Errors
    /// Broken syntax.
    pub fn next_field(&mut self) -> Result<Option<(Cow<'a, str>, Piece<'a>)>, Error> {
        let Some(name) = self.next_element()? else {
            return Ok(None);
        };
        let rest = self.rest.trim_ascii_start();
        let value = match (name.0.first(), rest.split_first()) {
            (Some(b'"'), Some((b':', value))) => value,
            _ => return Err(self.broken("no name and value")),
        };
        let (piece, rest) = split(value)?;
        self.rest = rest;
        Ok(Some((name.text()?, piece)))
    }

    /// Goes to where the next piece begins; false at the end.
    fn has_next(&mut self) -> Result<bool, Error> {
        let rest = self.rest.trim_ascii_start();
        let is_first = self.count == 0;
        self.count += 1;
        if self.count > MAX_PIECES && !rest.starts_with(&[self.end]) {
            self.rest = b"";
            return Err(Error::TooMany);
        }
        match rest.split_first() {
            // That of `null`.
            None if is_first => return Ok(false),
            Some((byte, _)) if *byte == self.end => {
                self.rest = rest;
                return Ok(false);
            }
            Some((b',', after)) if !is_first => self.rest = after,
            Some(_) if is_first => self.rest = rest,
            _ => return Err(self.broken("no comma")),
        }
        Ok(true)
    }

    fn broken(&mut self, what: &str) -> Error {
        self.rest = b"";
        Error::Syntax(format!("{what} where one belongs"))
    }
}

/// The value that a text begins with, and what follows.
fn split(text: &[u8]) -> Result<(Piece<'_>, &[u8]), Error> {
    let text = text.trim_ascii_start();
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => {
            let (value, rest) = text.split_at(values.byte_offset());
            Ok((Piece(value), rest))
        }
        Some(Err(error)) => Err(Error::Syntax(error.to_string())),
        None => Err(Error::Syntax("no value where one belongs".to_owned())),
    }
}

/// The text that an escaped one stands for. Half a surrogate pair, and what is no UTF-8, become U+FFFD.
fn unescape(escaped: &[u8]) -> String {
    let mut text = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        text.push_str(&String::from_utf8_lossy(&rest[..at]));
        let (c, length) = escape(&rest[at..]);
        text.push(c);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    text.push_str(&String::from_utf8_lossy(rest));
    text
}

/// The character of the escape that a text begins with, and its length in bytes.
fn escape(text: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let simple = match text.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => {
            let units = [unit(0), unit(6)].map(Option::unwrap_or_default);
            let mut chars = char::decode_utf16(units);
            return match chars.next() {
                Some(Ok(c)) => (c, 6 * c.len_utf16()),
                _ => (char::REPLACEMENT_CHARACTER, 6),
            };
        }
        Some(byte) => char::from(*byte),
        None => char::REPLACEMENT_CHARACTER,
    };
    (simple, 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn elements(body: &str) -> Result<Vec<String>, Error> {
        let mut pieces = Piece::of_body(body.as_bytes())?.list()?;
        let mut found = Vec::new();
        while let Some(piece) = pieces.next_element()? {
            found.push(String::from_utf8_lossy(piece.0).into_owned());
        }
        Ok(found)
    }

    #[test]
    fn a_list_is_its_elements() {
        for (body, want) in [
            ("[]", vec![]),
            (" [ ] ", vec![]),
            ("null", vec![]),
            ("[1]", vec!["1"]),
            (
                "[ 1 , \"a,]\" ,[2],{\"b\":[]} ]",
                vec!["1", "\"a,]\"", "[2]", "{\"b\":[]}"],
            ),
            // What is odd within one leaves the others alone.
            (
                "[\"\\udc80\",1e999,null]",
                vec!["\"\\udc80\"", "1e999", "null"],
            ),
        ] {
            assert_eq!(
                elements(body),
                Ok(want.into_iter().map(str::to_owned).collect()),
                "{body}"
            );
        }
        for body in [
            "", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]]", "{}", "7", "\"a\"", "[1],",
            "[tru]",
        ] {
            assert!(elements(body).is_err(), "{body}");
        }
    }

    #[test]
    fn nobody_reads_more_elements_than_there_are_in_any_good_answer() {
        let list = |count: usize| format!("[{}1]", "1,".repeat(count - 1));
        let all = elements(&list(MAX_PIECES)).expect("that many");
        assert_eq!(all.len(), MAX_PIECES);
        assert_eq!(elements(&list(MAX_PIECES + 1)), Err(Error::TooMany));
    }

    #[test]
    fn an_object_is_its_fields() {
        let body = br#" {"a": 1, "\u0062":{"c":[]} , "a":null} "#;
        let mut fields = Piece::of_body(body).and_then(Piece::object).unwrap();
        let mut found = Vec::new();
        while let Some((name, value)) = fields.next_field().unwrap() {
            found.push((
                name.into_owned(),
                String::from_utf8_lossy(value.0).into_owned(),
            ));
        }
        let want = [("a", "1"), ("b", "{\"c\":[]}"), ("a", "null")];
        assert_eq!(
            found,
            want.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        for body in [
            "[]",
            "1",
            "{1:2}",
            "{\"a\"}",
            "{\"a\" 1}",
            "{\"a\":}",
            "{\"a\":1,}",
        ] {
            let fields = Piece::of_body(body.as_bytes()).and_then(Piece::object);
            let broken = fields.and_then(|mut fields| {
                while fields.next_field()?.is_some() {}
                Ok(())
            });
            assert!(broken.is_err(), "{body}");
        }
    }

    #[test]
    fn texts_are_read_whatever_they_hold() {
        for (raw, want) in [
            (&br#""plain""#[..], Some("plain")),
            (br#""""#, Some("")),
            (br#""a\n\"\\\/\u00e9\ud83d\ude00""#, Some("a\n\"\\/é😀")),
            (br#""\udc80x""#, Some("\u{fffd}x")),
            (br#""\ud83dx""#, Some("\u{fffd}x")),
            (b"\"a\xffb\"", Some("a\u{fffd}b")),
            (b"\"a\\n\xffb\"", Some("a\n\u{fffd}b")),
            (b"4711", Some("4711")),
            (b"-1.5", Some("-1.5")),
            (b"null", Some("")),
            (b"true", None),
            (b"[]", None),
            (b"{}", None),
        ] {
            let text = Piece::of_body(raw).and_then(|piece| Ok(piece.text()?.into_owned()));
            assert_eq!(
                text.ok().as_deref(),
                want,
                "{}",
                String::from_utf8_lossy(raw)
            );
        }
    }

    #[test]
    fn numbers_are_read_however_they_are_written() {
        for (raw, want) in [
            ("0", Some(Some(0))),
            ("-1", Some(Some(-1))),
            ("0.0", Some(Some(0))),
            ("1e1", Some(Some(10))),
            ("\"1\"", Some(Some(1))),
            ("\" 137 \"", Some(Some(137))),
            ("\"1.0\"", Some(Some(1))),
            ("4294967295", Some(Some(i32::MAX))),
            ("-99999999999999999999999", Some(Some(i32::MIN))),
            ("1e999", Some(Some(i32::MAX))),
            ("null", Some(None)),
            ("\"\"", None),
            ("0.5", None),
            ("\"nan\"", None),
            ("\"inf\"", None),
            ("\"one\"", None),
            ("true", None),
            ("{}", None),
        ] {
            let number = Piece::of_body(raw.as_bytes()).and_then(Piece::whole_number);
            assert_eq!(number.ok(), want, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn texts_come_through(text in "\\PC{0,20}[\n\"\\\\]{0,3}\\PC{0,20}") {
            let written = serde_json::to_string(&text).unwrap();
            let read = Piece::of_body(written.as_bytes()).unwrap();
            prop_assert_eq!(read.text().unwrap(), text);
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let (inner, _) = (unescape(&bytes), escape(&bytes));
            prop_assert!(inner.len() <= 3 * bytes.len());
            if let Ok(piece) = Piece::of_body(&bytes) {
                let _ = (piece.text().is_ok(), piece.whole_number().is_ok());
            }
        }
    }
}
