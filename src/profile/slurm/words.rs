//! The words that sbatch sees of the flags in an annotation.
//!
//! A text goes through several hands, and not through the same ones in every version of the plugin: it
//! takes the annotation apart, writes a line `#SBATCH FLAG` for each flag, and sbatch takes each line
//! apart again. So a text has several readings, and something is safe only if it is so in all of them.

/// The readings of a text that do not end with an error. Each is the list of words that `getopt_long`
/// gets.
pub fn readings(text: &str) -> Vec<Vec<String>> {
    let lines = [
        // interlink-slurm-plugin at f8451d9: prepare.go, `splitSlurmFlags`.
        quoted_flags(text),
        // Before that (seen in 0.3): `strings.Split(slurmFlags, " ")`.
        text.split(' ').map(str::to_owned).collect(),
        // As one line, and what a user of sbatch would expect.
        vec![text.to_owned()],
    ];
    let mut readings = Vec::new();
    for lines in lines {
        let words: Option<Vec<_>> = lines.iter().map(|line| sbatch_words(line)).collect();
        readings.extend(words.map(|words| words.concat()));
    }
    readings
}

/// The flags of a text, each with the words up to the next one, without the quotes that the text has:
/// prepare.go, `splitShellWords` and `splitSlurmFlags`.
fn quoted_flags(text: &str) -> Vec<String> {
    let mut flags: Vec<String> = Vec::new();
    for token in shell_words(text) {
        match flags.last_mut() {
            Some(flag) if !token.starts_with('-') && flag.starts_with('-') => {
                flag.push(' ');
                flag.push_str(&token);
            }
            _ => flags.push(token),
        }
    }
    flags
}

fn shell_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let (mut single, mut double, mut escaping) = (false, false, false);
    for letter in text.chars() {
        match letter {
            _ if escaping => {
                word.get_or_insert_default().push(letter);
                escaping = false;
            }
            '\\' if !single => {
                escaping = true;
                word.get_or_insert_default();
            }
            '\'' if !double => {
                single = !single;
                word.get_or_insert_default();
            }
            '"' if !single => {
                double = !double;
                word.get_or_insert_default();
            }
            _ if letter.is_whitespace() && !single && !double => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    if escaping {
        word.get_or_insert_default().push('\\');
    }
    words.extend(word);
    words
}

/// The words of a line after `#SBATCH`, as `get_argument` of src/sbatch/opt.c in SchedMD/slurm takes
/// them; none where sbatch gives up. After a backslash it takes the next letter as it is, quotes and
/// spaces included, but no other blank. Nothing but a pair of quotes ends the line for it; here that is
/// an empty word, which is neither a flag nor a value.
fn sbatch_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut letters = line.chars().peekable();
    loop {
        while letters.next_if(|letter| is_blank(*letter)).is_some() {}
        match letters.peek() {
            None => return Some(words),
            // "Unexpected `:`"
            Some(':') => return None,
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote = None;
        let mut is_comment = false;
        while let Some(letter) = letters.next_if(|letter| quote.is_some() || !is_blank(*letter)) {
            match (letter, quote) {
                ('\\', _) => {
                    let is_taken =
                        |next: &char| quote.is_some() || *next == ' ' || !is_blank(*next);
                    word.extend(letters.next_if(is_taken));
                }
                (_, Some(open)) if letter == open => quote = None,
                (_, Some(_)) => word.push(letter),
                ('"' | '\'', None) => quote = Some(letter),
                ('#', None) => {
                    is_comment = true;
                    break;
                }
                (_, None) => word.push(letter),
            }
        }
        if quote.is_some() {
            return None;
        }
        if !(word.is_empty() && is_comment) {
            words.push(word);
        }
        if is_comment {
            return Some(words);
        }
    }
}

/// C's `isspace`.
fn is_blank(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_line() {
        for (line, want) in [
            ("", Some(vec![])),
            ("  --a=1\t-b 2 ", Some(vec!["--a=1", "-b", "2"])),
            ("--a='1 2' \"--b=3\"", Some(vec!["--a=1 2", "--b=3"])),
            ("--u\"i\"d=0", Some(vec!["--uid=0"])),
            (r"--ui\d=0 a\ b", Some(vec!["--uid=0", "a b"])),
            (r#"--a="x\"y""#, Some(vec!["--a=x\"y"])),
            ("--a # --b", Some(vec!["--a"])),
            ("--a#--b", Some(vec!["--a"])),
            ("'' --a", Some(vec!["", "--a"])),
            ("--a\\\t--b", Some(vec!["--a", "--b"])),
            ("--a #", Some(vec!["--a"])),
            ("--a='1", None),
            ("--a : --b", None),
        ] {
            let got = sbatch_words(line);
            let got: Option<Vec<_>> = got
                .as_ref()
                .map(|words| words.iter().map(String::as_str).collect());
            assert_eq!(got, want, "{line}");
        }
    }

    #[test]
    fn flags_lose_their_quotes_in_the_plugin() {
        for (text, want) in [
            ("--a=1 -b 2 3 -c", vec!["--a=1", "-b 2 3", "-c"]),
            ("--a='1 2'", vec!["--a=1 2"]),
            ("--a=\"x --b\" y", vec!["--a=x --b y"]),
            (r"--a\ b '' c\", vec!["--a b  c\\"]),
        ] {
            assert_eq!(quoted_flags(text), want, "{text}");
        }
    }

    #[test]
    fn a_text_has_several_readings() {
        let plain = readings("--a=1 -b 2");
        assert_eq!(plain, vec![vec!["--a=1", "-b", "2"]; 3]);
        // In quotes for a user of sbatch, without them for the plugin's.
        let quoted = readings("--a='1 --b'");
        assert_eq!(quoted, [vec!["--a=1", "--b"], vec!["--a=1 --b"]]);
        assert!(readings("--a='1").len() <= 1);
    }
}
