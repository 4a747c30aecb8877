//! Volumes: `docs/features.md`, section "Volumes".

use std::{fs, path::Path};

use grpcio::RpcStatusCode;
use interlink_cri::proto::{Device, ImageSpec, Mount, MountPropagation};
use protobuf::MessageField;
use serde_json::{json, Value};

use super::kubelet::{container, mount, pod, read_only, write, Node};
use crate::support::wait_for;

fn volumes(created: &Value) -> &Value {
    &created["pod"]["spec"]["volumes"]
}

fn mounts(created: &Value) -> &Value {
    &created["pod"]["spec"]["containers"][0]["volumeMounts"]
}

#[test]
fn a_config_map() {
    let node = Node::new("");
    let conf = node.content(
        "configmap",
        "conf",
        &[
            ("app.toml", 0o644, b"a = 1\n"),
            ("logo.png", 0o644, &[0x89, 0x50, 0xff]),
        ],
    );
    let created = node.created(&pod(), &container(vec![read_only(&conf, "/etc/app")]));
    let want = json!([{"name": "conf", "mountPath": "/etc/app", "readOnly": true}]);
    assert_eq!(*mounts(&created), want);
    let want = json!([{"name": "conf", "configMap": {"name": "conf", "defaultMode": 0o644}}]);
    assert_eq!(*volumes(&created), want);
    let map = &created["configmaps"][0];
    assert_eq!(map["metadata"], json!({"name": "conf", "namespace": "lab"}));
    assert_eq!(map["data"], json!({"app.toml": "a = 1\n"}));
    assert_eq!(map["binaryData"], json!({"logo.png": "iVD/"}));
}

#[test]
fn a_config_map_with_items_and_modes() {
    let node = Node::new("");
    let files: [(&str, u32, &[u8]); 2] = [("run", 0o755, b"#!"), ("conf", 0o600, b"x")];
    let conf = node.content("configmap", "conf", &files);
    let created = node.created(&pod(), &container(vec![mount(&conf, "/x")]));
    let items = json!([
        {"key": "conf", "path": "conf", "mode": 0o600},
        {"key": "run", "path": "run", "mode": 0o755},
    ]);
    assert_eq!(volumes(&created)[0]["configMap"]["items"], items);
    let data = &created["configmaps"][0]["data"];
    assert_eq!(*data, json!({"run": "#!", "conf": "x"}));
}

#[test]
fn directories_in_volumes() {
    let node = Node::new("");
    let files: [(&str, u32, &[u8]); 2] = [("bin/run", 0o755, b"#!"), ("conf", 0o644, b"x")];
    for (plugin, list) in [
        ("configmap", "configmaps"),
        ("secret", "secrets"),
        ("projected", "projectedvolumesmaps"),
    ] {
        let conf = node.content(plugin, "conf", &files);
        let created = node.created(&pod(), &container(vec![mount(&conf, "/x")]));
        let paths: Vec<_> = mounts(&created)
            .as_array()
            .expect("a list")
            .iter()
            .map(|mount| &mount["mountPath"])
            .collect();
        assert_eq!(paths, ["/x", "/x/bin"], "{plugin}");
        let objects = created[list].as_array().expect("a list");
        let keys: Vec<_> = objects
            .iter()
            .flat_map(|object| object["data"].as_object().expect("an object").keys())
            .collect();
        assert_eq!(keys, ["conf", "run"], "{plugin}");
    }
}

#[test]
fn an_optional_config_map_that_is_missing() {
    let node = Node::new("");
    let conf = node.content("configmap", "conf", &[]);
    let created = node.created(&pod(), &container(vec![mount(&conf, "/x")]));
    assert_eq!(mounts(&created)[0]["name"], "conf");
    assert_eq!(created["configmaps"][0].get("data"), None);
}

