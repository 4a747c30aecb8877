//! Where a kubelet puts a pod's volumes, and what it mounts of them (`makeMounts` in
//! `pkg/kubelet/kubelet_pods.go`). [`super::mount_source`] leads back: it tells from a path what
//! stands behind it.

use std::{
    cell::Cell,
    path::{Component, Path, PathBuf},
};

use k8s_openapi::api::core::v1::{Container, PersistentVolume, Volume, VolumeMount};

use super::{
    allowance::{Allowance, MAX_PATH},
    directory,
    environment::Environment,
    error::Error,
    pod::KubeletPod,
    volume_contents::ONLY_A_KUBELET,
};
use crate::proto::{Mount, MountPropagation};

/// A volume on the node.
struct VolumePath {
    path: PathBuf,
    /// Whether nobody may write to it, whatever a container's mount says.
    read_only: bool,
}

impl VolumePath {
    fn new(path: impl Into<PathBuf>, read_only: Option<bool>) -> Self {
        Self {
            path: path.into(),
            read_only: read_only.unwrap_or(false),
        }
    }
}

/// The claim that a volume is (`VolumeClaimName` in
/// `staging/src/k8s.io/component-helpers/storage/ephemeral/ephemeral.go`).
pub fn claim_name(pod: &str, volume: &Volume) -> Option<String> {
    let claim = volume.persistent_volume_claim.as_ref();
    let ephemeral = volume.ephemeral.as_ref();
    claim
        .map(|claim| claim.claim_name.clone())
        .or_else(|| ephemeral.map(|_| format!("{pod}-{}", volume.name)))
}

/// What a container mounts, with the `variables` that it has.
///
/// # Errors
/// A volume that only a kubelet can find, a path within it that is none.
pub fn mounts(
    pod: &KubeletPod<'_>,
    container: &Container,
    variables: &Environment,
) -> Result<Vec<Mount>, Error> {
    let allowance = &mut Allowance::for_paths();
    let mounts = container.volume_mounts.iter().flatten();
    let mounts = mounts.map(|mount| {
        let volume = volume_path(pod, pod.volume(&mount.name)?)?;
        let about = |error: Error| error.about(format_args!("mount `{}`", mount.mount_path));
        let part = sub_path(mount, variables, allowance).map_err(about)?;
        let path = match part.filter(|part| !part.is_empty()) {
            Some(part) => volume.path.join(part),
            None => volume.path,
        };
        let bytes = path.as_os_str().len() + mount.mount_path.len();
        allowance.take_text(bytes, 2 * MAX_PATH).map_err(about)?;
        Ok(Mount {
            container_path: mount.mount_path.clone(),
            host_path: path.display().to_string(),
            readonly: volume.read_only || mount.read_only.unwrap_or(false),
            propagation: propagation(mount).into(),
            ..Default::default()
        })
    });
    mounts.collect()
}

fn volume_path(pod: &KubeletPod<'_>, volume: &Volume) -> Result<VolumePath, Error> {
    let name = &volume.name;
    let directory = |plugin| directory::volume(pod.kubelet_root, pod.uid, plugin, name);
    if let Some(host) = &volume.host_path {
        Ok(VolumePath::new(&host.path, None))
    } else if let Some(plugin) = directory::own_plugin(volume) {
        let is_scratch = volume.empty_dir.is_some();
        Ok(VolumePath::new(directory(plugin), Some(!is_scratch)))
    } else if let Some(nfs) = &volume.nfs {
        Ok(VolumePath::new(directory(directory::NFS), nfs.read_only))
    } else if let Some(csi) = &volume.csi {
        let path = directory(directory::CSI).join(directory::CSI_MOUNT);
        Ok(VolumePath::new(path, csi.read_only))
    } else if let Some(claim) = claim_name(pod.name(), volume) {
        let Some(persistent) = pod.objects.claims.get(&claim) else {
            return Err(Error::new(format!(
                "volume `{name}`: claim `{claim}` has no persistent volume that is known here"
            )));
        };
        let path = persistent_path(pod, persistent)
            .ok_or_else(|| Error::new(format!("volume `{name}`: {ONLY_A_KUBELET}")))?;
        let claim = volume.persistent_volume_claim.as_ref();
        Ok(VolumePath::new(
            path,
            claim.and_then(|claim| claim.read_only),
        ))
    } else {
        Err(Error::new(format!("volume `{name}`: {ONLY_A_KUBELET}")))
    }
}

/// Of the kinds of persistent volumes those that clusters still have; a kubelet names their
/// directories after them, not after the pod's volume.
fn persistent_path(pod: &KubeletPod<'_>, volume: &PersistentVolume) -> Option<PathBuf> {
    let name = volume.metadata.name.as_deref()?;
    let spec = volume.spec.as_ref()?;
    let directory = |plugin| directory::volume(pod.kubelet_root, pod.uid, plugin, name);
    if let Some(host) = &spec.host_path {
        Some(PathBuf::from(&host.path))
    } else if spec.local.is_some() {
        Some(directory(directory::LOCAL_VOLUME))
    } else if spec.nfs.is_some() {
        Some(directory(directory::NFS))
    } else if spec.csi.is_some() {
        Some(directory(directory::CSI).join(directory::CSI_MOUNT))
    } else {
        None
    }
}

