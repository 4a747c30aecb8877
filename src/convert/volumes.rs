//! The volumes of a job, with what they hold.
//!
//! The interLink server looks for the contents of a volume by name, so volume and object have the same
//! one. Plugins bind every file of a ConfigMap, Secret or projected volume by its key below the mount
//! path, or all of them **at** the mount path where there is a subPath; not all know `items`. So keys
//! are the names of files, and what is mounted by subPath is a volume of its own with that one file in
//! it. So is what lies in a directory of a volume, unless the plugin makes directories: it is mounted where that directory would be. A key
//! with a `/` in it is none to Kubernetes (`IsConfigMapKey` in
//! `staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go`), and there is a plugin that drops a
//! whole volume because of one: see the table of `profile`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use k8s_openapi::{
    api::core::v1::{
        ConfigMap, ConfigMapProjection, ConfigMapVolumeSource, EmptyDirVolumeSource,
        HostPathVolumeSource, KeyToPath, ProjectedVolumeSource, Secret, SecretVolumeSource, Volume,
        VolumeMount, VolumeProjection,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    ByteString,
};

use super::{
    mount_check,
    mount_policy::{mount_policy, Content, MountPolicy},
    remote_names::{dns_label, short_hash, slug},
    Settings,
};
use crate::{
    kubelet::{ContentFile, ContentKind, Files, FoundMount, PathKind},
    proto::{Mount, MountPropagation},
};

/// Kubernetes' own default.
const DEFAULT_MODE: i32 = 0o644;

/// The volumes of one job, as its containers ask for them one by one.
pub struct JobVolumes<'a> {
    settings: &'a Settings,
    namespace: String,
    volumes: Vec<Volume>,
    /// What those volumes hold that came from the API server.
    files: HashMap<String, Arc<Files>>,
    /// ConfigMaps that the volumes name.
    pub configmaps: Vec<ConfigMap>,
    /// Secrets that the volumes name.
    pub secrets: Vec<Secret>,
    /// Contents of projected and downward API volumes, by the names of the volumes.
    pub projected: Vec<ConfigMap>,
}

impl<'a> JobVolumes<'a> {
    /// No volumes yet. `namespace` is the job's.
    pub fn new(namespace: String, settings: &'a Settings) -> Self {
        Self {
            settings,
            namespace,
            volumes: Vec::new(),
            files: HashMap::new(),
            configmaps: Vec::new(),
            secrets: Vec::new(),
            projected: Vec::new(),
        }
    }

    /// A container's mounts, with the volumes that they need; `found` is what stands behind them.
    /// What cannot be part of a remote job is left out: the container was accepted, so its job is not refused for a
    /// setting that changed since.
    pub fn mounts(&mut self, mounts: &[Mount], found: &[FoundMount]) -> Vec<VolumeMount> {
        let both = mounts.iter().zip(found);
        both.flat_map(
            |(mount, found)| match mount_policy(mount, found, self.settings) {
                MountPolicy::Send(content) => self.mount(mount, content),
                _ => Vec::new(),
            },
        )
        .collect()
    }

    /// What is mounted for one mount: a volume, and one more for each directory of files in it.
    fn mount(&mut self, mount: &Mount, content: Content<'_>) -> Vec<VolumeMount> {
        let Content::Files {
            kind,
            volume,
            inside,
            is_file,
            files,
        } = content
        else {
            return vec![self.volume_mount(mount, "", content)];
        };
        if self.settings.keys_are_paths || !files.keys().any(|path| path.contains('/')) {
            return vec![self.volume_mount(mount, "", content)];
        }
        let by_directory = by_directory(files);
        let mount_each = by_directory.into_iter().map(|(directory, files)| {
            // The one file of a subPath is mounted at its place, wherever it was in the volume.
            let (at, inside) = match (is_file, inside, directory) {
                (true, inside, _) | (false, inside, "") => ("", inside.to_owned()),
                (false, "", directory) => (directory, directory.to_owned()),
                (false, inside, directory) => (directory, format!("{inside}/{directory}")),
            };
            let content = Content::Files {
                kind,
                volume,
                inside: &inside,
                is_file,
                files: &Arc::new(files),
            };
            self.volume_mount(mount, at, content)
        });
        mount_each.collect()
    }

