//! References to images, of registries and of other kinds.
//!
//! A kubelet passes on only what the distribution grammar takes: it completes each reference by a tag,
//! and refuses what it cannot parse with `InvalidImageName` (`EnsureImageExists` and
//! `applyDefaultImageTag` in `pkg/kubelet/images/image_manager.go`, since Kubernetes 1.2 at least). So a
//! file or a URL of Singularity comes by another way: from a client of the CRI, or in the annotation
//! that `images.annotation` names.

use std::collections::{BTreeMap, HashMap};

use super::{
    image_ref::{sha256_id, shown},
    Error, ImageRef, Settings,
};
use crate::model::StringMap;

/// Longer than any reference that makes sense.
const TEXT_MAX: usize = 1024;

/// A reference to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// To one in a registry.
    Registry(ImageRef),
    /// To a file (`/cvmfs/...`), or by a URL (`docker://`, `library://`, `oras://`), as it was written.
    Other(String),
}

impl Reference {
    /// Parses a reference. `takes_others` is whether it may be one of another kind.
    ///
    /// # Errors
    /// [`Error::ImageRef`] for what is no reference, or one of a kind that is not taken.
    pub fn parse(text: &str, takes_others: bool) -> Result<Self, Error> {
        if !is_path(text) && !is_url(text) {
            return ImageRef::parse(text).map(Self::Registry);
        }
        let fault = if !takes_others {
            "it names a file or a URL; the plugin is not known to take those, but \
             `images.references = \"any\"` passes them on"
        } else if text.len() > TEXT_MAX {
            "it is too long"
        } else if !text.bytes().all(is_harmless) {
            // A plugin writes it into a shell script as it is: see the table of `profile`.
            "a path or a URL of an image has letters, digits, and `/._-+:@%` only"
        } else if text.split('/').any(|part| part == "..") {
            "a path or a URL of an image does not have `..` in it"
        } else {
            return Ok(Self::Other(text.to_owned()));
        };
        Err(Error::ImageRef {
            text: shown(text),
            fault,
        })
    }

    /// The image's identity: `sha256:` and 64 hex digits.
    pub fn id(&self) -> String {
        match self {
            Self::Registry(image) => image.id(),
            Self::Other(text) => sha256_id(text),
        }
    }

    /// `Image.repo_tags`.
    pub fn repo_tags(&self) -> Vec<String> {
        match self {
            Self::Registry(image) => image.repo_tags(),
            Self::Other(text) => vec![text.clone()],
        }
    }

    /// `Image.repo_digests`. Those of other kinds have none.
    pub fn repo_digests(&self) -> Vec<String> {
        match self {
            Self::Registry(image) => image.repo_digests(),
            Self::Other(_) => Vec::new(),
        }
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() > 1
}

fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(is_of_scheme)
        && !rest.is_empty()
}

fn is_harmless(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+:@%".contains(&byte)
}

/// The image that the pod's annotations name for a container; none where they name none.
///
/// # Errors
/// [`Error::ImageAnnotation`] where there is something that is no reference, for whatever container.
pub fn annotated(
    annotations: &StringMap,
    container: &str,
    settings: &Settings,
) -> Result<Option<String>, Error> {
    let Some(key) = &settings.image_annotation else {
        return Ok(None);
    };
    let Some(text) = annotations.get(key) else {
        return Ok(None);
    };
    named(text, container, settings.takes_other_images).map_err(|fault| Error::ImageAnnotation {
        key: key.clone(),
        fault: Box::new(fault),
    })
}

/// Checks a new pod's annotations, as far as they name images.
///
/// # Errors
/// As [`annotated`].
pub fn check(annotations: &HashMap<String, String>, settings: &Settings) -> Result<(), Error> {
    let annotations = annotations.iter().collect();
    annotated(&annotations, "", settings).map(drop)
}

/// One image for all containers, `/cvmfs/a`, or by container, `main=/cvmfs/a,side=docker://b`.
fn named(text: &str, container: &str, takes_others: bool) -> Result<Option<String>, Error> {
    let by_container = text.split(',').map(|part| part.trim().split_once('='));
    let by_container: Option<BTreeMap<_, _>> = by_container.collect();
    let Some(by_container) = by_container else {
        return checked(text, takes_others).map(Some);
    };
    let mut found = None;
    for (name, image) in by_container {
        let image = checked(image, takes_others)?;
        if name.trim() == container {
            found = Some(image);
        }
    }
    Ok(found)
}

fn checked(text: &str, takes_others: bool) -> Result<String, Error> {
    let text = text.trim();
    Reference::parse(text, takes_others).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_urls_are_told_from_registries() {
        for other in [
            "/cvmfs/unpacked.cern.ch/registry.hub.docker.com/library/debian:stable",
            "/home/ann/Images/Trainer.sif",
            "docker://busybox",
            "docker://ghcr.io/Org/Image:1.0@sha256:ab",
            "library://lolcow",
            "oras://ghcr.io/a/b:1",
            "shub://a/b",
        ] {
            let got = Reference::parse(other, true).unwrap();
            assert_eq!(got, Reference::Other(other.to_owned()));
            assert!(super::super::image_id(&got.id()).is_some(), "{other}");
            assert_eq!(got.repo_tags(), [other]);
            let refused = Reference::parse(other, false).unwrap_err().to_string();
            assert!(refused.contains("`images.references"), "{refused}");
        }
        // A name like any other; a kubelet adds a tag to it.
        for registry in [
            "busybox",
            "trainer.sif",
            "ghcr.io/a/b:1",
            "localhost:5000/a",
        ] {
            for takes_others in [false, true] {
                let got = Reference::parse(registry, takes_others).unwrap();
                assert_eq!(got, Reference::Registry(ImageRef::parse(registry).unwrap()));
            }
        }
        for none in [
            "",
            "/",
            "://x",
            "docker://",
            "1x://a",
            "/a b",
            "/a;reboot",
            "/a$(x)",
            "docker://a\n",
            "/a/../b",
            "Busybox",
        ] {
            assert!(Reference::parse(none, true).is_err(), "{none}");
        }
        let long = format!("/{}", "a".repeat(TEXT_MAX));
        assert!(Reference::parse(&long, true).is_err());
    }

    #[test]
    fn annotations_name_images_for_all_or_by_container() {
        for (text, want) in [
            ("/cvmfs/a", Some("/cvmfs/a")),
            (" docker://a ", Some("docker://a")),
            ("main=/cvmfs/a", Some("/cvmfs/a")),
            ("side=/cvmfs/b, main = /cvmfs/a", Some("/cvmfs/a")),
            ("side=/cvmfs/b", None),
            ("busybox", Some("busybox")),
        ] {
            let got = named(text, "main", true).unwrap();
            assert_eq!(got.as_deref(), want, "{text}");
        }
        for bad in ["", "main=", "main=/a;b", "side=/a;b", "/a,/b"] {
            assert!(named(bad, "main", true).is_err(), "{bad}");
        }
        assert!(named("main=/a", "main", false).is_err());
    }
}
