//! The volumes of a pod: which it has, and what is in them. Pure; `volume_files` writes them.

use std::{collections::BTreeMap, path::PathBuf};

use k8s_openapi::{
    api::core::v1::{ConfigMap, KeyToPath, PodSpec, Secret, Volume as VolumeSpec},
    ByteString,
};

use super::identifiers::relative_path;
use crate::{
    interlink::wire::{self, PodCreateRequests, RetrievedPodData},
    json::{self, Piece},
    plugin::refusal::Refusal,
    text::is_dns_label,
};

/// The mode of a file for which the pod asks none. Kubernetes would say 0644; but here everybody
/// who logs in to the machine could read that.
const DEFAULT_MODE: i32 = 0o600;

/// The most that the volumes of a pod hold together. A request has no more bytes, but many volumes can name
/// one ConfigMap.
const MAX_BYTES: usize = 32 << 20;

/// A volume of a pod.
#[derive(Debug, PartialEq)]
pub(crate) struct PodVolume {
    pub(crate) name: String,
    pub(crate) source: VolumeSource,
}

/// What a volume holds when the pod starts.
#[derive(Debug, PartialEq)]
pub(crate) enum VolumeSource {
    /// A fresh directory of the pod's own.
    EmptyDir,
    /// A path of this machine, and what has to be there (`hostPath.type`).
    HostPath { path: PathBuf, kind: String },
    /// Files that came along.
    Files(Vec<VolumeFile>),
}

impl VolumeSource {
    /// The bytes of all its files.
    fn bytes(&self) -> usize {
        match self {
            Self::EmptyDir | Self::HostPath { .. } => 0,
            Self::Files(files) => files.iter().map(|file| file.bytes.len()).sum(),
        }
    }
}

/// A file in a volume.
#[derive(Debug, PartialEq)]
pub(crate) struct VolumeFile {
    /// Relative, and stays inside the volume.
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    pub(crate) bytes: Vec<u8>,
}

/// The ConfigMaps and the like that came with a pod.
#[derive(Debug, Default)]
pub(crate) struct VolumeContents {
    configmaps: Vec<ConfigMap>,
    secrets: Vec<Secret>,
    /// Named after the volume: interLink's server matches projected and downward API volumes to the
    /// virtual kubelet's ConfigMaps by that name (0.6, 0.7).
    projected: Vec<ConfigMap>,
}

impl From<PodCreateRequests> for VolumeContents {
    fn from(data: PodCreateRequests) -> Self {
        Self {
            configmaps: data.configmaps,
            secrets: data.secrets,
            projected: data.projected_volumes,
        }
    }
}

impl From<RetrievedPodData> for VolumeContents {
    fn from(data: RetrievedPodData) -> Self {
        let mut contents = Self::default();
        for container in data.containers {
            contents.configmaps.extend(container.configmaps);
            contents.secrets.extend(container.secrets);
            contents.projected.extend(container.projected_volumes);
        }
        contents
    }
}

/// Finds every volume's contents.
///
/// # Errors
/// A kind of volume that cannot be had here, contents that did not come, and names that lead
/// out of the volume.
pub(crate) fn resolve(
    spec: &PodSpec,
    contents: &VolumeContents,
) -> Result<Vec<PodVolume>, Refusal> {
    let mut volumes: Vec<PodVolume> = Vec::new();
    let mut bytes = 0_usize;
    for volume in spec.volumes.iter().flatten() {
        let name = &volume.name;
        if !is_dns_label(name) {
            let text = format!("`{name}` is not a DNS label, so no volume's name");
            return Err(Refusal::invalid(text));
        }
        if volumes.iter().any(|other| other.name == *name) {
            let text = format!("two volumes are called `{name}`");
            return Err(Refusal::invalid(text));
        }
        let source = source(volume, contents)
            .map_err(|text| Refusal::invalid(format!("volume `{name}`: {text}")))?;
        bytes = bytes.saturating_add(source.bytes());
        if bytes > MAX_BYTES {
            let text = format!(
                "with volume `{name}` the pod's volumes hold {bytes} bytes, more than {MAX_BYTES}"
            );
            return Err(Refusal::invalid(text));
        }
        let name = name.clone();
        volumes.push(PodVolume { name, source });
    }
    Ok(volumes)
}

