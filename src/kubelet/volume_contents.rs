//! The files that a kubelet writes into a pod's volumes.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIVolumeFile, KeyToPath, SecretProjection, Volume,
    VolumeProjection,
};

use super::{
    allowance::Allowance,
    api_objects::Keys,
    contents::{ContentFile, Files},
    directory, downward_api,
    error::Error,
    pod::KubeletPod,
};

/// The mode of files whose volume names none: `ConfigMapVolumeSourceDefaultMode` and its like
/// (`staging/src/k8s.io/api/core/v1/types.go`).
const DEFAULT_MODE: i32 = 0o644;

/// What to say of a volume of another kind.
pub const ONLY_A_KUBELET: &str = "only a kubelet can mount one of its kind";

/// A volume at `volumes/PLUGIN/NAME` in the pod's directory.
#[derive(Debug)]
pub struct FilledVolume {
    /// `kubernetes.io~configmap`, for example.
    pub plugin: &'static str,
    /// Its name in the pod.
    pub name: String,
    /// What is in it; none for scratch space.
    pub files: Option<Files>,
}

/// The most bytes that the files of a pod may have: an item of a volume is a few bytes, and its file can
/// be a whole ConfigMap. A daemon sends no more of them, whatever its settings.
const MAX_BYTES: usize = 256 << 20;

/// Files that come together.
struct Filling<'a> {
    files: Files,
    allowance: &'a mut Allowance,
}

impl Filling<'_> {
    /// Adds a file, in the place of another one of its path.
    fn add(&mut self, path: &str, bytes: &[u8], mode: i32) -> Result<(), Error> {
        let good = u32::try_from(mode).ok().filter(|mode| *mode <= 0o777);
        let mode = good.ok_or_else(|| Error::new(format!("{mode} is no file mode")))?;
        self.allowance.take(path.len() + bytes.len())?;
        let bytes = bytes.to_vec();
        self.files
            .insert(path.to_owned(), ContentFile { mode, bytes });
        Ok(())
    }
}

/// The volumes for which a kubelet makes directories.
///
/// # Errors
/// Contents that are not at hand, and volumes that are mounted from elsewhere.
pub fn volumes(pod: &KubeletPod<'_>) -> Result<Vec<FilledVolume>, Error> {
    let volumes = pod.spec()?.volumes.iter().flatten();
    let volumes = volumes.filter(|volume| volume.host_path.is_none());
    let mut allowance = Allowance::new("the files of the pod's volumes", MAX_BYTES);
    let filled = |volume: &Volume| {
        let Some(plugin) = directory::own_plugin(volume) else {
            let name = &volume.name;
            return Err(Error::new(format!("volume `{name}`: {ONLY_A_KUBELET}")));
        };
        Ok(FilledVolume {
            plugin,
            name: volume.name.clone(),
            files: files(volume, pod, &mut allowance)?,
        })
    };
    volumes.map(filled).collect()
}

/// The files of a volume that has contents; none for a volume of another kind.
///
/// # Errors
/// Contents that are not at hand, or more than is allowed.
fn files(
    volume: &Volume,
    pod: &KubeletPod<'_>,
    allowance: &mut Allowance,
) -> Result<Option<Files>, Error> {
    let files = files_of_kind(volume, pod, allowance);
    files.map_err(|error| error.about(format_args!("volume `{}`", volume.name)))
}

fn files_of_kind(
    volume: &Volume,
    pod: &KubeletPod<'_>,
    allowance: &mut Allowance,
) -> Result<Option<Files>, Error> {
    let objects = pod.objects;
    let files = Files::new();
    let mut files = Filling { files, allowance };
    if let Some(map) = &volume.config_map {
        let keys = objects.configmap(&map.name, map.optional)?;
        let mode = map.default_mode.unwrap_or(DEFAULT_MODE);
        add(&mut files, &keys, map.items.as_deref(), mode, map.optional)?;
    } else if let Some(secret) = &volume.secret {
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let keys = objects.secret(name, secret.optional)?;
        let mode = secret.default_mode.unwrap_or(DEFAULT_MODE);
        let items = secret.items.as_deref();
        add(&mut files, &keys, items, mode, secret.optional)?;
    } else if let Some(downward) = &volume.downward_api {
        let mode = downward.default_mode.unwrap_or(DEFAULT_MODE);
        add_fields(&mut files, downward.items.as_deref(), pod, mode)?;
    } else if let Some(projected) = &volume.projected {
        let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
        for source in projected.sources.iter().flatten() {
            add_projection(&mut files, source, pod, mode)?;
        }
    } else {
        return Ok(None);
    }
    Ok(Some(files.files))
}

