//! The exit code, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    interlink_cri::cli::main()
}
