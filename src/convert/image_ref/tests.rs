//! References as people write them, and what stays of them.

use proptest::prelude::*;

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
