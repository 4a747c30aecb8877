//! Writes a new pod's directory: its record, its volumes, and for each container its scratch
//! directory and its command.
//!
//! Without mount namespaces a `mountPath` cannot be honoured as such. Instead each volume that a
//! container mounts is named in its environment, as `INTERLINK_VOLUME_<NAME>`; and a `mountPath`
//! that is relative, or lies below the container's scratch directory, becomes a symbolic link.

use std::{
    collections::BTreeMap,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{
    container_dir::{CommandRecord, ContainerDir},
    output,
};
use crate::plugin::{
    pods::{
        make_private_dir, relative_path, write_record, write_volume, ContainerRequest,
        MountRequest, PodDir, PodRecord, PodRequest, RootDir, VolumeSource,
    },
    refusal::Refusal,
};

/// The PATH of a container that brings none, if this process has none either.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A pod that is being written.
struct NewPod<'a> {
    request: &'a PodRequest,
    /// Where it is written.
    /// The most that is kept of what a container prints, in bytes; 0 is no bound.
    max_output: u64,
    dir: &'a PodDir,
    /// Where it will be moved to: what its containers' paths are made of.
    final_dir: PodDir,
}

/// Writes a pod into `dir`, from where it will be moved to its place below `root`; gives its
/// record, with the job's id in it.
pub(super) fn write(
    request: &PodRequest,
    dir: &PodDir,
    root: &RootDir,
    max_output: u64,
) -> Result<PodRecord, Refusal> {
    let pod = NewPod {
        request,
        max_output,
        dir,
        final_dir: root.pod(&request.uid),
    };
    make_private_dir(&dir.0)?;
    for volume in &request.volumes {
        write_volume(volume, dir)?;
    }
    for container in request.all_containers() {
        pod.write_container(container, root)?;
    }
    let record = request.record(format!("local-{}", &request.uid[..8]));
    write_record(&dir.record(), &record)?;
    Ok(record)
}

impl NewPod<'_> {
    fn write_container(&self, container: &ContainerRequest, root: &RootDir) -> Result<(), Refusal> {
        let dir = ContainerDir::of(self.dir, &container.name);
        make_private_dir(&dir.work())?;
        let final_work = ContainerDir::of(&self.final_dir, &container.name).work();
        let mut env = container.env.clone();
        for mount in &container.mounts {
            let target = self.mount_target(mount)?;
            link_mount(mount, &container.name, &target, &final_work, &dir.work())?;
            env.entry(volume_variable(&mount.volume))
                .or_insert_with(|| target.to_string_lossy().into_owned());
        }
        add_default_env(&mut env, &self.request.hostname, &final_work);
        let record = CommandRecord {
            root: root.0.clone(),
            uid: self.request.uid.clone(),
            command: [&container.command[..], &container.args[..]].concat(),
            env: env.into_iter().collect(),
            working_dir: container.working_dir.clone(),
            max_output: self.max_output,
        };
        write_record(&dir.command(), &record)?;
        // The log exists before the container starts, so that a follower can hold on to it.
        output::open(&dir)?;
        Ok(())
    }

    /// The path of this machine at which a container finds what it mounts.
    fn mount_target(&self, mount: &MountRequest) -> Result<PathBuf, Refusal> {
        let mut volumes = self.request.volumes.iter();
        let volume = volumes.find(|volume| volume.name == mount.volume);
        let whole = match volume.map(|volume| &volume.source) {
            Some(VolumeSource::HostPath { path, .. }) => path.clone(),
            Some(VolumeSource::EmptyDir) => {
                // The kubelet makes a missing subPath of an emptyDir as well
                // (kubelet_pods.go, `makeMounts`).
                make_private_dir(&self.dir.volume(&mount.volume).join(&mount.sub_path))?;
                self.final_dir.volume(&mount.volume)
            }
            Some(VolumeSource::Files(_)) | None => self.final_dir.volume(&mount.volume),
        };
        // Joined to nothing, a path would gain a slash at its end.
        Ok(match mount.sub_path.as_os_str().is_empty() {
            true => whole,
            false => whole.join(&mount.sub_path),
        })
    }
}

