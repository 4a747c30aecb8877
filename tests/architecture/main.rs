//! Holds the code and its documents to one map, `map.rs`: which rooms there are, what each may
//! import, and which files take from which.

mod circles;
mod documents;
mod map;
mod resolve;
mod rooms;
mod source;

use std::{fs, path::Path};

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
