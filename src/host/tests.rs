//! Against directories as a kubelet lays them out, and as it never would.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, Permissions},
    os::unix::fs::{symlink, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::config::Config;

const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

/// A kubelet's root with one pod.
struct Node {
    root: tempfile::TempDir,
    max_volume_bytes: u64,
}

impl Node {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        Self {
            root,
            max_volume_bytes: Config::default().pods.max_volume_bytes,
        }
    }

    fn reader(&self) -> MountReader {
        MountReader::for_job(self.root.path(), UID, self.max_volume_bytes)
    }

    fn pod(&self) -> PathBuf {
        self.root.path().join("pods").join(UID)
    }

    fn volume(&self, plugin: &str, name: &str) -> PathBuf {
        let plugin = format!("kubernetes.io~{plugin}");
        let volume = self.pod().join("volumes").join(plugin).join(name);
        fs::create_dir_all(&volume).unwrap();
        volume
    }

    fn mount(&self, host_path: &Path) -> Mount {
        Mount {
            container_path: "/data".to_owned(),
            host_path: host_path.display().to_string(),
            ..Default::default()
        }
    }

    fn look(&self, host_path: &Path) -> Result<FoundMount, Error> {
        let mut reader = self.reader();
        Ok(reader.read(&[self.mount(host_path)])?.remove(0))
    }

    /// With a mount table in which these are mounted: what, on which file system, where.
    fn look_mounted(
        &self,
        host_path: &Path,
        mounts: &[(&Path, &str, &Path)],
    ) -> Result<FoundMount, Error> {
        let mut table = "1 0 8:1 / / rw - ext4 /dev/sda rw\n".to_owned();
        for (root, device, point) in mounts {
            let (root, point) = (root.display(), point.display());
            table += &format!("2 1 {device} {root} {point} rw - tmpfs tmpfs rw\n");
        }
        let mut reader = self.reader();
        reader
            .table
            .set(MountTable::parse(table.as_bytes()))
            .unwrap();
        Ok(reader.read(&[self.mount(host_path)])?.remove(0))
    }
}

/// As the kubelet's atomic writer does it. Gives the directory of this writing.
fn write(volume: &Path, time: &str, files: &[(&str, u32, &str)]) -> PathBuf {
    let data = volume.join(format!("..{time}"));
    for (path, mode, text) in files {
        let file = data.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(*mode)).unwrap();
        let first = path.split('/').next().unwrap();
        let _ = symlink(format!("..data/{first}"), volume.join(first));
    }
    fs::create_dir_all(&data).unwrap();
    let new = volume.join("..data_tmp");
    symlink(format!("..{time}"), &new).unwrap();
    fs::rename(new, volume.join("..data")).unwrap();
    data
}

fn files(found: FoundMount) -> BTreeMap<String, (u32, String)> {
    let FoundMount::Content { files, .. } = found else {
        panic!("{found:?}");
    };
    let shown = files.iter().map(|(path, file)| {
        let text = String::from_utf8(file.bytes.clone()).unwrap();
        (path.clone(), (file.mode, text))
    });
    shown.collect()
}

#[test]
fn each_kind_of_content_is_read_as_it_was_written() {
    let node = Node::new();
    for (plugin, kind) in [
        ("configmap", ContentKind::ConfigMap),
        ("secret", ContentKind::Secret),
        ("projected", ContentKind::Projected),
        ("downward-api", ContentKind::DownwardApi),
    ] {
        let volume = node.volume(plugin, "v");
        write(&volume, "1", &[("key", 0o644, "old")]);
        write(
            &volume,
            "2",
            &[("key", 0o640, "new"), ("a/b", 0o755, "deep")],
        );
        let found = node.look(&volume).unwrap();
        assert!(
            matches!(&found, FoundMount::Content { kind: k, volume, inside, is_file, .. }
            if *k == kind && volume == "v" && inside.is_empty() && !is_file)
        );
        let want = [("a/b", 0o755, "deep"), ("key", 0o640, "new")];
        let want = want.map(|(path, mode, text)| (path.to_owned(), (mode, text.to_owned())));
        assert_eq!(files(found), BTreeMap::from(want), "{plugin}");
    }
}

