//! Image references by the distribution grammar, normalised, and the identity made from them.
//!
//! Nothing is pulled here, so nothing is known about an image but what its reference says. The
//! one identity in every API ([`ImageRef::id`]) is the digest where the reference has one, else a
//! hash of the normalised reference: `busybox`, `docker.io/busybox` and
//! `index.docker.io/library/busybox:latest` are one image. What no lookup can tell is left
//! untold: two tags of equal content are two images here.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::Error;
use crate::{model::Image, proto::ImageSpec};

const DEFAULT_DOMAIN: &str = "docker.io";
/// Docker Hub under its former name.
const LEGACY_DOMAIN: &str = "index.docker.io";
/// Where Docker Hub keeps images whose name has one component.
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// `RepositoryNameTotalLengthMax` of the grammar; it counts the path without the domain.
const PATH_MAX: usize = 255;
const TAG_MAX: usize = 128;
/// No DNS name is longer. The grammar itself sets no limit, but records are kept for ever.
const HOST_MAX: usize = 253;
/// Longer than any domain, path, tag and digest together.
const TEXT_MAX: usize = 1024;

/// A normalised image reference: a full name with a tag or, instead, a digest.
///
/// ```
/// use interlink_cri::convert::ImageRef;
/// let image = ImageRef::parse("busybox")?;
/// assert_eq!(image.to_string(), "docker.io/library/busybox:latest");
/// # Ok::<(), interlink_cri::convert::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageRef {
    name: String,
    version: Version,
}

/// Which of a repository's images. `name:tag@digest` means the digest; the tag says nothing more.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Version {
    Tag(String),
    Digest(String),
}

impl ImageRef {
    /// Parses and normalises a reference as the kubelet and containerd do: Docker Hub and its
    /// `library/` where no domain is written, `:latest` where neither tag nor digest is, and no
    /// tag beside a digest.
    ///
    /// # Errors
    /// [`Error::ImageRef`] for what the grammar refuses, and for an image id (`sha256:` and 64 hex
    /// digits, or the digits alone): look that up with [`image_id`] first.
    pub fn parse(text: &str) -> Result<Self, Error> {
        parse(text).map_err(|fault| Error::ImageRef {
            text: shown(text),
            fault,
        })
    }

    /// The full name, without tag and digest: `docker.io/library/busybox`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tag; none where there is a digest.
    pub fn tag(&self) -> Option<&str> {
        match &self.version {
            Version::Tag(tag) => Some(tag),
            Version::Digest(_) => None,
        }
    }

    /// The digest with its algorithm: `sha256:...`.
    pub fn digest(&self) -> Option<&str> {
        match &self.version {
            Version::Tag(_) => None,
            Version::Digest(digest) => Some(digest),
        }
    }

    /// The image's identity, `sha256:` and 64 hex digits: a SHA-256 digest as it is, else the
    /// SHA-256 of the digest's or the normalised reference's text.
    pub fn id(&self) -> String {
        match &self.version {
            Version::Digest(digest) if digest.starts_with("sha256:") => digest.clone(),
            Version::Digest(digest) => sha256_id(digest),
            Version::Tag(_) => sha256_id(&self.to_string()),
        }
    }

    /// `Image.repo_tags`: the reference where it has a tag. An image pulled by digest has none.
    pub fn repo_tags(&self) -> Vec<String> {
        match &self.version {
            Version::Tag(_) => vec![self.to_string()],
            Version::Digest(_) => Vec::new(),
        }
    }

    /// `Image.repo_digests`: the reference where it has a digest. For a tag it is invented, the
    /// name with [`ImageRef::id`], so that a pod's `imageID` has the form that tools expect. No
    /// registry knows such a digest.
    pub fn repo_digests(&self) -> Vec<String> {
        match &self.version {
            Version::Digest(_) => vec![self.to_string()],
            Version::Tag(_) => vec![format!("{}@{}", self.name, self.id())],
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Version::Tag(tag) => write!(f, "{}:{tag}", self.name),
            Version::Digest(digest) => write!(f, "{}@{digest}", self.name),
        }
    }
}

/// The image id that `text` is, if it is one: `sha256:` and 64 lower-case hex digits, or the
/// digits alone, as tools abbreviate it. Every image call looks for an id before a reference.
pub fn image_id(text: &str) -> Option<String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    is_hex(digits, 64).then(|| format!("sha256:{digits}"))
}