fn add_projection(
    files: &mut Filling<'_>,
    source: &VolumeProjection,
    pod: &KubeletPod<'_>,
    mode: i32,
) -> Result<(), Error> {
    if let Some(ConfigMapProjection {
        name,
        items,
        optional,
    }) = &source.config_map
    {
        let keys = pod.objects.configmap(name, *optional)?;
        add(files, &keys, items.as_deref(), mode, *optional)?;
    }
    if let Some(SecretProjection {
        name,
        items,
        optional,
    }) = &source.secret
    {
        let keys = pod.objects.secret(name, *optional)?;
        add(files, &keys, items.as_deref(), mode, *optional)?;
    }
    if let Some(downward) = &source.downward_api {
        add_fields(files, downward.items.as_deref(), pod, mode)?;
    }
    if let Some(token) = &source.service_account_token {
        let Some(value) = &pod.objects.token else {
            return Err(Error::new(
                "a service account token comes from an API server; give one with \
                 --service-account-token FILE",
            ));
        };
        files.add(&token.path, value.as_bytes(), mode)?;
    }
    Ok(())
}

fn add(
    files: &mut Filling<'_>,
    keys: &Keys<'_>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: Option<bool>,
) -> Result<(), Error> {
    let Some(items) = items else {
        for (key, value) in keys {
            files.add(key, value, mode)?;
        }
        return Ok(());
    };
    for item in items {
        match keys.get(item.key.as_str()) {
            Some(value) => files.add(&item.path, value, item.mode.unwrap_or(mode))?,
            None if optional == Some(true) => {}
            None => return Err(Error::new(format!("there is no key `{}`", item.key))),
        }
    }
    Ok(())
}

fn add_fields(
    files: &mut Filling<'_>,
    items: Option<&[DownwardAPIVolumeFile]>,
    pod: &KubeletPod<'_>,
    mode: i32,
) -> Result<(), Error> {
    for item in items.unwrap_or_default() {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => downward_api::field(&field.field_path, pod)?,
            (None, Some(amount)) => downward_api::resource(amount, None, pod)?,
            (None, None) => return Err(Error::new(format!("`{}` says nothing", item.path))),
        };
        files.add(&item.path, value.as_bytes(), item.mode.unwrap_or(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubelet::testing::{with_pod, TOKEN};

    fn shown(volume: serde_json::Value) -> Result<String, String> {
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let files = with_pod(Some(TOKEN), |pod| {
            files(&volume, pod, &mut Allowance::new("the files", 60))
        });
        let files = files.map_err(|error| error.to_string())?;
        let line = |(path, file): (&String, &ContentFile)| {
            let text = String::from_utf8_lossy(&file.bytes);
            format!("{path}={text}({:o})", file.mode)
        };
        Ok(files
            .unwrap()
            .iter()
            .map(line)
            .collect::<Vec<_>>()
            .join(" "))
    }

    #[test]
    fn volumes_hold_what_a_kubelet_would_put_there() {
        let field =
            |path: &str| json!({"path": path.rsplit('.').next(), "fieldRef": {"fieldPath": path}});
        for (volume, want) in [
            (
                json!({"configMap": {"name": "conf"}}),
                "a=1(644) b=2(644) c=\u{fffd}\0(644)",
            ),
            (
                json!({"configMap": {"name": "conf", "defaultMode": 0o400, "items": [
                    {"key": "a", "path": "x/y"}, {"key": "b", "path": "z", "mode": 0o755}]}}),
                "x/y=1(400) z=2(755)",
            ),
            (json!({"configMap": {"name": "none", "optional": true}}), ""),
            (
                json!({"secret": {"secretName": "key"}}),
                "p=hi(644) q=new(644)",
            ),
            (
                json!({"downwardAPI": {"items": [field("metadata.uid"), field("metadata.labels")]}}),
                "labels=app=\"web\"\ntier=\"one\"(644) uid=u-1(644)",
            ),
            (
                json!({"projected": {"defaultMode": 0o600, "sources": [
                    {"serviceAccountToken": {"path": "token"}},
                    {"configMap": {"name": "conf", "items": [{"key": "a", "path": "ca.crt"}]}},
                    {"secret": {"name": "key", "items": [{"key": "p", "path": "p"}]}},
                    {"downwardAPI": {"items": [field("metadata.namespace")]}}]}}),
                "ca.crt=1(600) namespace=default(600) p=hi(600) token=t(600)",
            ),
        ] {
            let mut named = volume;
            named["name"] = "v".into();
            assert_eq!(shown(named.clone()).as_deref(), Ok(want), "{named}");
        }
        for (volume, want) in [
            (
                json!({"configMap": {"name": "none"}}),
                "`v`: ConfigMap `none` is not there",
            ),
            (
                json!({"secret": {"secretName": "key", "items": [{"key": "z", "path": "z"}]}}),
                "no key `z`",
            ),
            (
                json!({"configMap": {"name": "conf", "defaultMode": 5000}}),
                "no file mode",
            ),
            (
                json!({"secret": {"secretName": "key", "items":
                    vec![json!({"key": "q", "path": "q"}); 100]}}),
                "`v`: the files would come to more than 60 bytes",
            ),
            (
                json!({"downwardAPI": {"items": [field("status.qosClass")]}}),
                "only a kubelet",
            ),
        ] {
            let mut named = volume;
            named["name"] = "v".into();
            let error = shown(named).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