#[test]
fn an_optional_one_that_is_missing_is_empty_and_an_unwritten_one_not_ready() {
    let node = Node::new();
    let volume = node.volume("configmap", "v");
    let error = node.look(&volume).unwrap_err();
    assert!(error.is_temporary(), "{error}");
    write(&volume, "1", &[]);
    assert!(files(node.look(&volume).unwrap()).is_empty());
    let error = node.look(&volume.with_file_name("other")).unwrap_err();
    assert!(error.is_temporary(), "{error}");
}

#[test]
fn a_path_below_a_volume_is_a_part_of_it() {
    let node = Node::new();
    let volume = node.volume("secret", "v");
    write(
        &volume,
        "1",
        &[
            ("a/key", 0o600, "1"),
            ("a/c/d", 0o600, "2"),
            ("b", 0o600, "3"),
        ],
    );
    for (inside, want_file, want) in [
        ("b", true, vec!["b"]),
        ("a/key", true, vec!["key"]),
        ("a", false, vec!["c/d", "key"]),
    ] {
        let found = node.look(&volume.join(inside)).unwrap();
        let FoundMount::Content { is_file, .. } = &found else {
            panic!("{found:?}");
        };
        assert_eq!(*is_file, want_file, "{inside}");
        assert_eq!(files(found).into_keys().collect::<Vec<_>>(), want);
    }
    assert!(node.look(&volume.join("none")).unwrap_err().is_temporary());
}

#[test]
fn a_sub_path_mount_is_found_in_the_mount_table() {
    let node = Node::new();
    let binds = node.pod().join("volume-subpaths");
    let make = |volume: &str, index: &str| {
        let bind = binds.join(volume).join("main").join(index);
        fs::create_dir_all(bind.parent().unwrap()).unwrap();
        bind
    };
    // A file of a Secret, which the kubelet keeps on a tmpfs; replaced since.
    let secret = node.volume("secret", "key");
    write(&secret, "1", &[("tls.key", 0o600, "new")]);
    let bind = make("key", "0");
    fs::write(&bind, "old").unwrap();
    let mounts = [
        (Path::new("/"), "0:9", &*secret),
        (Path::new("/..2024/tls.key//deleted"), "0:9", &*bind),
    ];
    let found = node.look_mounted(&bind, &mounts).unwrap();
    assert!(
        matches!(&found, FoundMount::Content { kind: ContentKind::Secret, inside, is_file: true, .. }
        if inside == "tls.key")
    );
    assert_eq!(files(found)["tls.key"].1, "old");
    // The whole of it, by `subPath: .`
    let mounts = [mounts[0], (Path::new("/"), "0:9", &*bind)];
    let found = node.look_mounted(&bind, &mounts).unwrap();
    assert_eq!(files(found)["tls.key"].1, "new");

    // A directory of an emptyDir on the node's disk.
    let scratch = node.volume("empty-dir", "scratch");
    let bind = make("scratch", "1");
    fs::create_dir_all(&bind).unwrap();
    let inner = scratch.join("a/b");
    let found = node.look_mounted(&bind, &[(&inner, "8:1", &bind)]).unwrap();
    let want = FoundMount::EmptyDir {
        volume: "scratch".to_owned(),
        inside: "a/b".to_owned(),
        medium: String::new(),
    };
    assert_eq!(found, want);

    // A part of a CSI volume, and of a host path, which has no directory of its own.
    node.volume("csi", "pvc-1");
    for (volume, want) in [("pvc-1", "/lustre/set"), ("mine", "/lustre/set")] {
        let bind = make(volume, "2");
        fs::create_dir_all(&bind).unwrap();
        let mounts = [
            (Path::new("/"), "0:7", Path::new("/lustre")),
            (Path::new("/set"), "0:7", &*bind),
        ];
        match node.look_mounted(&bind, &mounts).unwrap() {
            FoundMount::Other {
                elsewhere, plugin, ..
            } => {
                assert_eq!((plugin.as_str(), elsewhere), ("csi", vec![want.to_owned()]));
            }
            FoundMount::HostPath { path, .. } => {
                assert_eq!((volume, path.as_str()), ("mine", want))
            }
            other => panic!("{other:?}"),
        }
    }

    // Nothing is mounted: what is there is the kubelet's empty placeholder.
    let bind = make("key", "3");
    fs::write(&bind, "").unwrap();
    let error = node.look_mounted(&bind, &[]).unwrap_err();
    assert!(matches!(error, Error::NotMounted { .. }), "{error}");
    assert!(error.is_temporary());
}