/// The image as the user wrote it, which is what the remote side gets and people are shown.
///
/// `CreateContainer` carries the id that we gave out as `image` and the user's text beside it;
/// other clients send their reference as `image`. `kept` is the image known under that id.
pub fn user_image<'a>(spec: &'a ImageSpec, kept: Option<&'a Image>) -> Option<&'a str> {
    [&spec.user_specified_image, &spec.image]
        .into_iter()
        .find(|text| !text.is_empty() && image_id(text).is_none())
        .or(kept.map(|image| &image.user_ref))
        .map(String::as_str)
}

fn parse(text: &str) -> Result<ImageRef, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > TEXT_MAX {
        return Err("it is too long");
    }
    if image_id(text).is_some() {
        return Err("this is an image id, and by an id alone nothing can be pulled");
    }
    let (domain, rest) = split_domain(text);
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest.to_owned(), Some(digest)),
        None => (rest.clone(), None),
    };
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest.as_str(), None),
    };
    if path.bytes().any(|c| c.is_ascii_uppercase()) {
        return Err("a repository name is lower-case");
    }
    let name = checked_name(domain, path)?;
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(
            "a tag is 1 to 128 letters, digits, `_`, `.` and `-`, not beginning with the last two",
        );
    }
    let version = match (tag, digest) {
        (_, Some(digest)) => Version::Digest(checked_digest(digest)?.to_owned()),
        (Some(tag), None) => Version::Tag(tag.to_owned()),
        (None, None) => Version::Tag(DEFAULT_TAG.to_owned()),
    };
    Ok(ImageRef { name, version })
}

/// `splitDockerDomain` of distribution/reference: what stands before the first slash is a domain
/// if it looks like one (a dot, a port, capitals, or `localhost`), else part of the path.
fn split_domain(text: &str) -> (&str, String) {
    let (domain, rest) = match text.split_once('/') {
        None => (DEFAULT_DOMAIN, text),
        Some((LEGACY_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|c| c.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        Some(_) => (DEFAULT_DOMAIN, text),
    };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        (domain, format!("{OFFICIAL}{rest}"))
    } else {
        (domain, rest.to_owned())
    }
}

fn checked_name(domain: &str, path: &str) -> Result<String, &'static str> {
    const FAULT: &str =
        "it does not have the form [DOMAIN[:PORT]/]NAME[/NAME...][:TAG][@DIGEST], with names of \
         lower-case letters and digits, separated by `.`, `_`, `__` or dashes";
    let name = format!("{domain}/{path}");
    // A first part such as `a_b.c` is no domain, but a name may begin with it.
    let counted = if is_domain(domain) { path } else { &name };
    if !counted.split('/').all(is_path_component) {
        return Err(FAULT);
    }
    if counted.len() > PATH_MAX {
        return Err("a repository name has no more than 255 characters");
    }
    Ok(name)
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => (&text[..colon], Some(&text[colon + 1..])),
        _ => (text, None),
    };
    let is_host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|c| c.is_ascii_hexdigit() || c == b':'),
        None => host.split('.').all(is_domain_component),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit());
    is_host && host.len() <= HOST_MAX && port.is_none_or(is_port)
}

fn is_domain_component(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

/// Runs of lower-case letters and digits, held together by `.`, `_`, `__` or any number of
/// dashes.
fn is_path_component(text: &str) -> bool {
    let is_word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let word = bytes[at..].iter().take_while(|c| is_word(**c)).count();
        if word == 0 {
            return false;
        }
        at += word;
        if at == bytes.len() {
            return true;
        }
        let separator = bytes[at..].iter().take_while(|c| !is_word(**c)).count();
        let between = &bytes[at..at + separator];
        if !matches!(between, b"." | b"_" | b"__") && !between.iter().all(|c| *c == b'-') {
            return false;
        }
        at += separator;
    }
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    text.len() <= TAG_MAX
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|c| is_word(c) || matches!(c, b'.' | b'-'))
}

fn checked_digest(text: &str) -> Result<&str, &'static str> {
    let (algorithm, digits) = text
        .split_once(':')
        .ok_or("a digest has the form ALGORITHM:HEX")?;
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err("a digest is sha256, sha384 or sha512"),
    };
    if is_hex(digits, length) {
        Ok(text)
    } else {
        Err("a digest is lower-case hex, 64 digits of sha256, 96 of sha384, 128 of sha512")
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

pub(super) fn sha256_id(text: &str) -> String {
    use fmt::Write as _;
    let mut id = "sha256:".to_owned();
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// What an error message shows of a reference.
pub(super) fn shown(text: &str) -> String {
    const SHOWN: usize = 300;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
