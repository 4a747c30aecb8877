//! The man page of the configuration file, made from `schema.rs` as the sample is.

use super::sample::{default_text, sections};

const BEGIN: &str = r#".TH interlink-cri.toml 5 "" "" "interlink-cri"
.SH NAME
interlink\-cri.toml \- configuration of the interlink\-cri daemon
.SH SYNOPSIS
.I /etc/interlink\-cri/config.toml
.SH DESCRIPTION
A TOML file, which need not be there: each key has a default, or stands for something that is off without
it. Unknown keys are refused.
.PP
Each key can be set by the environment too,
.BR INTERLINK_CRI_ \fISECTION\fR_\fIKEY\fR,
which wins over the file, and the important ones by flags of
.BR interlink\-cri\-serve (8),
which win over both.
.B interlink\-cri check\-config
names everything that is wrong, and prints what is in force.
.PP
With
.BR systemctl\~reload ,
.I log_level
and the files of credentials are read again; the rest needs a restart, which leaves pods and jobs as they are.
"#;

const END: &str = r".SH FILES
.I /etc/interlink\-cri/config.toml
.SH SEE ALSO
.BR interlink\-cri (8),
.BR interlink\-cri\-check\-config (8)
";

/// The page, in the language of man(7).
pub fn manual() -> String {
    let mut page = BEGIN.to_owned();
    for (section, keys) in sections() {
        page.push_str(&format!(".SH [{}]\n", escape(section)));
        for (key, doc) in keys {
            page.push_str(&format!(".TP\n.B {}\n", escape(key)));
            for line in doc {
                page.push_str(&format!("{}\n", escape(line)));
            }
            if let Some(default) = default_text(section, key) {
                page.push_str(".br\nDefault:\n.nf\n");
                for line in default.lines() {
                    page.push_str(&format!("{}\n", escape(line)));
                }
                page.push_str(".fi\n");
            }
        }
    }
    page.push_str(END);
    page
}

/// A line of text that says the same to roff.
fn escape(line: &str) -> String {
    let text = line.replace('\\', r"\e").replace('-', r"\-");
    if text.starts_with(['.', '\'']) {
        format!(r"\&{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_in_the_page() {
        let page = manual();
        for (section, keys) in sections() {
            assert!(page.contains(&format!(".SH [{section}]\n")), "{section}");
            for (key, _) in keys {
                assert!(page.contains(&format!("\n.B {key}\n")), "{section}.{key}");
            }
        }
    }

    #[test]
    fn text_is_no_request() {
        for (line, want) in [
            (".so /etc/shadow", r"\&.so /etc/shadow"),
            ("'quoted'", r"\&'quoted'"),
            (r"a\b", r"a\eb"),
            ("a-b", r"a\-b"),
        ] {
            assert_eq!(escape(line), want);
        }
    }
}