    /// A mount of this content, at the mount's own path or `at` one below it.
    fn volume_mount(&mut self, mount: &Mount, at: &str, content: Content<'_>) -> VolumeMount {
        let follows = MountPropagation::PROPAGATION_HOST_TO_CONTAINER;
        let path = &mount.container_path;
        VolumeMount {
            name: self.volume(content),
            mount_path: match at {
                "" => path.clone(),
                at => format!("{}/{at}", path.trim_end_matches('/')),
            },
            read_only: mount.readonly.then_some(true),
            mount_propagation: (mount_check::propagation(mount) == follows)
                .then(|| "HostToContainer".to_owned()),
            sub_path: sub_path(content),
            ..VolumeMount::default()
        }
    }

    /// The name of the volume with this content, made if it is new. Mounts with equal contents
    /// share one.
    fn volume(&mut self, content: Content<'_>) -> String {
        let wanted = name(content);
        let mut number = 1;
        let mut name = wanted.clone();
        while let Some(known) = self.volumes.iter().find(|known| known.name == name) {
            if self.holds(known, content) {
                return name;
            }
            // An emptyDir that has the name of a host path is a freak, but not to be mixed up
            // with it.
            number += 1;
            name = dns_label(&format!("{wanted}-{number}"));
        }
        self.volumes.push(volume(&name, content));
        self.add_object(&name, content);
        name
    }

    /// Whether a volume is the one for this content.
    fn holds(&self, known: &Volume, content: Content<'_>) -> bool {
        let Content::Files { kind, files, .. } = content else {
            return *known == volume(&known.name, content);
        };
        let is_kind = match kind {
            ContentKind::ConfigMap => known.config_map.is_some(),
            ContentKind::Secret => known.secret.is_some(),
            ContentKind::Projected | ContentKind::DownwardApi => known.projected.is_some(),
        };
        let same = self.files.get(&known.name);
        // One look at the node gives the files of a volume once, so mostly it is the same one.
        is_kind && same.is_some_and(|same| Arc::ptr_eq(same, files) || same == files)
    }

    fn add_object(&mut self, name: &str, content: Content<'_>) {
        let Content::Files { kind, files, .. } = content else {
            return;
        };
        self.files.insert(name.to_owned(), files.clone());
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            ..ObjectMeta::default()
        };
        match kind {
            ContentKind::Secret => self.secrets.push(Secret {
                metadata,
                data: secret_data(files),
                type_: Some("Opaque".to_owned()),
                ..Secret::default()
            }),
            ContentKind::ConfigMap => self.configmaps.push(config_map(metadata, files)),
            ContentKind::Projected | ContentKind::DownwardApi => {
                self.projected.push(config_map(metadata, files));
            }
        }
    }

    /// The volumes in the order of their first use.
    pub fn take_volumes(&mut self) -> Vec<Volume> {
        std::mem::take(&mut self.volumes)
    }
}

/// Files by the directories that they lie in, under the names that they have there.
fn by_directory(files: &Files) -> BTreeMap<&str, Files> {
    let mut directories: BTreeMap<&str, Files> = BTreeMap::new();
    for (path, file) in files {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let files = directories.entry(directory).or_default();
        files.insert(name.to_owned(), file.clone());
    }
    directories
}

/// What is mounted of a volume that is shared with other mounts, or holds one file only.
fn sub_path(content: Content<'_>) -> Option<String> {
    match content {
        Content::EmptyDir { inside, .. } => (!inside.is_empty()).then(|| inside.to_owned()),
        Content::Files { is_file, files, .. } if is_file => files.keys().next().cloned(),
        Content::Files { .. } | Content::HostPath(..) => None,
    }
}

fn name(content: Content<'_>) -> String {
    match content {
        Content::EmptyDir { volume, .. } => dns_label(volume),
        Content::HostPath(path, _) => host_path_name(path),
        Content::Files {
            volume, inside: "", ..
        } => dns_label(volume),
        Content::Files { volume, inside, .. } => {
            let (part, hash) = (slug(inside, 20), short_hash(inside));
            dns_label(&format!("{}-{part}-{hash}", slug(volume, 30)))
        }
    }
}

