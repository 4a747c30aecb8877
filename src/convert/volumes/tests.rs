//! Volumes and mounts of jobs, from what the kubelet mounts.

use serde_json::json;

use super::*;
use crate::{
    config::Config,
    convert::testing::{behind, mount},
};

fn settings() -> Settings {
    Settings {
        shared_paths: vec!["/shared".into()],
        ..Settings::new(&Config::default()).unwrap()
    }
}

fn mounts(job: &mut JobVolumes<'_>, mounts: &[Mount]) -> Vec<VolumeMount> {
    let found: Vec<_> = mounts.iter().map(behind).collect();
    job.mounts(mounts, &found)
}

fn content(kind: ContentKind, inside: &str, files: &[(&str, u32, &[u8])]) -> FoundMount {
    let file = |(path, mode, bytes): &(&str, u32, &[u8])| {
        let bytes = bytes.to_vec();
        ((*path).to_owned(), ContentFile { mode: *mode, bytes })
    };
    FoundMount::Content {
        kind,
        volume: "conf".to_owned(),
        inside: inside.to_owned(),
        is_file: !inside.is_empty(),
        files: Arc::new(files.iter().map(file).collect()),
    }
}

/// The one mount, the one volume, and the object of a job with this content.
fn shown(found: FoundMount) -> [serde_json::Value; 3] {
    let settings = settings();
    let mut job = JobVolumes::new("lab".to_owned(), &settings);
    let mounts = job.mounts(&[mount("/x")], &[found]);
    let object = match (&job.configmaps[..], &job.secrets[..], &job.projected[..]) {
        ([map], [], []) => json!({ "configmaps": map }),
        ([], [secret], []) => json!({ "secrets": secret }),
        ([], [], [map]) => json!({ "projected": map }),
        other => panic!("{other:?}"),
    };
    let volume = json!(job.take_volumes()[0]);
    [json!(mounts[0]), volume, object]
}

#[test]
fn a_config_map_comes_with_its_texts_and_bytes() {
    let files: [(&str, u32, &[u8]); 3] = [
        ("a.conf", 0o644, b"A=1\n"),
        ("logo", 0o644, &[0xff, 0x00]),
        ("run.sh", 0o755, b"#!/bin/sh\n"),
    ];
    let [mount, volume, object] = shown(content(ContentKind::ConfigMap, "", &files));
    assert_eq!(mount, json!({"name": "conf", "mountPath": "/data"}));
    let item = |path: &str, mode: u32| json!({"key": path, "path": path, "mode": mode});
    // The mode of the others is Kubernetes' own.
    let want = json!({"name": "conf", "configMap": {
        "name": "conf",
        "items": [item("a.conf", 0o644), item("logo", 0o644), item("run.sh", 0o755)],
    }});
    assert_eq!(volume, want);
    let want = json!({"configmaps": {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "conf", "namespace": "lab"},
        "data": {"a.conf": "A=1\n", "run.sh": "#!/bin/sh\n"},
        "binaryData": {"logo": "/wA="},
    }});
    assert_eq!(object, want);
}