#[test]
fn a_secret() {
    let node = Node::new("");
    let key = node.content("secret", "key", &[("tls.key", 0o400, b"private")]);
    let created = node.created(&pod(), &container(vec![read_only(&key, "/tls")]));
    let want = json!([{"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}}]);
    assert_eq!(*volumes(&created), want);
    let secret = &created["secrets"][0];
    assert_eq!(secret["metadata"]["name"], "key");
    assert_eq!(secret["data"], json!({"tls.key": "cHJpdmF0ZQ=="}));
    let log = node.daemon.log();
    assert!(
        !log.contains("private") && !log.contains("cHJpdmF0ZQ"),
        "{log}"
    );
}

const TOKEN: [(&str, u32, &[u8]); 3] = [
    ("token", 0o644, b"eyJhbGciOi"),
    ("ca.crt", 0o644, b"-----BEGIN"),
    ("namespace", 0o644, b"lab"),
];
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[test]
fn a_service_account_token() {
    let node = Node::new("");
    let token = node.content("projected", "kube-api-access-7xk2p", &TOKEN);
    let created = node.created(&pod(), &container(vec![read_only(&token, TOKEN_PATH)]));
    let name = "kube-api-access-7xk2p";
    let want = json!([{"name": name, "projected": {
        "defaultMode": 0o644, "sources": [{"configMap": {"name": name}}]}}]);
    assert_eq!(*volumes(&created), want);
    let map = &created["projectedvolumesmaps"][0];
    assert_eq!(
        map["metadata"]["name"], name,
        "the server looks for the volume's name"
    );
    let want = json!({"token": "eyJhbGciOi", "ca.crt": "-----BEGIN", "namespace": "lab"});
    assert_eq!(map["data"], want);
}

#[test]
fn a_service_account_token_that_stays_here() {
    let node = Node::new("service_account_tokens = false");
    let token = node.content("projected", "kube-api-access-7xk2p", &TOKEN);
    let created = node.created(&pod(), &container(vec![read_only(&token, TOKEN_PATH)]));
    assert_eq!(*volumes(&created), Value::Null);
    assert_eq!(created["projectedvolumesmaps"], json!([]));
    let log = node.daemon.log();
    assert!(
        log.contains("runs without it") && !log.contains("eyJhbGciOi"),
        "{log}"
    );
}

#[test]
fn a_downward_api_volume() {
    let node = Node::new("");
    let info = node.content("downward-api", "info", &[("labels", 0o644, b"app=\"web\"")]);
    let created = node.created(&pod(), &container(vec![mount(&info, "/info")]));
    assert_eq!(volumes(&created)[0]["projected"]["defaultMode"], 0o644);
    let map = &created["projectedvolumesmaps"][0];
    assert_eq!(map["data"], json!({"labels": "app=\"web\""}));
}

#[test]
fn empty_dirs() {
    let node = Node::new("");
    let scratch = node.volume("empty-dir", "scratch");
    let created = node.created(&pod(), &container(vec![mount(&scratch, "/scratch")]));
    assert_eq!(
        *volumes(&created),
        json!([{"name": "scratch", "emptyDir": {}}])
    );
}

#[test]
fn host_paths() {
    let node = Node::new("");
    let data = node.pod().with_file_name("data");
    fs::create_dir_all(&data).expect("made");
    let created = node.created(
        &pod(),
        &container(vec![
            Mount {
                propagation: MountPropagation::PROPAGATION_HOST_TO_CONTAINER.into(),
                ..read_only(&data, "/data")
            },
            mount(Path::new("/no/such/path"), "/none"),
        ]),
    );
    let host = |index: usize| &volumes(&created)[index]["hostPath"];
    assert_eq!(*host(0), json!({"path": data, "type": "Directory"}));
    assert_eq!(*host(1), json!({"path": "/no/such/path", "type": ""}));
    assert_eq!(mounts(&created)[0]["mountPropagation"], "HostToContainer");
}

#[test]
fn host_paths_on_shared_file_systems_only() {
    let node = Node::new("host_paths = 'shared'\nshared_paths = ['/lustre', '/home']");
    let home = mount(Path::new("/home/ann/data"), "/data");
    let created = node.created(&pod(), &container(vec![home.clone()]));
    assert_eq!(volumes(&created)[0]["hostPath"]["path"], "/home/ann/data");
    let etc = mount(Path::new("/etc/passwd"), "/etc/passwd");
    let (code, text) = node.refused(&pod(), &container(vec![home, etc]));
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    let want = "host path `/etc/passwd` is not on a shared file system";
    assert!(
        text.contains(want) && text.contains("pods.shared_paths"),
        "{text}"
    );
}

#[test]
fn sub_paths() {
    let mut node = Node::new("");
    let files: [(&str, u32, &[u8]); 2] = [("app.toml", 0o644, b"a = 1"), ("other", 0o644, b"-")];
    let conf = node.content("configmap", "conf", &files);
    let scratch = node.volume("empty-dir", "scratch");
    fs::create_dir_all(scratch.join("a/b")).expect("made");
    let bound = node.sub_path(&conf, "app.toml", "main", 0);
    let both = bound.zip(node.sub_path(&scratch, "a/b", "main", 1));
    let Some((file, directory)) = both else {
        // Without the right to mount there is only a placeholder, as for a daemon that does not
        // see the kubelet's mounts.
        let bind = node.pod().join("volume-subpaths/conf/main/0");
        let (code, text) = node.refused(&pod(), &container(vec![mount(&bind, "/x")]));
        assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
        assert!(text.contains("nothing is mounted at"), "{text}");
        return;
    };
    let config = container(vec![
        mount(&file, "/etc/app.toml"),
        mount(&directory, "/work"),
    ]);
    let created = node.created(&pod(), &config);
    let map = &created["configmaps"][0];
    assert_eq!(map["data"], json!({"app.toml": "a = 1"}), "that file alone");
    let name = map["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("conf-app-toml-"), "{name}");
    let want = json!([
        {"name": name, "mountPath": "/etc/app.toml", "subPath": "app.toml"},
        {"name": "scratch", "mountPath": "/work", "subPath": "a/b"},
    ]);
    assert_eq!(*mounts(&created), want);
}

#[test]
fn other_volumes_are_refused() {
    let node = Node::new("");
    let csi = node.volume("csi", "pvc-1").join("mount");
    fs::create_dir_all(&csi).expect("made");
    let image = Mount {
        image: MessageField::some(ImageSpec {
            image: "busybox".to_owned(),
            ..Default::default()
        }),
        ..mount(Path::new(""), "/model")
    };
    let shared = Mount {
        propagation: MountPropagation::PROPAGATION_BIDIRECTIONAL.into(),
        ..mount(Path::new("/data"), "/data")
    };
    for (mount, want) in [
        (mount(&csi, "/data"), "volume `pvc-1` is a CSI volume"),
        (image, "is an image volume"),
        (shared, "bidirectional mount propagation"),
    ] {
        let (code, text) = node.refused(&pod(), &container(vec![mount]));
        assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION, "{text}");
        assert!(text.contains("container `main` of pod `lab/web`"), "{text}");
        assert!(text.contains(want), "{text}");
    }
    let mut block = container(Vec::new());
    block.devices.push(Device {
        host_path: node
            .pod()
            .join("volumeDevices/kubernetes.io~csi/raw")
            .display()
            .to_string(),
        container_path: "/dev/raw".to_owned(),
        permissions: "mrw".to_owned(),
        ..Default::default()
    });
    let (_, text) = node.refused(&pod(), &block);
    assert!(text.contains("volume `raw` is a block device"), "{text}");
}

#[test]
fn other_volumes_are_skipped() {
    let node = Node::new("unsupported_volumes = 'skip'");
    let csi = node.volume("csi", "pvc-1").join("mount");
    fs::create_dir_all(&csi).expect("made");
    let created = node.created(&pod(), &container(vec![mount(&csi, "/data")]));
    assert_eq!(*mounts(&created), Value::Null);
    assert!(node.daemon.log().contains("volume `pvc-1` is a CSI volume"));
}

#[test]
fn persistent_volumes_on_a_shared_file_system() {
    let shared = tempfile::tempdir().expect("a directory");
    let path = shared.path().canonicalize().expect("a path");
    let mut node = Node::new(&format!("shared_paths = [{path:?}]"));
    let set = path.join("set");
    fs::create_dir_all(&set).expect("made");
    // As the kubelet mounts a local persistent volume.
    let volume = node.volume("local-volume", "pv-7");
    let Some(()) = node.bind(&set, &volume) else {
        let (_, text) = node.refused(&pod(), &container(vec![mount(&volume, "/data")]));
        assert!(
            text.contains("volume `pv-7` is a volume of the plugin `local-volume`"),
            "{text}"
        );
        return;
    };
    let created = node.created(&pod(), &container(vec![mount(&volume, "/data")]));
    assert_eq!(volumes(&created)[0]["hostPath"]["path"], json!(set));
}

#[test]
fn more_than_is_shipped() {
    let node = Node::new("max_volume_bytes = 1000");
    let big = node.content("configmap", "big", &[("a", 0o644, &[b'x'; 1001])]);
    let (code, text) = node.refused(&pod(), &container(vec![mount(&big, "/x")]));
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    let want = "volume `big`: with it the volumes of the pod hold more than 1000 bytes";
    assert!(
        text.contains(want) && text.contains("pods.max_volume_bytes"),
        "{text}"
    );
}

#[test]
fn a_symlink_out_of_a_volume() {
    let node = Node::new("");
    let conf = node.content("configmap", "conf", &[("a", 0o644, b"")]);
    let data = conf.join("..data").canonicalize().expect("it is there");
    std::os::unix::fs::symlink("/etc/passwd", data.join("b")).expect("linked");
    let (code, text) = node.refused(&pod(), &container(vec![mount(&conf, "/x")]));
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(text.contains("volume `conf`: `b` is a symlink"), "{text}");
}

#[test]
fn contents_are_those_of_the_submission() {
    let node = Node::new("[jobs]\nquiet_period = '3s'");
    let conf = node.content("configmap", "conf", &[("a", 0o644, b"old")]);
    let cri = node.cri();
    let sandbox = cri.run(&pod());
    cri.launch(&sandbox, &container(vec![mount(&conf, "/x")]));
    write(&conf, "2026_11_24_10_00_01.2", &[("a", 0o644, b"new")]);
    let created = node.fake.wait_for_requests("/create", 1);
    assert_eq!(created[0]["configmaps"][0]["data"], json!({"a": "new"}));
}

#[test]
fn a_volume_that_is_not_there_yet_is_waited_for() {
    let node = Node::new("[jobs]\nquiet_period = '2s'");
    let conf = node.content("configmap", "conf", &[("a", 0o644, b"x")]);
    let cri = node.cri();
    let sandbox = cri.run(&pod());
    let id = cri.launch(&sandbox, &container(vec![mount(&conf, "/x")]));
    // As after the node's restart, when the kubelet has not come to this pod yet.
    let away = conf.with_file_name("away");
    fs::rename(&conf, &away).expect("renamed");
    wait_for("the daemon sees it", || {
        let log = node.daemon.log();
        (log.contains("not submitted, to be tried again") && log.contains("conf")).then_some(())
    });
    assert!(node.fake.requests("/create").is_empty());
    assert_eq!(
        cri.status(&id).state,
        interlink_cri::proto::ContainerState::CONTAINER_RUNNING.into()
    );
    fs::rename(&away, &conf).expect("renamed");
    let created = node.fake.wait_for_requests("/create", 1);
    assert_eq!(created[0]["configmaps"][0]["data"], json!({"a": "x"}));
}
