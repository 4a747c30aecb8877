//! The man pages: one of the program, one of each command, one of the configuration file. All are
//! made from what the program itself reads, so that they cannot drift apart from it.

use std::{fs, io, path::Path};

use clap::Command;
use clap_mangen::Man;

use crate::config;

/// Section of commands for administrators.
const COMMANDS: &str = "8";
/// What belongs to all of them.
const SEE_ALSO: &str = ".SH SEE ALSO\n.BR interlink\\-cri (8),\n.BR interlink\\-cri.toml (5)\n";

/// Writes all pages into a directory, which is made where it is not there.
///
/// # Errors
/// A directory or a file that cannot be written.
pub fn write(program: Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for (name, page) in pages(program)? {
        fs::write(directory.join(name), page)?;
    }
    Ok(())
}

/// Name and text of each page.
fn pages(mut program: Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    program = program.disable_help_subcommand(true);
    // Gives the commands their long names, as in `interlink-cri-serve`.
    program.build();
    let commands = program.get_subcommands().filter(|one| !one.is_hide_set());
    let mut all = vec![program.clone()];
    all.extend(commands.cloned());
    let mut pages = Vec::new();
    for command in all {
        let man = Man::new(command)
            .section(COMMANDS)
            .manual("interlink-cri")
            .source(concat!("interlink-cri ", env!("CARGO_PKG_VERSION")));
        let name = man.get_filename();
        let mut page = Vec::new();
        man.render(&mut page)?;
        page.extend_from_slice(SEE_ALSO.as_bytes());
        pages.push((name, page));
    }
    pages.push((
        "interlink-cri.toml.5".to_owned(),
        config::manual().into_bytes(),
    ));
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{super::Cli, *};

    #[test]
    fn each_command_that_is_shown_has_a_page() {
        let pages = pages(Cli::command()).expect("pages");
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "interlink-cri.8",
            "interlink-cri-serve.8",
            "interlink-cri-check-config.8",
            "interlink-cri.toml.5",
        ] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
        assert!(
            !names.iter().any(|name| name.contains("watch")),
            "{names:?}"
        );
        for (name, page) in &pages {
            let page = String::from_utf8_lossy(page);
            assert!(page.contains(".SH NAME"), "{name}");
        }
    }
}