#[test]
fn directories_of_a_volume_are_volumes_of_their_own() {
    let files: [(&str, u32, &[u8]); 4] = [
        ("a.conf", 0o644, b"1"),
        ("bin/run.sh", 0o755, b"2"),
        ("bin/stop.sh", 0o755, b"3"),
        ("etc/x/y.conf", 0o644, b"4"),
    ];
    for kind in [
        ContentKind::ConfigMap,
        ContentKind::Secret,
        ContentKind::Projected,
    ] {
        let settings = settings();
        let mut job = JobVolumes::new("lab".to_owned(), &settings);
        let found = content(kind, "", &files);
        let mounted = job.mounts(&[mount("/x")], std::slice::from_ref(&found));
        let bin = format!("conf-bin-{}", short_hash("bin"));
        let etc = format!("conf-etc-x-{}", short_hash("etc/x"));
        let want = json!([
            {"name": "conf", "mountPath": "/data"},
            {"name": bin, "mountPath": "/data/bin"},
            {"name": etc, "mountPath": "/data/etc/x"},
        ]);
        assert_eq!(json!(mounted), want);
        // A second container that mounts the same has the same volumes.
        assert_eq!(job.mounts(&[mount("/x")], &[found]), mounted);
        let names: Vec<_> = job.take_volumes().into_iter().map(|one| one.name).collect();
        assert_eq!(names, ["conf", &bin, &etc]);
        let maps = job.configmaps.iter().chain(&job.projected);
        let mut keys: Vec<_> = maps
            .flat_map(|map| map.data.iter().flatten().map(|(key, _)| key.as_str()))
            .collect();
        let secrets = job.secrets.iter();
        keys.extend(secrets.flat_map(|one| one.data.iter().flatten().map(|(key, _)| key.as_str())));
        assert_eq!(keys, ["a.conf", "run.sh", "stop.sh", "y.conf"]);
    }
}

#[test]
fn a_plugin_that_makes_directories_gets_paths() {
    let settings = Settings {
        keys_are_paths: true,
        ..settings()
    };
    let mut job = JobVolumes::new("lab".to_owned(), &settings);
    let found = content(ContentKind::ConfigMap, "", &[("bin/run.sh", 0o755, b"2")]);
    assert_eq!(job.mounts(&[mount("/x")], &[found]).len(), 1);
    let data = json!(job.configmaps[0].data);
    assert_eq!(data, json!({"bin/run.sh": "2"}));
}

#[test]
fn one_file_of_a_directory_has_its_own_name() {
    let file: [(&str, u32, &[u8]); 1] = [("etc/x.conf", 0o644, b"1")];
    let [mount, _, object] = shown(content(ContentKind::ConfigMap, "etc/x.conf", &file));
    assert_eq!(
        (&mount["mountPath"], &mount["subPath"]),
        (&json!("/data"), &json!("x.conf"))
    );
    assert_eq!(object["configmaps"]["data"], json!({"x.conf": "1"}));
}

#[test]
fn a_secret_comes_in_base64_and_a_sub_path_as_a_volume_of_its_own() {
    let key: [(&str, u32, &[u8]); 1] = [("tls.key", 0o400, b"key")];
    let [mount, volume, object] = shown(content(ContentKind::Secret, "tls.key", &key));
    let name = format!("conf-tls-key-{}", short_hash("tls.key"));
    let want = json!({"name": name, "mountPath": "/data", "subPath": "tls.key"});
    assert_eq!(mount, want);
    let want = json!({"name": name, "secret": {"secretName": name, "defaultMode": 0o400}});
    assert_eq!(volume, want);
    let want = json!({"secrets": {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": name, "namespace": "lab"},
        "data": {"tls.key": "a2V5"},
    }});
    assert_eq!(object, want);
}

#[test]
fn projected_and_downward_api_volumes_are_the_same_over_there() {
    let files: [(&str, u32, &[u8]); 2] = [("token", 0o600, b"t"), ("ca.crt", 0o600, b"c")];
    for kind in [ContentKind::Projected, ContentKind::DownwardApi] {
        let [_, volume, object] = shown(content(kind, "", &files));
        let want = json!({"name": "conf", "projected": {
            "defaultMode": 0o600,
            "sources": [{"configMap": {"name": "conf"}}],
        }});
        assert_eq!(volume, want);
        let data = &object["projected"]["data"];
        assert_eq!(*data, json!({"token": "t", "ca.crt": "c"}));
    }
}

#[test]
fn an_optional_config_map_that_is_missing_is_an_empty_one() {
    let [mount, volume, object] = shown(content(ContentKind::ConfigMap, "", &[]));
    assert_eq!(mount["name"], "conf");
    assert_eq!(volume["configMap"], json!({"name": "conf"}));
    assert_eq!(object["configmaps"].get("data"), None);
}

