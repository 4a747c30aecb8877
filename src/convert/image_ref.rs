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

fn sha256_id(text: &str) -> String {
    use fmt::Write as _;
    let mut id = "sha256:".to_owned();
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// What an error message shows of a reference.
fn shown(text: &str) -> String {
    const SHOWN: usize = 300;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Nanos;

    const HEX64: &str = "9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf";

    #[test]
    fn references_are_normalised() {
        let digest = format!("sha256:{HEX64}");
        let sha512 = format!("sha512:{HEX64}{HEX64}");
        let long = format!("{}a", "a/".repeat(127));
        for (name, given, want) in [
            ("bare name", "busybox", "docker.io/library/busybox:latest"),
            ("tag", "busybox:1.36", "docker.io/library/busybox:1.36"),
            (
                "hub",
                "docker.io/busybox",
                "docker.io/library/busybox:latest",
            ),
            (
                "hub by its old name",
                "index.docker.io/busybox",
                "docker.io/library/busybox:latest",
            ),
            (
                "hub, old name, full",
                "index.docker.io/library/busybox:latest",
                "docker.io/library/busybox:latest",
            ),
            (
                "hub, full",
                "docker.io/library/busybox",
                "docker.io/library/busybox:latest",
            ),
            (
                "user repository",
                "prom/node-exporter",
                "docker.io/prom/node-exporter:latest",
            ),
            (
                "nested",
                "library/foo/bar",
                "docker.io/library/foo/bar:latest",
            ),
            ("registry", "quay.io/a/b:c", "quay.io/a/b:c"),
            ("registry with port", "reg:5000/a", "reg:5000/a:latest"),
            (
                "a tag that looks like a port",
                "reg:5000",
                "docker.io/library/reg:5000",
            ),
            (
                "a domain name without slash",
                "test.com",
                "docker.io/library/test.com:latest",
            ),
            ("localhost", "localhost/a", "localhost/a:latest"),
            (
                "localhost with port",
                "localhost:5000/a:b",
                "localhost:5000/a:b",
            ),
            (
                "localhost alone is a name",
                "localhost",
                "docker.io/library/localhost:latest",
            ),
            ("capital domain", "Foo/bar", "Foo/bar:latest"),
            ("IPv4", "192.168.0.1:80/a", "192.168.0.1:80/a:latest"),
            ("IPv6", "[fc00::1]:5000/a:b", "[fc00::1]:5000/a:b"),
            ("IPv6 without port", "[fc00::1]/a", "[fc00::1]/a:latest"),
            (
                "separators",
                "a_b__c---d/e.f",
                "docker.io/a_b__c---d/e.f:latest",
            ),
            ("no domain, but a path", "a_b.c/d", "a_b.c/d:latest"),
            (
                "capital tag",
                "busybox:V1.0-RC_1",
                "docker.io/library/busybox:V1.0-RC_1",
            ),
            (
                "digest",
                &format!("busybox@{digest}"),
                &format!("docker.io/library/busybox@{digest}"),
            ),
            (
                "digest wins over tag",
                &format!("busybox:1@{digest}"),
                &format!("docker.io/library/busybox@{digest}"),
            ),
            (
                "sha512",
                &format!("a.io/b@{sha512}"),
                &format!("a.io/b@{sha512}"),
            ),
            (
                "63 hex digits",
                &HEX64[1..],
                &format!("docker.io/library/{}:latest", &HEX64[1..]),
            ),
            (
                "64 hex digits below a domain",
                &format!("docker.io/{HEX64}"),
                &format!("docker.io/library/{HEX64}:latest"),
            ),
            (
                "longest path",
                &format!("docker.io/{long}"),
                &format!("docker.io/{long}:latest"),
            ),
        ] {
            let got = ImageRef::parse(given).map(|image| image.to_string());
            assert_eq!(
                got.as_deref().ok(),
                Some(want),
                "{name}: {given} -> {got:?}"
            );
        }
    }

    #[test]
    fn what_the_grammar_refuses() {
        let id = format!("sha256:{HEX64}");
        let long_path = format!("docker.io/{}aa", "a/".repeat(127));
        let long_tag = format!("a:{}", "t".repeat(129));
        let long_host = format!("{}.io/b", "a".repeat(251));
        for (name, given) in [
            ("empty", ""),
            ("bare id", HEX64),
            ("id", id.as_str()),
            ("capitals", "Busybox"),
            ("capitals in the path", "docker.io/library/Busybox"),
            ("url", "https://github.com/docker/docker"),
            ("no name", ":tag"),
            ("no name but a digest", &format!("@{id}")),
            ("nothing after the domain", "docker.io/"),
            ("leading dash", "-docker/docker"),
            ("trailing dash", "docker-/docker"),
            ("empty component", "docker///docker"),
            ("leading slash", "/docker"),
            ("two dots", "dock..er/docker"),
            ("mixed separators", "dock_.er/docker"),
            ("three underscores", "a___b"),
            ("spaces", "busy box"),
            ("newline", "busybox\n"),
            ("not ASCII", "büsybox"),
            ("empty tag", "busybox:"),
            ("tag with a dot first", "busybox:.1"),
            ("two tags", "busybox:1:2"),
            ("empty digest", "busybox@"),
            ("digest without algorithm", &format!("busybox@{HEX64}")),
            ("unknown algorithm", &format!("busybox@md5:{HEX64}")),
            ("short digest", "busybox@sha256:abcd"),
            (
                "capital digest",
                &format!("busybox@sha256:{}", HEX64.to_uppercase()),
            ),
            ("two digests", &format!("busybox@{id}@{id}")),
            ("IPv6 alone", "[fc00::1]"),
            ("IPv6 with a zone", "[fe80::1%eth0]:5000/a"),
            ("IPv6 without brackets", "fc00::1:5000/a"),
            ("port that is no number", "reg:port/a"),
            ("empty port", "reg:/a"),
            ("long path", &long_path),
            ("long tag", &long_tag),
            ("long host", &long_host),
            ("very long", &"a".repeat(5000)),
        ] {
            let got = ImageRef::parse(given);
            assert!(
                matches!(got, Err(Error::ImageRef { .. })),
                "{name}: {given} -> {got:?}"
            );
        }
    }

    #[test]
    fn one_image_has_one_identity() {
        let id = |text: &str| ImageRef::parse(text).map(|image| image.id()).unwrap();
        let digest = format!("sha256:{HEX64}");
        assert_eq!(id("busybox"), id("index.docker.io/library/busybox:latest"));
        assert_ne!(id("busybox"), id("busybox:1"));
        assert_eq!(id(&format!("busybox:1@{digest}")), digest);
        assert_eq!(id(&format!("quay.io/other@{digest}")), digest);
        let sha512 = id(&format!("busybox@sha512:{HEX64}{HEX64}"));
        for text in [id("busybox"), sha512] {
            assert_eq!(image_id(&text), Some(text.clone()));
        }
        // Kept for ever: it is on disk, and in the kubelet's pull records.
        assert_eq!(
            id("busybox"),
            "sha256:de68ccc327e508f44a3a150fc877a442581bb03dd53e24b418fbc425ece79d52"
        );
    }

    #[test]
    fn tags_and_digests_as_critest_wants_them() {
        let tagged = ImageRef::parse("gcr.io/k/test-image-tag:test").unwrap();
        assert_eq!(tagged.repo_tags(), ["gcr.io/k/test-image-tag:test"]);
        let invented = format!("gcr.io/k/test-image-tag@{}", tagged.id());
        assert_eq!(tagged.repo_digests(), [invented.as_str()]);
        assert_eq!(ImageRef::parse(&invented).unwrap().id(), tagged.id());

        let text = format!("gcr.io/k/test-image-digest@sha256:{HEX64}");
        let digested = ImageRef::parse(&text).unwrap();
        assert!(digested.repo_tags().is_empty());
        assert_eq!(digested.repo_digests(), [text.as_str()]);
        assert_eq!(
            (digested.tag(), digested.name()),
            (None, "gcr.io/k/test-image-digest")
        );
    }

    #[test]
    fn ids_are_recognised() {
        let id = format!("sha256:{HEX64}");
        assert_eq!(image_id(HEX64).as_deref(), Some(id.as_str()));
        assert_eq!(image_id(&id).as_deref(), Some(id.as_str()));
        for no in [
            "",
            "busybox",
            "sha256:",
            &HEX64[1..],
            &HEX64.to_uppercase(),
            &format!("sha512:{HEX64}"),
        ] {
            assert_eq!(image_id(no), None, "{no}");
        }
    }

    #[test]
    fn the_remote_side_gets_what_the_user_wrote() {
        let id = format!("sha256:{HEX64}");
        let kept = Image {
            id: id.clone(),
            repo_tags: Vec::new(),
            repo_digests: Vec::new(),
            user_ref: "busybox:1".to_owned(),
            annotations: BTreeMap::new(),
            pulled_at: Nanos(0),
        };
        for (name, image, user, kept, want) in [
            (
                "kubelet",
                id.as_str(),
                "busybox",
                Some(&kept),
                Some("busybox"),
            ),
            ("crictl", "busybox:2", "", Some(&kept), Some("busybox:2")),
            ("an id alone", &id, "", Some(&kept), Some("busybox:1")),
            (
                "an id as the user's text",
                &id,
                HEX64,
                Some(&kept),
                Some("busybox:1"),
            ),
            ("an unknown id", &id, "", None, None),
            ("nothing", "", "", None, None),
        ] {
            let spec = ImageSpec {
                image: image.to_owned(),
                user_specified_image: user.to_owned(),
                ..Default::default()
            };
            assert_eq!(user_image(&spec, kept), want, "{name}");
        }
    }

    #[test]
    fn long_texts_are_cut_in_messages() {
        let message = ImageRef::parse(&"ü".repeat(9000)).unwrap_err().to_string();
        assert!(message.len() < 700 && message.contains("..."), "{message}");
    }

    fn any_ref() -> impl Strategy<Value = String> {
        let word = "[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}";
        let domain = prop_oneof![
            Just(String::new()),
            "[a-zA-Z0-9]{1,8}(-[a-z0-9]{1,4})?\\.[a-z]{2,5}(:[0-9]{1,5})?/",
            "localhost(:[0-9]{1,5})?/",
            "\\[[0-9a-f]{0,4}::?[0-9a-f:]{0,20}\\](:[0-9]{1,5})?/",
        ];
        let path = proptest::collection::vec(word, 1..4).prop_map(|words| words.join("/"));
        let version = prop_oneof![
            Just(String::new()),
            ":[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}",
            "(:[a-z]{1,5})?@sha256:[0-9a-f]{64}",
            "@sha512:[0-9a-f]{128}",
        ];
        (domain, path, version).prop_map(|(d, p, v)| format!("{d}{p}{v}"))
    }

    proptest! {
        #[test]
        fn a_printed_reference_reads_back(text in any_ref()) {
            let image = ImageRef::parse(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(&ImageRef::parse(&image.to_string()).unwrap(), &image);
            prop_assert_eq!(image.id().len(), 71);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}", near in "[a-zA-Z0-9.:/@_\\[\\]-]{0,80}") {
            for text in [text, near] {
                if let Ok(image) = ImageRef::parse(&text) {
                    prop_assert_eq!(ImageRef::parse(&image.to_string()).unwrap(), image);
                }
            }
        }
    }
}
