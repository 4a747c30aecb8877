//! ConfigMaps and Secrets that a pod names, and what a kubelet makes of them: variables, and the
//! files of volumes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapProjection, Container, DownwardAPIVolumeFile, EnvVarSource, KeyToPath,
    PersistentVolume, Secret, SecretProjection, Volume, VolumeProjection,
};

use super::{
    downward,
    kubelet::{Error, Kubelet},
    prepared::{ContentFile, Files},
};

/// Kubernetes' own default.
const DEFAULT_MODE: i32 = 0o644;

/// What a kubelet asks the API server for, beside the pod.
#[derive(Debug, Default)]
pub struct Objects {
    /// By name.
    pub configmaps: BTreeMap<String, ConfigMap>,
    /// By name.
    pub secrets: BTreeMap<String, Secret>,
    /// What claims are bound to, by their names.
    pub claims: BTreeMap<String, PersistentVolume>,
    /// The token of the pod's service account.
    pub token: Option<String>,
}

/// The keys of an object with their values.
type Keys = BTreeMap<String, Vec<u8>>;

impl Objects {
    fn configmap(&self, name: &str) -> Option<Keys> {
        let binary = self.configmaps.get(name)?.binary_data.iter().flatten();
        let mut keys = self.texts(name)?;
        keys.extend(binary.map(|(key, value)| (key.clone(), value.0.clone())));
        Some(keys)
    }

    /// A variable has a text, so what is in `binaryData` becomes none (`makeEnvironmentVariables`).
    fn texts(&self, name: &str) -> Option<Keys> {
        let text = self.configmaps.get(name)?.data.iter().flatten();
        Some(
            text.map(|(key, value)| (key.clone(), value.clone().into_bytes()))
                .collect(),
        )
    }

    fn secret(&self, name: &str) -> Option<Keys> {
        let secret = self.secrets.get(name)?;
        let data = secret.data.iter().flatten();
        let text = secret.string_data.iter().flatten();
        let data = data.map(|(key, value)| (key.clone(), value.0.clone()));
        // As the API server does: `stringData` wins.
        Some(
            data.chain(text.map(|(key, value)| (key.clone(), value.clone().into_bytes())))
                .collect(),
        )
    }

    /// The files of a volume that has contents; none for a volume of another kind.
    ///
    /// # Errors
    /// Contents that are not in the manifest.
    pub fn files(&self, volume: &Volume, kubelet: &Kubelet<'_>) -> Result<Option<Files>, Error> {
        let about = |error: Error| Error::new(format!("volume `{}`: {error}", volume.name));
        self.volume_files(volume, kubelet).map_err(about)
    }