fn source(volume: &VolumeSpec, contents: &VolumeContents) -> Result<VolumeSource, String> {
    if volume.empty_dir.is_some() {
        return Ok(VolumeSource::EmptyDir);
    }
    if let Some(host) = &volume.host_path {
        if !host.path.starts_with('/') || host.path.contains('\0') {
            return Err(format!("`{}` is not an absolute path", host.path));
        }
        return Ok(VolumeSource::HostPath {
            path: host.path.clone().into(),
            kind: host.type_.clone().unwrap_or_default(),
        });
    }
    if let Some(map) = &volume.config_map {
        let found = named(&contents.configmaps, &map.name);
        let selection = FileSelection {
            what: format!("ConfigMap `{}`", map.name),
            items: map.items.as_deref(),
            mode: map.default_mode,
            optional: map.optional == Some(true),
        };
        return selection.files(found.map(entries));
    }
    if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let named = |secret: &&Secret| secret.metadata.name.as_deref() == Some(name);
        let found = contents.secrets.iter().find(named);
        let selection = FileSelection {
            what: format!("Secret `{name}`"),
            items: secret.items.as_deref(),
            mode: secret.default_mode,
            optional: secret.optional == Some(true),
        };
        return selection.files(found.map(secret_entries));
    }
    let mode = match (&volume.projected, &volume.downward_api) {
        (Some(projected), _) => projected.default_mode,
        (None, Some(downward)) => downward.default_mode,
        (None, None) => return unsupported(volume),
    };
    let selection = FileSelection {
        what: "its projected contents".to_owned(),
        items: None,
        mode,
        optional: false,
    };
    selection.files(named(&contents.projected, &volume.name).map(entries))
}

/// A volume without any source is an emptyDir (the API server's default).
fn unsupported(volume: &VolumeSpec) -> Result<VolumeSource, String> {
    match kind_of(volume) {
        Err(_) => Err("it cannot be read".to_owned()),
        Ok(None) => Ok(VolumeSource::EmptyDir),
        Ok(Some(kind)) => Err(format!(
            "this plugin has no `{kind}` volumes, only emptyDir, hostPath, configMap, secret, \
             projected and downwardAPI"
        )),
    }
}

/// The field that says where a volume's contents come from.
fn kind_of(volume: &VolumeSpec) -> Result<Option<String>, json::Error> {
    let mut written = Vec::new();
    wire::write(&mut written, volume).map_err(|error| json::Error::Syntax(error.to_string()))?;
    let mut fields = Piece::of_body(&written)?.object()?;
    while let Some((name, _)) = fields.next_field()? {
        if name != "name" {
            return Ok(Some(name.into_owned()));
        }
    }
    Ok(None)
}

/// Which entries of a ConfigMap or the like become files, and how.
struct FileSelection<'a> {
    what: String,
    items: Option<&'a [KeyToPath]>,
    mode: Option<i32>,
    optional: bool,
}

impl FileSelection<'_> {
    fn files(&self, found: Option<BTreeMap<String, Vec<u8>>>) -> Result<VolumeSource, String> {
        let what = &self.what;
        let mut entries = match found {
            Some(entries) => entries,
            None if self.optional => BTreeMap::new(),
            None => return Err(format!("{what} did not come with the pod")),
        };
        let mode = self.mode.unwrap_or(DEFAULT_MODE);
        let Some(items) = self.items else {
            let files = entries
                .into_iter()
                .map(|(key, bytes)| file(&key, mode, bytes));
            return Ok(VolumeSource::Files(files.collect::<Result<_, _>>()?));
        };
        let mut files = Vec::new();
        for item in items {
            match entries.remove(&item.key) {
                Some(bytes) => files.push(file(&item.path, item.mode.unwrap_or(mode), bytes)?),
                None if self.optional => {}
                None => return Err(format!("{what} has no key `{}`", item.key)),
            }
        }
        Ok(VolumeSource::Files(files))
    }
}

fn file(path: &str, mode: i32, bytes: Vec<u8>) -> Result<VolumeFile, String> {
    let inside = relative_path(path).ok_or_else(|| format!("`{path}` leads out of it"))?;
    let mode = u32::try_from(mode)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| format!("{mode} is no mode for `{path}`"))?;
    Ok(VolumeFile {
        path: inside,
        mode,
        bytes,
    })
}

fn named<'a>(maps: &'a [ConfigMap], name: &str) -> Option<&'a ConfigMap> {
    maps.iter()
        .find(|map| map.metadata.name.as_deref() == Some(name))
}

fn entries(map: &ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = map.data.iter().flatten();
    let binary = map.binary_data.iter().flatten();
    text.map(|(key, value)| (key.clone(), value.clone().into_bytes()))
        .chain(binary.map(|(key, ByteString(value))| (key.clone(), value.clone())))
        .collect()
}