/// Links a volume into a container's scratch directory, if its `mountPath` lies there. The
/// directory is `new_work` now, and will be `final_work`.
fn link_mount(
    mount: &MountRequest,
    container: &str,
    target: &Path,
    final_work: &Path,
    new_work: &Path,
) -> Result<(), Refusal> {
    let path = Path::new(&mount.mount_path);
    let inside = match (path.strip_prefix(final_work), path.is_absolute()) {
        (Ok(inside), _) => inside,
        (Err(_), false) => path,
        (Err(_), true) => return Ok(()),
    };
    let refuse = |why: &str| {
        let (path, volume) = (&mount.mount_path, &mount.volume);
        let text =
            format!("container `{container}`: cannot mount volume `{volume}` at `{path}`: {why}");
        Refusal::invalid(text)
    };
    let inside = inside.to_str().and_then(relative_path);
    let at =
        new_work.join(inside.ok_or_else(|| refuse("it must lie below the scratch directory"))?);
    let mut parents = at.ancestors().skip(1).take_while(|dir| *dir != new_work);
    if parents.any(Path::is_symlink) {
        // A link made there would land in the other volume, a user's own directory perhaps.
        return Err(refuse("it lies inside another mount"));
    }
    make_private_dir(at.parent().unwrap_or(new_work))
        .and_then(|()| symlink(target, &at))
        .map_err(|error| refuse(&error.to_string()))
}

/// The environment variable that names a volume's path.
fn volume_variable(volume: &str) -> String {
    let upper = volume.to_ascii_uppercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    format!(
        "INTERLINK_VOLUME_{}",
        upper.chars().map(plain).collect::<String>()
    )
}

/// Adds the variables that every program expects. A container's own values stand.
fn add_default_env(env: &mut BTreeMap<String, String>, hostname: &str, work: &Path) {
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
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use serde_json::{json, Value};

    use super::*;
    use crate::{
        disk::Disk,
        plugin::pods::{provide_host_paths, read_record},
    };

    const UID: &str = "0f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10";

    /// Writes a pod into a fresh root; gives the root's guard, the pod's new and its final
    /// directory, and the refusal's text.
    fn written(mounts: &Value, volumes: &Value) -> (tempfile::TempDir, PodDir, PodDir, String) {
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
        let request = PodRequest::parse(body.to_string().as_bytes()).unwrap();
        let root = RootDir(dir.path().into());
        let new = root.new_pod(UID);
        let provided = provide_host_paths(&request, &Disk::default());
        let text = match provided.and_then(|()| write(&request, &new, &root, 0)) {
            Ok(_) => String::new(),
            Err(refusal) => refusal.to_string(),
        };
        (dir, new, root.pod(UID), text)
    }

    fn env(pod: &PodDir) -> BTreeMap<String, String> {
        let record = ContainerDir::of(pod, "main").command();
        let record: CommandRecord = read_record(&record).unwrap().unwrap();
        record.env.into_iter().collect()
    }

    #[test]
    fn volumes_are_named_in_the_environment_and_linked_where_that_can_be() {
        let (_dir, new, place, text) = written(
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
        let env = env(&new);
        let data = place.volume("my-data");
        assert_eq!(Path::new(&env["INTERLINK_VOLUME_MY_DATA"]), data);
        assert_eq!(env["INTERLINK_VOLUME_HOST"], "/usr");
        assert_eq!(
            (env["HOME"].as_str(), env["HOSTNAME"].as_str()),
            ("/mine", "p")
        );
        assert!(env.contains_key("PATH") && env["A"] == "1");
        let work = ContainerDir::of(&new, "main").work();
        assert_eq!(
            fs::read_link(work.join("in/here")).unwrap(),
            data.join("part")
        );
        assert_eq!(fs::read_link(work.join("usr")).unwrap(), Path::new("/usr"));
        assert!(new.volume("my-data").join("part").is_dir());
        let key = new.volume("keys").join("user");
        assert_eq!(fs::read(&key).unwrap(), b"me");
        assert_eq!(
            fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o400
        );
        let record: PodRecord = read_record(&new.record()).unwrap().unwrap();
        assert_eq!(record.jid, "local-0f6e1c1a");
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
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
            let (_dir, _, _, text) = written(&mounts, &volumes);
            assert!(text.contains(want), "{text} / {want}");
        }
    }
}