fn volume(name: &str, content: Content<'_>) -> Volume {
    let mut volume = Volume {
        name: name.to_owned(),
        ..Volume::default()
    };
    match content {
        Content::EmptyDir { medium, .. } => {
            volume.empty_dir = Some(EmptyDirVolumeSource {
                medium: (!medium.is_empty()).then(|| medium.to_owned()),
                size_limit: None,
            });
        }
        Content::HostPath(path, kind) => volume.host_path = Some(host_path(path, kind)),
        Content::Files { kind, files, .. } => {
            let (default_mode, items) = modes(files);
            match kind {
                ContentKind::ConfigMap => {
                    volume.config_map = Some(ConfigMapVolumeSource {
                        name: name.to_owned(),
                        default_mode,
                        items,
                        optional: None,
                    });
                }
                ContentKind::Secret => {
                    volume.secret = Some(SecretVolumeSource {
                        secret_name: Some(name.to_owned()),
                        default_mode,
                        items,
                        optional: None,
                    });
                }
                // As interLink's virtual kubelet has it, a downward API volume is a projected one.
                ContentKind::Projected | ContentKind::DownwardApi => {
                    let source = VolumeProjection {
                        config_map: Some(ConfigMapProjection {
                            name: name.to_owned(),
                            items,
                            optional: None,
                        }),
                        ..VolumeProjection::default()
                    };
                    volume.projected = Some(ProjectedVolumeSource {
                        default_mode,
                        sources: Some(vec![source]),
                    });
                }
            }
        }
    }
    volume
}

/// The mode that most files have, unless it is Kubernetes' own; and all files with theirs, unless that
/// says it all.
fn modes(files: &Files) -> (Option<i32>, Option<Vec<KeyToPath>>) {
    let mut counts = BTreeMap::new();
    for file in files.values() {
        *counts.entry(file.mode).or_insert(0) += 1;
    }
    let usual = counts.iter().max_by_key(|(_, count)| **count);
    let usual = usual.map_or(DEFAULT_MODE, |(mode, _)| {
        i32::try_from(*mode).unwrap_or(DEFAULT_MODE)
    });
    let default_mode = (usual != DEFAULT_MODE).then_some(usual);
    if counts.len() <= 1 {
        return (default_mode, None);
    }
    let items = files.iter().map(|(path, file)| KeyToPath {
        key: path.clone(),
        path: path.clone(),
        mode: i32::try_from(file.mode).ok(),
    });
    (default_mode, Some(items.collect()))
}

fn config_map(metadata: ObjectMeta, files: &Files) -> ConfigMap {
    let (mut data, mut binary_data) = (BTreeMap::new(), BTreeMap::new());
    for (path, file) in files {
        match std::str::from_utf8(&file.bytes) {
            Ok(text) => {
                data.insert(path.clone(), text.to_owned());
            }
            Err(_) => {
                binary_data.insert(path.clone(), ByteString(file.bytes.clone()));
            }
        }
    }
    ConfigMap {
        metadata,
        data: (!data.is_empty()).then_some(data),
        binary_data: (!binary_data.is_empty()).then_some(binary_data),
        immutable: None,
    }
}

fn secret_data(files: &Files) -> Option<BTreeMap<String, ByteString>> {
    let entry =
        |(path, file): (&String, &ContentFile)| (path.clone(), ByteString(file.bytes.clone()));
    (!files.is_empty()).then(|| files.iter().map(entry).collect())
}

fn host_path(path: &str, kind: PathKind) -> HostPathVolumeSource {
    HostPathVolumeSource {
        path: without_trailing_slash(path).to_owned(),
        // What was found here has to be there too.
        type_: match kind {
            PathKind::Directory => Some("Directory".to_owned()),
            PathKind::File => Some("File".to_owned()),
            PathKind::Unknown => None,
        },
    }
}

/// The CRI does not say what the pod calls the volume, so a name is made that stays the same.
fn host_path_name(path: &str) -> String {
    let path = without_trailing_slash(path);
    format!("host-{}-{}", slug(path, 40), short_hash(path))
}

fn without_trailing_slash(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    }
}

#[cfg(test)]
mod tests;