/// The part of a volume that is mounted (`ExpandContainerVolumeMounts` in
/// `pkg/kubelet/container/helpers.go`).
fn sub_path(
    mount: &VolumeMount,
    variables: &Environment,
    allowance: &mut Allowance,
) -> Result<Option<String>, Error> {
    let Some(text) = mount.sub_path_expr.as_deref().filter(|it| !it.is_empty()) else {
        return Ok(mount.sub_path.clone());
    };
    let missing = Cell::new(false);
    let value_of = |name: &str| {
        let value = variables.value_of(name).filter(|value| !value.is_empty());
        missing.set(missing.get() || value.is_none());
        value
    };
    let part = allowance.expand(text, value_of, 1, MAX_PATH)?;
    let inside = |part: &Path| {
        let mut parts = part.components();
        parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    };
    if missing.get() || !inside(Path::new(&part)) {
        return Err(Error::new(format!(
            "subPathExpr `{text}` is no path within volume `{}`, or names a variable without value",
            mount.name
        )));
    }
    Ok(Some(part))
}

fn propagation(mount: &VolumeMount) -> MountPropagation {
    match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => MountPropagation::PROPAGATION_HOST_TO_CONTAINER,
        Some("Bidirectional") => MountPropagation::PROPAGATION_BIDIRECTIONAL,
        _ => MountPropagation::PROPAGATION_PRIVATE,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{json, Value};

    use super::*;
    use crate::kubelet::{api_objects::ApiObjects, testing::kubelet_pod};

    /// The path of what pod `web` mounts, with `(ro)` behind it where it is read-only.
    fn mounted(volume: &Value, mount: &Value) -> Result<String, String> {
        let (mut volume, mut mount) = (volume.clone(), mount.clone());
        volume["name"] = "v".into();
        (mount["name"], mount["mountPath"]) = ("v".into(), "/v".into());
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web"},
            "spec": {
                "containers": [{"name": "a", "volumeMounts": [mount]}],
                "volumes": [volume],
            },
        }))
        .unwrap();
        let persistent = |source: Value| {
            let volume = json!({"metadata": {"name": "pv-1"}, "spec": source});
            serde_json::from_value::<PersistentVolume>(volume).unwrap()
        };
        let claims = [
            ("on-host", json!({"hostPath": {"path": "/lustre/a"}})),
            ("on-nfs", json!({"nfs": {"server": "s", "path": "/"}})),
            ("local", json!({"local": {"path": "/lustre/b"}})),
            (
                "web-v",
                json!({"csi": {"driver": "d", "volumeHandle": "h"}}),
            ),
            (
                "odd",
                json!({"iscsi": {"targetPortal": "t", "iqn": "i", "lun": 0}}),
            ),
        ];
        let claims = claims.map(|(name, source)| (name.to_owned(), persistent(source)));
        let objects = ApiObjects {
            claims: claims.into(),
            ..ApiObjects::default()
        };
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let variables = Environment::of(&[("USER", "ann"), ("LONG", &"x".repeat(1000))]);
        let mounts = mounts(&kubelet_pod(&pod, &objects), container, &variables);
        let mount = mounts.map_err(|error| error.to_string())?.remove(0);
        let mark = if mount.readonly { " (ro)" } else { "" };
        let path = mount.host_path;
        Ok(path.replace("/k/pods/u-1/volumes/kubernetes.io~", "~") + mark)
    }

    #[test]
    fn volumes_are_where_a_kubelet_puts_them() {
        let claim = |name: &str| json!({"persistentVolumeClaim": {"claimName": name}});
        let plain = json!({});
        let rows = [
            (json!({"emptyDir": {}}), &plain, "~empty-dir/v"),
            (
                json!({"emptyDir": {}}),
                &json!({"readOnly": true}),
                "~empty-dir/v (ro)",
            ),
            (
                json!({"configMap": {"name": "c"}}),
                &plain,
                "~configmap/v (ro)",
            ),
            (
                json!({"projected": {"sources": []}}),
                &plain,
                "~projected/v (ro)",
            ),
            (json!({"hostPath": {"path": "/data"}}), &plain, "/data"),
            (
                json!({"nfs": {"server": "s", "path": "/", "readOnly": true}}),
                &plain,
                "~nfs/v (ro)",
            ),
            (json!({"csi": {"driver": "d"}}), &plain, "~csi/v/mount"),
            (claim("on-host"), &plain, "/lustre/a"),
            (claim("on-nfs"), &plain, "~nfs/pv-1"),
            (claim("local"), &plain, "~local-volume/pv-1"),
            (
                json!({"persistentVolumeClaim": {"claimName": "local", "readOnly": true}}),
                &json!({"subPath": "x/y"}),
                "~local-volume/pv-1/x/y (ro)",
            ),
            (
                json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}),
                &json!({"subPathExpr": "of-$(USER)"}),
                "~csi/pv-1/mount/of-ann",
            ),
        ];
        for (volume, mount, want) in rows {
            assert_eq!(mounted(&volume, mount).as_deref(), Ok(want), "{volume}");
        }
        let rows = [
            (claim("odd"), &plain, "only a kubelet"),
            (claim("none"), &plain, "claim `none` has no persistent"),
            (
                json!({"iscsi": {"targetPortal": "t", "iqn": "i", "lun": 0}}),
                &plain,
                "only a kubelet",
            ),
            (
                json!({"emptyDir": {}}),
                &json!({"subPathExpr": "$(NOBODY)"}),
                "without value",
            ),
            (
                json!({"emptyDir": {}}),
                &json!({"subPathExpr": "../$(USER)"}),
                "no path within volume `v`",
            ),
            (
                json!({"emptyDir": {}}),
                &json!({"subPathExpr": "$(LONG)/$(LONG)/$(LONG)/$(LONG)/$(LONG)"}),
                "mount `/v`: it would be longer than 4096 bytes",
            ),
            (
                json!({"hostPath": {"path": format!("/{}", "x".repeat(9000))}}),
                &plain,
                "mount `/v`: it would be longer than 8192 bytes",
            ),
        ];
        for (volume, mount, want) in rows {
            let error = mounted(&volume, mount).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