    fn volume_files(&self, volume: &Volume, kubelet: &Kubelet<'_>) -> Result<Option<Files>, Error> {
        let mut files = Files::new();
        if let Some(map) = &volume.config_map {
            let found = self.configmap(&map.name);
            let keys = present(found, "ConfigMap", &map.name, map.optional)?;
            let mode = map.default_mode.unwrap_or(DEFAULT_MODE);
            add(&mut files, &keys, map.items.as_deref(), mode, map.optional)?;
        } else if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            let keys = present(self.secret(name), "Secret", name, secret.optional)?;
            let mode = secret.default_mode.unwrap_or(DEFAULT_MODE);
            add(
                &mut files,
                &keys,
                secret.items.as_deref(),
                mode,
                secret.optional,
            )?;
        } else if let Some(downward) = &volume.downward_api {
            let mode = downward.default_mode.unwrap_or(DEFAULT_MODE);
            add_fields(&mut files, downward.items.as_deref(), kubelet, mode)?;
        } else if let Some(projected) = &volume.projected {
            let mode = projected.default_mode.unwrap_or(DEFAULT_MODE);
            for source in projected.sources.iter().flatten() {
                self.add_projection(&mut files, source, kubelet, mode)?;
            }
        } else {
            return Ok(None);
        }
        Ok(Some(files))
    }

    fn add_projection(
        &self,
        files: &mut Files,
        source: &VolumeProjection,
        kubelet: &Kubelet<'_>,
        mode: i32,
    ) -> Result<(), Error> {
        if let Some(ConfigMapProjection {
            name,
            items,
            optional,
        }) = &source.config_map
        {
            let keys = present(self.configmap(name), "ConfigMap", name, *optional)?;
            add(files, &keys, items.as_deref(), mode, *optional)?;
        }
        if let Some(SecretProjection {
            name,
            items,
            optional,
        }) = &source.secret
        {
            let keys = present(self.secret(name), "Secret", name, *optional)?;
            add(files, &keys, items.as_deref(), mode, *optional)?;
        }
        if let Some(downward) = &source.downward_api {
            add_fields(files, downward.items.as_deref(), kubelet, mode)?;
        }
        if let Some(token) = &source.service_account_token {
            let Some(value) = &self.token else {
                return Err(Error::new(
                    "a service account token comes from an API server; give one with \
                     --service-account-token FILE",
                ));
            };
            files.insert(token.path.clone(), file(value.as_bytes(), mode)?);
        }
        Ok(())
    }

    /// A container's variables from `envFrom`, in their order.
    ///
    /// # Errors
    /// An object that is not in the manifest.
    pub fn env_from(&self, container: &Container) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let mut variables = Vec::new();
        for source in container.env_from.iter().flatten() {
            let keys = if let Some(map) = &source.config_map_ref {
                present(self.texts(&map.name), "ConfigMap", &map.name, map.optional)?
            } else if let Some(secret) = &source.secret_ref {
                present(
                    self.secret(&secret.name),
                    "Secret",
                    &secret.name,
                    secret.optional,
                )?
            } else {
                Keys::new()
            };
            let prefix = source.prefix.as_deref().unwrap_or_default();
            variables.extend(
                keys.into_iter()
                    .map(|(key, value)| (format!("{prefix}{key}"), value)),
            );
        }
        Ok(variables)
    }

    /// The value of a variable from elsewhere; none for an optional one that is missing.
    ///
    /// # Errors
    /// A source that is not in the manifest, or that only a kubelet has.
    pub fn value(
        &self,
        source: &EnvVarSource,
        container: &Container,
        kubelet: &Kubelet<'_>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let (found, kind, name, key, optional) = if let Some(map) = &source.config_map_key_ref {
            (
                self.texts(&map.name),
                "ConfigMap",
                &map.name,
                &map.key,
                map.optional,
            )
        } else if let Some(secret) = &source.secret_key_ref {
            (
                self.secret(&secret.name),
                "Secret",
                &secret.name,
                &secret.key,
                secret.optional,
            )
        } else if let Some(field) = &source.field_ref {
            let value = downward::field(&field.field_path, kubelet)?;
            return Ok(Some(value.into_bytes()));
        } else if let Some(amount) = &source.resource_field_ref {
            let value = downward::resource(amount, Some(container), kubelet)?;
            return Ok(Some(value.into_bytes()));
        } else {
            return Err(Error::new(
                "such a valueFrom only a kubelet can resolve; give it a value",
            ));
        };
        let mut keys = present(found, kind, name, optional)?;
        match keys.remove(key) {
            Some(value) => Ok(Some(value)),
            None if optional == Some(true) => Ok(None),
            None => Err(Error::new(format!("{kind} `{name}` has no key `{key}`"))),
        }
    }
}

fn present(
    found: Option<Keys>,
    kind: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<Keys, Error> {
    match found {
        Some(keys) => Ok(keys),
        None if optional == Some(true) => Ok(Keys::new()),
        None => Err(Error::new(format!(
            "{kind} `{name}` is not there; beside a Pod in a file, add it after a line `---`"
        ))),
    }
}

fn add(
    files: &mut Files,
    keys: &Keys,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: Option<bool>,
) -> Result<(), Error> {
    let Some(items) = items else {
        for (key, value) in keys {
            files.insert(key.clone(), file(value, mode)?);
        }
        return Ok(());
    };
    for item in items {
        match keys.get(&item.key) {
            Some(value) => {
                let file = file(value, item.mode.unwrap_or(mode))?;
                files.insert(item.path.clone(), file);
            }
            None if optional == Some(true) => {}
            None => return Err(Error::new(format!("there is no key `{}`", item.key))),
        }
    }
    Ok(())
}

fn add_fields(
    files: &mut Files,
    items: Option<&[DownwardAPIVolumeFile]>,
    kubelet: &Kubelet<'_>,
    mode: i32,
) -> Result<(), Error> {
    for item in items.unwrap_or_default() {
        let value = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), _) => downward::field(&field.field_path, kubelet)?,
            (None, Some(amount)) => downward::resource(amount, None, kubelet)?,
            (None, None) => return Err(Error::new(format!("`{}` says nothing", item.path))),
        };
        files.insert(
            item.path.clone(),
            file(value.as_bytes(), item.mode.unwrap_or(mode))?,
        );
    }
    Ok(())
}

