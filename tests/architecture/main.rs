//! Holds the code and its documents to one map, `map.rs`: which rooms there are, what each may
//! import, and which files take from which.

mod circles;
mod documents;
mod log_lines;
mod map;
mod messages;
mod resolve;
mod rooms;
mod source;

use std::{fs, path::Path, process::Command};

/// No async runtime, not even inside a dependency that is linked.
#[test]
fn no_async_runtime_is_linked() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"));
    let lock = lock.expect("Cargo.lock");
    for runtime in ["tokio", "async-std", "smol"] {
        assert!(
            !lock.contains(&format!("name = \"{runtime}\"\n")),
            "{runtime} is in Cargo.lock"
        );
    }
}

/// What a command prints that must succeed.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

/// The major and minor version in `1.90` or `1.90.0`.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.split('.').map(|part| part.parse().expect("a number"));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// `rust-version` is true for the dependencies as well; clippy checks our own code against it.
#[test]
fn no_dependency_needs_a_newer_toolchain() {
    let about = output("rustc", &["-vV"]);
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let metadata = output(
        env!("CARGO"),
        &[
            "metadata",
            "--locked",
            "--offline",
            "--format-version=1",
            "--filter-platform",
            host.expect("a host"),
        ],
    );
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("JSON");
    let own = version(env!("CARGO_PKG_RUST_VERSION"));
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 100, "{} packages", packages.len());
    for package in packages {
        let needed = package["rust_version"].as_str().map_or((0, 0), version);
        assert!(
            needed <= own,
            "{} needs Rust {needed:?}; `rust-version` in Cargo.toml says {own:?}",
            package["name"]
        );
    }
}