#[test]
fn media_and_what_is_at_a_path_are_told() {
    let settings = settings();
    let mut job = JobVolumes::new("lab".to_owned(), &settings);
    let found = [
        FoundMount::EmptyDir {
            volume: "shm".to_owned(),
            inside: String::new(),
            medium: "Memory".to_owned(),
        },
        FoundMount::HostPath {
            path: "/home".to_owned(),
            kind: PathKind::Directory,
        },
        FoundMount::HostPath {
            path: "/etc/x".to_owned(),
            kind: PathKind::File,
        },
        behind(&mount("pod:volumes/kubernetes.io~nfs/pvc-1")),
    ];
    job.mounts(
        &[mount("/1"), mount("/2"), mount("/3"), mount("/4")],
        &found,
    );
    let shown: Vec<_> = job
        .take_volumes()
        .into_iter()
        .map(|volume| match (volume.empty_dir, volume.host_path) {
            (Some(empty), _) => empty.medium.unwrap_or_default(),
            (_, Some(host)) => format!("{} {}", host.path, host.type_.unwrap_or_default()),
            _ => String::new(),
        })
        .collect();
    let want = [
        "Memory",
        "/home Directory",
        "/etc/x File",
        "/shared/pvc-1 Directory",
    ];
    assert_eq!(shown, want);
}

#[test]
fn containers_of_a_job_share_volumes() {
    let settings = settings();
    let mut job = JobVolumes::new("lab".to_owned(), &settings);
    let scratch = mount("pod:volumes/kubernetes.io~empty-dir/scratch");
    let first = mounts(
        &mut job,
        &[
            Mount {
                readonly: true,
                ..scratch.clone()
            },
            mount("/home/ann/data/"),
            Mount {
                propagation: MountPropagation::PROPAGATION_HOST_TO_CONTAINER.into(),
                ..mount("/")
            },
        ],
    );
    let second = mounts(
        &mut job,
        &[
            mount("/home/ann/data"),
            scratch,
            mount("pod:volumes/kubernetes.io~empty-dir/scratch/a/b"),
        ],
    );
    let shown = |mounts: &[VolumeMount]| -> Vec<String> {
        mounts
            .iter()
            .map(|m| {
                let read_only = m.read_only.unwrap_or_default();
                let sub_path = m.sub_path.as_deref().unwrap_or("-");
                format!("{} {read_only} {sub_path}", m.name)
            })
            .collect()
    };
    let data = host_path_name("/home/ann/data");
    assert!(data.starts_with("host-home-ann-data-"), "{data}");
    let root = host_path_name("/");
    assert_eq!(
        shown(&first),
        [
            "scratch true -",
            &format!("{data} false -"),
            &format!("{root} false -")
        ]
    );
    assert_eq!(
        first[2].mount_propagation.as_deref(),
        Some("HostToContainer")
    );
    assert_eq!(
        shown(&second),
        [
            &format!("{data} false -"),
            "scratch false -",
            "scratch false a/b"
        ]
    );
    let volumes = job.take_volumes();
    let names: Vec<_> = volumes.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["scratch", &data, &root]);
    let path = volumes[1].host_path.as_ref().map(|h| h.path.as_str());
    assert_eq!(path, Some("/home/ann/data"));
}

#[test]
fn volumes_of_one_name_are_told_apart() {
    let settings = settings();
    let mut job = JobVolumes::new("lab".to_owned(), &settings);
    let taken = host_path_name("/data");
    let mounts = mounts(
        &mut job,
        &[
            mount("/data"),
            mount(&format!("pod:volumes/kubernetes.io~empty-dir/{taken}")),
            mount(&format!("pod:volumes/kubernetes.io~empty-dir/{taken}")),
        ],
    );
    assert_eq!(mounts[0].name, taken);
    assert_eq!(mounts[1].name, format!("{taken}-2"));
    assert_eq!(mounts[2].name, mounts[1].name);
    assert_eq!(job.take_volumes().len(), 2);
}