#[test]
fn volumes_of_other_plugins_are_looked_up_by_their_other_names() {
    let node = Node::new();
    let volume = node.volume("nfs", "home");
    let mounts = [
        (Path::new("/vol"), "0:5", Path::new("/home")),
        (Path::new("/vol/ann"), "0:5", &*volume),
    ];
    let want = FoundMount::Other {
        plugin: "nfs".to_owned(),
        volume: "home".to_owned(),
        elsewhere: vec!["/home/ann".to_owned()],
    };
    assert_eq!(node.look_mounted(&volume, &mounts).unwrap(), want);
}

#[test]
fn media_and_host_paths_are_looked_at_for_a_job_only() {
    let node = Node::new();
    let scratch = node.volume("empty-dir", "s");
    let file = node.root.path().join("file");
    File::create(&file).unwrap();
    let medium = |found| match found {
        FoundMount::EmptyDir { medium, .. } => medium,
        other => panic!("{other:?}"),
    };
    let mounted = node.look_mounted(&scratch, &[(Path::new("/"), "0:5", &scratch)]);
    assert_eq!(medium(mounted.unwrap()), "Memory");
    assert_eq!(medium(node.look_mounted(&scratch, &[]).unwrap()), "");
    assert_eq!(huge_pages("rw,pagesize=2M"), "HugePages-2Mi");
    assert_eq!(huge_pages("rw"), "HugePages");
    let kind = |reader: &mut MountReader, path: &Path| match reader.read(&[node.mount(path)]) {
        Ok(found) => match &found[0] {
            FoundMount::HostPath { kind, .. } => *kind,
            other => panic!("{other:?}"),
        },
        Err(error) => panic!("{error}"),
    };
    let mut job = node.reader();
    assert_eq!(kind(&mut job, node.root.path()), PathKind::Directory);
    assert_eq!(kind(&mut job, &file), PathKind::File);
    assert_eq!(kind(&mut job, Path::new("/no/such")), PathKind::Unknown);
    let mut check = MountReader::for_check(node.root.path(), UID, node.max_volume_bytes);
    assert_eq!(kind(&mut check, &file), PathKind::Unknown);
}