fn secret_entries(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    let data = secret.data.iter().flatten();
    let text = secret.string_data.iter().flatten();
    // As the API server does: `stringData` wins.
    data.map(|(key, ByteString(value))| (key.clone(), value.clone()))
        .chain(text.map(|(key, value)| (key.clone(), value.clone().into_bytes())))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;

    fn contents() -> VolumeContents {
        let request = json!({
            "pod": {"metadata": {}},
            "configmaps": [{
                "metadata": {"name": "settings"},
                "data": {"a.conf": "A", "b.conf": "B"},
                "binaryData": {"c.bin": "/wA="},
            }],
            "secrets": [{
                "metadata": {"name": "keys"},
                "data": {"user": "bWU=", "both": "b2xk"},
                "stringData": {"both": "new"},
            }],
            "projectedvolumesmaps": [
                {"metadata": {"name": "api"}, "data": {"token": "T"}},
                {"metadata": {"name": "evil"}, "data": {"../../x": "X"}},
            ],
        });
        let request: PodCreateRequests = serde_json::from_value(request).unwrap();
        VolumeContents::from(request)
    }

    fn planned(volume: Value) -> Result<VolumeSource, String> {
        let spec = serde_json::from_value(json!({"containers": [], "volumes": [volume]})).unwrap();
        resolve(&spec, &contents())
            .map(|mut volumes| volumes.remove(0).source)
            .map_err(|refusal| refusal.to_string())
    }

    fn files(of: &[(&str, u32, &[u8])]) -> VolumeSource {
        let file = |(path, mode, bytes): &(&str, u32, &[u8])| VolumeFile {
            path: path.into(),
            mode: *mode,
            bytes: bytes.to_vec(),
        };
        VolumeSource::Files(of.iter().map(file).collect())
    }

    #[test]
    fn every_kind_of_volume() {
        let host = VolumeSource::HostPath {
            path: "/data".into(),
            kind: "Directory".to_owned(),
        };
        for (name, volume, want) in [
            ("nothing said", json!({"name": "v"}), VolumeSource::EmptyDir),
            (
                "emptyDir",
                json!({"name": "v", "emptyDir": {}}),
                VolumeSource::EmptyDir,
            ),
            (
                "hostPath",
                json!({"name": "v", "hostPath": {"path": "/data", "type": "Directory"}}),
                host,
            ),
            (
                "configMap",
                json!({"name": "v", "configMap": {"name": "settings", "defaultMode": 420}}),
                files(&[
                    ("a.conf", 0o644, b"A"),
                    ("b.conf", 0o644, b"B"),
                    ("c.bin", 0o644, b"\xff\0"),
                ]),
            ),
            (
                "configMap items",
                json!({"name": "v", "configMap": {"name": "settings", "items": [
                    {"key": "b.conf", "path": "etc/b"},
                    {"key": "a.conf", "path": "a", "mode": 0o400},
                ]}}),
                files(&[("etc/b", 0o600, b"B"), ("a", 0o400, b"A")]),
            ),
            (
                "optional and absent",
                json!({"name": "v", "configMap": {"name": "none", "optional": true}}),
                files(&[]),
            ),
            (
                "secret",
                json!({"name": "v", "secret": {"secretName": "keys"}}),
                files(&[("both", 0o600, b"new"), ("user", 0o600, b"me")]),
            ),
            (
                "projected",
                json!({"name": "api", "projected": {"sources": []}}),
                files(&[("token", 0o600, b"T")]),
            ),
            (
                "downwardAPI",
                json!({"name": "api", "downwardAPI": {"defaultMode": 256}}),
                files(&[("token", 0o400, b"T")]),
            ),
        ] {
            assert_eq!(planned(volume), Ok(want), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        for (volume, want) in [
            (json!({"name": "V"}), "`V` is not a DNS label"),
            (
                json!({"name": "v", "csi": {"driver": "d"}}),
                "no `csi` volumes",
            ),
            (
                json!({"name": "v", "nfs": {"path": "/", "server": "s"}}),
                "no `nfs` volumes",
            ),
            (
                json!({"name": "v", "hostPath": {"path": "data"}}),
                "`data` is not an absolute path",
            ),
            (
                json!({"name": "v", "configMap": {"name": "x"}}),
                "ConfigMap `x` did not come",
            ),
            (
                json!({"name": "v", "secret": {"secretName": "x"}}),
                "Secret `x` did not come",
            ),
            (
                json!({"name": "v", "projected": {}}),
                "its projected contents did not come",
            ),
            (
                json!({"name": "v", "secret": {"secretName": "keys", "items": [
                    {"key": "x", "path": "x"},
                ]}}),
                "has no key `x`",
            ),
            (
                json!({"name": "v", "secret": {"secretName": "keys", "items": [
                    {"key": "user", "path": "../up"},
                ]}}),
                "`../up` leads out of it",
            ),
            (
                json!({"name": "evil", "projected": {}}),
                "`../../x` leads out of it",
            ),
            (
                json!({"name": "v", "secret": {"secretName": "keys", "defaultMode": 4096}}),
                "4096 is no mode",
            ),
        ] {
            let text = planned(volume).unwrap_err();
            assert!(text.contains(want), "{text} / {want}");
        }
    }
}
