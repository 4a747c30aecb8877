//! Writes a new pod's directory: records, volumes, and for each container its scratch directory
//! and its orders.
//!
//! Without mount namespaces a `mountPath` cannot be honoured as such. Instead each volume that a
//! container mounts is named in its environment, as `INTERLINK_VOLUME_<NAME>`; and a `mountPath`
//! that is relative, or lies below the container's scratch directory, becomes a symbolic link.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{symlink, DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    names::relative_path,
    pod_dir::{write_record, Orders, PodDir, Root},
    shim,
    submission::{Mount, Plan, Submission},
    volumes::{ContentFile, Source, Volume},
    Refusal,
};

/// What a container gets that brings no PATH, if this process has none either.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes the pod into `draft`; it will live in `place`, so that is what paths are made of.
pub(super) fn write(
    submission: &Submission,
    draft: &PodDir,
    place: &PodDir,
    root: &Root,
) -> Result<(), Refusal> {
    make_dir(&draft.0)?;
    for volume in &submission.volumes {
        write_volume(volume, draft)?;
    }
    for plan in &submission.containers {
        let dir = draft.container(&plan.name);
        make_dir(&dir.work())?;
        let work = place.container(&plan.name).work();
        let mut env = plan.env.clone();
        for mount in &plan.mounts {
            let target = mounted(mount, submission, draft, place)?;
            link(mount, plan, &target, &work, &dir.work())?;
            env.entry(variable(&mount.volume))
                .or_insert_with(|| target.to_string_lossy().into_owned());
        }
        add_defaults(&mut env, &submission.hostname, &work);
        let orders = Orders {
            root: root.0.clone(),
            uid: submission.record.uid.clone(),
            command: plan.command.clone(),
            env: env.into_iter().collect(),
            working_dir: plan.working_dir.clone(),
        };
        write_record(&dir.orders(), &orders)?;
        // There from the beginning, so that a follower can hold on to it.
        shim::open_output(&dir.output())?;
    }
    Ok(write_record(&draft.record(), &submission.record)?)
}

fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_volume(volume: &Volume, draft: &PodDir) -> Result<(), Refusal> {
    let dir = draft.volume(&volume.name);
    match &volume.source {
        Source::Host { path, kind } => provide_host_path(path, kind).map_err(|why| {
            let (name, path) = (&volume.name, path.display());
            Refusal::invalid(format!("volume `{name}`: {path}: {why}"))
        }),
        Source::Scratch => Ok(make_dir(&dir)?),
        Source::Files(files) => {
            make_dir(&dir)?;
            for file in files {
                write_file(file, &dir)?;
            }
            Ok(())
        }
    }
}

fn write_file(file: &ContentFile, dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join(&file.path);
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    // Private until it is whole; a mode without `w` would keep its own writer out.
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    to.write_all(&file.bytes)?;
    to.set_permissions(fs::Permissions::from_mode(file.mode))
}

/// Meets a hostPath's `type`, as the kubelet would.
fn provide_host_path(path: &Path, kind: &str) -> Result<(), String> {
    let meta = fs::metadata(path);
    let is = |right: fn(&fs::Metadata) -> bool| meta.as_ref().is_ok_and(right);
    let made = match kind {
        "" => Ok(()),
        "DirectoryOrCreate" if meta.is_err() => fs::create_dir_all(path),
        "FileOrCreate" if meta.is_err() => OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map(drop),
        "Directory" | "DirectoryOrCreate" if is(fs::Metadata::is_dir) => Ok(()),
        "File" | "FileOrCreate" if is(fs::Metadata::is_file) => Ok(()),
        "Socket" | "CharDevice" | "BlockDevice" if meta.is_ok() => Ok(()),
        _ => return Err(format!("it is not there, or no `{kind}`")),
    };
    made.map_err(|error| error.to_string())
}

/// The host path of what a container mounts.
fn mounted(
    mount: &Mount,
    submission: &Submission,
    draft: &PodDir,
    place: &PodDir,
) -> Result<PathBuf, Refusal> {
    let mut volumes = submission.volumes.iter();
    let volume = volumes.find(|volume| volume.name == mount.volume);
    let whole = match volume.map(|volume| &volume.source) {
        Some(Source::Host { path, .. }) => path.clone(),
        Some(Source::Scratch) => {
            make_dir(&draft.volume(&mount.volume).join(&mount.sub_path))?;
            place.volume(&mount.volume)
        }
        Some(Source::Files(_)) | None => place.volume(&mount.volume),
    };
    // Joined to nothing, a path would gain a slash at its end.
    Ok(match mount.sub_path.as_os_str().is_empty() {
        true => whole,
        false => whole.join(&mount.sub_path),
    })
}

/// Honours a `mountPath` that lies in the scratch directory `work`, which for now is `draft`.
fn link(
    mount: &Mount,
    plan: &Plan,
    target: &Path,
    work: &Path,
    draft: &Path,
) -> Result<(), Refusal> {
    let path = Path::new(&mount.path);
    let inside = match (path.strip_prefix(work), path.is_absolute()) {
        (Ok(inside), _) => inside,
        (Err(_), false) => path,
        (Err(_), true) => return Ok(()),
    };
    let refuse = |why: &str| {
        let (name, volume) = (&plan.name, &mount.volume);
        let path = &mount.path;
        let text = format!("container `{name}`: cannot mount volume `{volume}` at `{path}`: {why}");
        Refusal::invalid(text)
    };
    let inside = inside.to_str().and_then(relative_path);
    let at = draft.join(inside.ok_or_else(|| refuse("it must lie below the scratch directory"))?);
    let mut parents = at.ancestors().skip(1).take_while(|dir| *dir != draft);
    if parents.any(Path::is_symlink) {
        // A link made there would land in the other volume, a user's own directory perhaps.
        return Err(refuse("it lies inside another mount"));
    }
    make_dir(at.parent().unwrap_or(draft))
        .and_then(|()| symlink(target, &at))
        .map_err(|error| refuse(&error.to_string()))
}