fn file(bytes: &[u8], mode: i32) -> Result<ContentFile, Error> {
    let good = u32::try_from(mode).ok().filter(|mode| *mode <= 0o777);
    Ok(ContentFile {
        mode: good.ok_or_else(|| Error::new(format!("{mode} is no file mode")))?,
        bytes: bytes.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn with_kubelet<T>(token: Option<&str>, test: impl FnOnce(&Kubelet<'_>) -> T) -> T {
        let pod: Pod = serde_json::from_value(json!({"metadata": {
            "name": "a",
            "labels": {"app": "web", "tier": "one"},
            "annotations": {"n": "x y"},
        }}))
        .unwrap();
        let map = json!({"data": {"a": "1", "b": "2"}, "binaryData": {"c": "/wA="}});
        let secret = json!({"data": {"p": "aGk=", "q": "b2xk"}, "stringData": {"q": "new"}});
        let objects = Objects {
            configmaps: [("conf".to_owned(), serde_json::from_value(map).unwrap())].into(),
            secrets: [("key".to_owned(), serde_json::from_value(secret).unwrap())].into(),
            token: token.map(str::to_owned),
            ..Objects::default()
        };
        test(&Kubelet {
            pod: &pod,
            uid: "u-1",
            root: Path::new("/k"),
            pod_ip: "10.0.0.7".parse().ok(),
            image_user: None,
            objects: &objects,
            service_variables: Vec::new(),
        })
    }

    fn shown(volume: serde_json::Value) -> Result<String, String> {
        let volume: Volume = serde_json::from_value(volume).unwrap();
        let files = with_kubelet(Some("t"), |kubelet| kubelet.objects.files(&volume, kubelet));
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

    #[test]
    fn variables_come_from_where_they_say() {
        let value = |source: serde_json::Value| {
            let source = serde_json::from_value(source).unwrap();
            let one = Container::default();
            let value = with_kubelet(None, |kubelet| {
                kubelet.objects.value(&source, &one, kubelet)
            });
            value.map(|value| value.map(|value| String::from_utf8(value).unwrap()))
        };
        for (source, want) in [
            (
                json!({"configMapKeyRef": {"name": "conf", "key": "a"}}),
                Some("1"),
            ),
            (
                json!({"secretKeyRef": {"name": "key", "key": "q"}}),
                Some("new"),
            ),
            (
                json!({"secretKeyRef": {"name": "key", "key": "z", "optional": true}}),
                None,
            ),
            (
                json!({"fieldRef": {"fieldPath": "metadata.labels['app']"}}),
                Some("web"),
            ),
            (
                json!({"fieldRef": {"fieldPath": "metadata.annotations['n']"}}),
                Some("x y"),
            ),
        ] {
            assert_eq!(value(source.clone()).unwrap().as_deref(), want, "{source}");
        }
        assert!(value(json!({"configMapKeyRef": {"name": "conf", "key": "z"}})).is_err());
        assert!(value(json!({"resourceFieldRef": {"resource": "limits.cpu"}})).is_err());
        let container = json!({"name": "c", "envFrom": [
            {"configMapRef": {"name": "conf"}, "prefix": "C_"}, {"secretRef": {"name": "key"}}]});
        let container = serde_json::from_value(container).unwrap();
        let names = with_kubelet(None, |kubelet| kubelet.objects.env_from(&container)).unwrap();
        let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
        // `c` is in `binaryData`.
        assert_eq!(names, ["C_a", "C_b", "p", "q"]);
    }
}
