//! What requests may contain.

use std::collections::HashMap;

use super::Error;
use crate::{
    proto::{ContainerMetadata, PodSandboxConfig, PodSandboxMetadata},
    text::{quoted, SUBDOMAIN_MAX},
};

/// Longest path that Linux takes.
const MAX_PATH: usize = 4096;

/// A name, namespace or UID: present, not too long, one word without anything that could lead
/// elsewhere when it becomes part of a path.
pub fn name(what: &str, value: &str) -> Result<(), Error> {
    let invalid = |why: &str| Err(Error::Invalid(format!("{what} `{}` {why}", quoted(value))));
    if value.is_empty() {
        return Err(Error::Invalid(format!("{what} is missing")));
    }
    if value.len() > SUBDOMAIN_MAX {
        return invalid("is longer than 253 characters");
    }
    if value == "." || value == ".." || value.contains('/') {
        return invalid("would lead to another path");
    }
    if value
        .chars()
        .any(|letter| letter.is_control() || letter.is_whitespace())
    {
        return invalid("contains white space or control characters");
    }
    Ok(())
}

/// A host directory: absolute, without `..`.
pub fn directory(what: &str, value: &str) -> Result<(), Error> {
    let invalid = |why: &str| Err(Error::Invalid(format!("{what} `{}` {why}", quoted(value))));
    if value.len() > MAX_PATH || value.contains('\0') {
        return invalid("is not a path");
    }
    if !value.starts_with('/') {
        return invalid("is not absolute");
    }
    if value.split('/').any(|part| part == "..") {
        return invalid("contains `..`");
    }
    Ok(())
}

/// Labels and annotations: they are part of every list, which all pods of the node share.
pub fn labels_and_annotations(
    about: &str,
    maps: [&HashMap<String, String>; 2],
    limit: usize,
) -> Result<(), Error> {
    let pairs = maps.into_iter().flatten();
    let bytes: usize = pairs.map(|(key, value)| key.len() + value.len()).sum();
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::Precondition(format!(
        "{about}: its labels and annotations have {bytes} bytes, more than the {limit} of \
         cri.max_metadata_bytes; put large texts into a ConfigMap"
    )))
}

/// The metadata of a pod sandbox.
pub fn sandbox_metadata(config: &PodSandboxConfig) -> Result<&PodSandboxMetadata, Error> {
    let missing = || Error::Invalid("the pod sandbox config has no metadata".to_owned());
    let metadata = config.metadata.as_ref().ok_or_else(missing)?;
    name("the pod's name", &metadata.name)?;
    name("the pod's namespace", &metadata.namespace)?;
    name("the pod's UID", &metadata.uid)?;
    Ok(metadata)
}

/// The metadata of a container.
pub fn container_metadata(
    metadata: Option<&ContainerMetadata>,
) -> Result<&ContainerMetadata, Error> {
    let missing = || Error::Invalid("the container config has no metadata".to_owned());
    let metadata = metadata.ok_or_else(missing)?;
    name("the container's name", &metadata.name)?;
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "x".repeat(254);
        for (value, good) in [
            ("train-7", true),
            ("cri-test-uid7d6f", true),
            ("", false),
            (long.as_str(), false),
            ("..", false),
            ("../../etc", false),
            ("a/b", false),
            ("a b", false),
            ("a\nb", false),
            ("a\0b", false),
        ] {
            assert_eq!(name("the name", value).is_ok(), good, "{value:?}");
        }
        let text = name("the name", "a\nb").map_err(|error| error.to_string());
        assert!(!text.expect_err("refused").contains('\n'));
    }

    #[test]
    fn directories() {
        let long = format!("/{}", "x".repeat(5000));
        for (value, good) in [
            ("/var/log/pods/a_b_c", true),
            ("var/log", false),
            ("/var/../etc", false),
            ("/a\0b", false),
            (long.as_str(), false),
        ] {
            assert_eq!(directory("the directory", value).is_ok(), good, "{value:?}");
        }
        assert!(directory("the directory", "/a/..b").is_ok());
    }
}