/// The environment variable that names a volume's path.
fn variable(volume: &str) -> String {
    let upper = volume.to_ascii_uppercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!(
        "INTERLINK_VOLUME_{}",
        upper.chars().map(plain).collect::<String>()
    )
}

/// What no program should have to miss; a container's own values stand.
fn add_defaults(env: &mut BTreeMap<String, String>, hostname: &str, work: &Path) {
    let own_path = std::env::var("PATH").ok().filter(|path| !path.is_empty());
    let defaults = [
        ("PATH", own_path.unwrap_or_else(|| DEFAULT_PATH.to_owned())),
        ("HOME", work.to_string_lossy().into_owned()),
        ("HOSTNAME", hostname.to_owned()),
    ];
    for (name, value) in defaults {
        env.entry(name.to_owned()).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::{json, Value};

    use super::*;
    use crate::plugin::pod_dir::{read_record, PodRecord};

    const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

    /// Lays a pod out in a fresh root; gives the root's guard, the draft and the place.
    fn laid(mounts: &Value, volumes: &Value) -> (tempfile::TempDir, PodDir, PodDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let body = json!({
            "pod": {
                "metadata": {"name": "p", "namespace": "lab", "uid": UID},
                "spec": {
                    "containers": [{
                        "name": "main", "image": "i", "command": ["true"],
                        "env": [{"name": "HOME", "value": "/mine"}, {"name": "A", "value": "1"}],
                        "volumeMounts": mounts,
                    }],
                    "volumes": volumes,
                },
            },
            "secrets": [{"metadata": {"name": "keys"}, "data": {"user": "bWU="}}],
        });
        let submission = Submission::parse(body.to_string().as_bytes()).unwrap();
        let root = Root(dir.path().into());
        let draft = PodDir(root.new_pods().join(UID));
        let place = root.pod(UID);
        let text = match write(&submission, &draft, &place, &root) {
            Ok(()) => String::new(),
            Err(refusal) => refusal.text,
        };
        (dir, draft, place, text)
    }

    fn env(draft: &PodDir) -> BTreeMap<String, String> {
        let orders = draft.container("main").orders();
        let orders: Orders = read_record(&orders).unwrap().unwrap();
        orders.env.into_iter().collect()
    }

    #[test]
    fn volumes_are_named_in_the_environment_and_linked_where_that_can_be() {
        let (_dir, draft, place, text) = laid(
            &json!([
                {"name": "my-data", "mountPath": "/data"},
                {"name": "my-data", "mountPath": "in/here", "subPath": "part"},
                {"name": "keys", "mountPath": "/keys"},
                {"name": "host", "mountPath": "usr"},
            ]),
            &json!([
                {"name": "my-data", "emptyDir": {}},
                {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 256}},
                {"name": "host", "hostPath": {"path": "/usr", "type": "Directory"}},
            ]),
        );
        assert_eq!(text, "");
        let env = env(&draft);
        let data = place.volume("my-data");
        assert_eq!(Path::new(&env["INTERLINK_VOLUME_MY_DATA"]), data);
        assert_eq!(env["INTERLINK_VOLUME_HOST"], "/usr");
        assert_eq!(
            (env["HOME"].as_str(), env["HOSTNAME"].as_str()),
            ("/mine", "p")
        );
        assert!(env.contains_key("PATH") && env["A"] == "1");
        let work = draft.container("main").work();
        assert_eq!(
            fs::read_link(work.join("in/here")).unwrap(),
            data.join("part")
        );
        assert_eq!(fs::read_link(work.join("usr")).unwrap(), Path::new("/usr"));
        assert!(draft.volume("my-data").join("part").is_dir());
        let key = draft.volume("keys").join("user");
        assert_eq!(fs::read(&key).unwrap(), b"me");
        assert_eq!(
            fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o400
        );
        let record: PodRecord = read_record(&draft.record()).unwrap().unwrap();
        assert_eq!(record.jid, "local-0f6e1c1a");
    }

    #[test]
    fn what_cannot_be_laid_out_is_refused() {
        let mount = |path: &str| json!([{"name": "v", "mountPath": path}]);
        let host = |path: &str, kind: &str| json!([{"name": "v", "hostPath": {"path": path, "type": kind}}]);
        let scratch = json!([{"name": "v", "emptyDir": {}}]);
        for (mounts, volumes, want) in [
            (
                mount("../up"),
                scratch.clone(),
                "below the scratch directory",
            ),
            (mount("."), scratch.clone(), "below the scratch directory"),
            (
                json!([{"name": "v", "mountPath": "a"}, {"name": "v", "mountPath": "a"}]),
                scratch.clone(),
                "cannot mount volume `v` at `a`",
            ),
            (
                json!([{"name": "v", "mountPath": "a"}, {"name": "v", "mountPath": "a/b/c"}]),
                host("/tmp", ""),
                "inside another mount",
            ),
            (mount("/x"), host("/no/such", "Directory"), "no `Directory`"),
            (mount("/x"), host("/usr", "File"), "no `File`"),
            (mount("/x"), host("/usr", "Magic"), "no `Magic`"),
        ] {
            let (_dir, _, _, text) = laid(&mounts, &volumes);
            assert!(text.contains(want), "{text} / {want}");
        }
    }
}