#[test]
fn nothing_leads_out_of_a_volume() {
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("shadow"), "root:x").unwrap();
    let outside = secret.path();
    type Attack<'a> = Box<dyn Fn(&Path) + 'a>;
    let attacks: Vec<(&str, Attack<'_>)> = vec![
        (
            "..data leads up",
            Box::new(|v| symlink("../../../../../..", v.join("..data")).unwrap()),
        ),
        (
            "..data is absolute",
            Box::new(|v| symlink(outside, v.join("..data")).unwrap()),
        ),
        (
            "..data is `..`",
            Box::new(|v| symlink("..", v.join("..data")).unwrap()),
        ),
        (
            "..data is itself",
            Box::new(|v| symlink("..data", v.join("..data")).unwrap()),
        ),
        (
            "..data is a directory",
            Box::new(|v| fs::create_dir(v.join("..data")).unwrap()),
        ),
        (
            "..data leads to a symlink",
            Box::new(|v| {
                symlink("..1", v.join("..data")).unwrap();
                symlink(outside, v.join("..1")).unwrap();
            }),
        ),
        (
            "..data leads to a file",
            Box::new(|v| {
                symlink("..1", v.join("..data")).unwrap();
                File::create(v.join("..1")).unwrap();
            }),
        ),
        (
            "a key is a symlink",
            Box::new(|v| {
                let data = write(v, "1", &[("a", 0o644, "")]);
                symlink(outside.join("shadow"), data.join("b")).unwrap();
            }),
        ),
        (
            "a directory of keys is a symlink",
            Box::new(|v| {
                let data = write(v, "1", &[("a", 0o644, "")]);
                symlink(outside, data.join("b")).unwrap();
            }),
        ),
        (
            "a key is a pipe",
            Box::new(|v| {
                let data = write(v, "1", &[("a", 0o644, "")]);
                let mode = rustix::fs::Mode::from_raw_mode(0o644);
                rustix::fs::mknodat(
                    rustix::fs::CWD,
                    data.join("p"),
                    rustix::fs::FileType::Fifo,
                    mode,
                    0,
                )
                .unwrap();
            }),
        ),
        (
            "directories without end",
            Box::new(|v| {
                write(v, "1", &[("a", 0o644, "")]);
                fs::create_dir_all(v.join("..1").join("d/".repeat(40))).unwrap();
            }),
        ),
        (
            "the volume is a symlink",
            Box::new(|v| {
                fs::remove_dir(v).unwrap();
                write(&outside.join("v"), "1", &[("a", 0o644, "")]);
                symlink(outside.join("v"), v).unwrap();
            }),
        ),
    ];
    for (name, attack) in attacks {
        let node = Node::new();
        let volume = node.volume("configmap", "v");
        attack(&volume);
        let error = node.look(&volume).unwrap_err();
        assert!(matches!(error, Error::Odd { .. }), "{name}: {error:?}");
        assert!(
            !error.is_temporary() && error.to_string().len() < 600,
            "{name}"
        );
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let mut node = Node::new();
    node.max_volume_bytes = 10;
    let volume = node.volume("configmap", "v");
    let data = write(
        &volume,
        "1",
        &[("a", 0o644, "12345"), ("b", 0o644, "12345")],
    );
    assert_eq!(files(node.look(&volume).unwrap()).len(), 2);
    fs::write(data.join("c"), "1").unwrap();
    let error = node.look(&volume).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("10 bytes"), "{error}");
    // A terabyte of nothing.
    let huge = OpenOptions::new().write(true).open(data.join("c")).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert!(matches!(node.look(&volume), Err(Error::TooLarge { .. })));

    // All volumes of a pod count together, and one that is mounted twice counts once.
    let two = [
        node.volume("configmap", "two"),
        node.volume("secret", "three"),
    ];
    for volume in &two {
        write(volume, "1", &[("a", 0o644, "1234567")]);
    }
    let [two, three] = two.each_ref().map(|volume| node.mount(volume));
    let mut reader = node.reader();
    assert!(reader.read(&[two.clone(), two.clone()]).is_ok());
    assert!(reader.read(&[two]).is_ok());
    assert!(matches!(reader.read(&[three]), Err(Error::TooLarge { .. })));

    // Empty files in any number.
    let many = node.volume("configmap", "many");
    let data = write(&many, "1", &[]);
    for number in 0..=MAX_FILES {
        File::create(data.join(number.to_string())).unwrap();
    }
    assert!(matches!(node.look(&many), Err(Error::TooLarge { .. })));
}

#[test]
fn contents_that_are_replaced_all_the_time_are_of_one_moment() {
    let node = Node::new();
    let volume = node.volume("configmap", "v");
    let texts: Vec<_> = (0..4000).map(|number| number.to_string()).collect();
    let keys = ["a", "b", "c", "d"];
    let put = |text: &str| {
        let files = keys.map(|key| (key, 0o644, text));
        write(&volume, text, &files)
    };
    let mut last = put("first");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::SeqCst) || seen == 0 {
                let found = match node.look(&volume) {
                    Ok(found) => files(found),
                    // Overtaken too often; the worker comes again.
                    Err(error) if error.is_temporary() => continue,
                    Err(error) => panic!("{error}"),
                };
                let first = &found["a"];
                assert_eq!(found.len(), keys.len());
                assert!(found.values().all(|file| file == first), "{found:?}");
                seen += 1;
            }
        });
        for text in &texts {
            let new = put(text);
            fs::remove_dir_all(last).unwrap();
            last = new;
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn contents_do_not_show_in_messages() {
    let node = Node::new();
    let volume = node.volume("secret", "v");
    write(&volume, "1", &[("password", 0o600, "hunter2")]);
    let shown = format!("{:?}", node.look(&volume).unwrap());
    assert!(
        shown.contains("7 bytes, 0o600") && !shown.contains("hunter2"),
        "{shown}"
    );
}
