//! `CreateContainer`: only a record, but one that is known to convert. What a remote job cannot have is
//! refused here, before hours in a queue.

use std::sync::Arc;

use protobuf::Message as _;

use super::{validate, CriContext, Error};
use crate::{
    convert,
    host::PodMounts,
    logs,
    model::{weight, Container, ContainerId, ContainerPhase, Image, Pod, SandboxPhase},
    plan::lifecycle,
    proto::{ContainerConfig, CreateContainerRequest, CreateContainerResponse},
    traces,
};

impl CriContext {
    pub(super) fn create_container(
        &self,
        request: &CreateContainerRequest,
    ) -> Result<CreateContainerResponse, Error> {
        let pod = self.sandbox(&request.pod_sandbox_id)?;
        let missing = || Error::Invalid("the request has no container config".to_owned());
        let config = request.config.as_ref().ok_or_else(missing)?;
        let metadata = validate::container_metadata(config.metadata.as_ref())?;
        let about = format!("container `{}` of pod `{}`", metadata.name, pod.full_name());
        if pod.phase() != SandboxPhase::Ready {
            return Err(Error::Precondition(format!(
                "{about}: the pod sandbox is not ready"
            )));
        }
        validate::labels_and_annotations(
            &about,
            [&config.labels, &config.annotations],
            self.config.cri.max_metadata_bytes,
        )?;
        let invalid = |error| Error::Invalid(format!("{about}: {error}"));
        let bytes = weight(&config.write_to_bytes().map_err(invalid)?);
        self.store.check_container(&pod, &metadata.name, bytes)?;
        if !pod.sandbox.log_directory.is_empty() && !config.log_path.is_empty() {
            logs::validate_log_path(&pod.sandbox.log_directory, &config.log_path)
                .map_err(|error| Error::Invalid(format!("{about}: {error}")))?;
        }
        let mut warnings = convert::check_container(config, &self.settings)
            .map_err(|error| Error::convert(&about, &error))?;
        self.check_user(&about, &pod, config)?;
        let found = PodMounts::for_check(self.logs.disk(), &pod.sandbox, &self.config)
            .read(&config.mounts)
            .map_err(|error| Error::host(&about, &error))?;
        let volumes = convert::check_volumes(config, &found, &self.settings);
        warnings.extend(volumes.map_err(|error| Error::convert(&about, &error))?);
        warnings
            .iter()
            .for_each(|warning| log::warn!(container = metadata.name; "{warning}"));
        let image = self.image_for(&about, config)?;

        let id = ContainerId::random();
        let new = Container {
            id: id.clone(),
            sandbox_id: pod.sandbox.id.clone(),
            name: metadata.name.as_str().into(),
            attempt: metadata.attempt,
            image: image.written.into(),
            image_id: image.id.into(),
            labels: config.labels.iter().collect(),
            annotations: config.annotations.iter().collect(),
            log_path: config.log_path.clone(),
            created_at: self.now(),
            config: convert::encode_container_config(config).map_err(invalid)?,
        };
        traces::note_container(&new);
        self.store
            .update(&pod.sandbox.id, |pod| self.add_container(pod, &about, new))?;
        let container_id = id.to_string();
        Ok(CreateContainerResponse {
            container_id,
            ..Default::default()
        })
    }

    fn check_user(&self, about: &str, pod: &Pod, config: &ContainerConfig) -> Result<(), Error> {
        let sandbox = convert::shown_of_sandbox(&pod.sandbox);
        let contexts = (
            &config.linux.security_context,
            &sandbox.linux.security_context,
        );
        let namespace = &pod.sandbox.namespace;
        self.users
            .check_container(namespace, contexts.0, contexts.1, &self.settings)
            .map_err(|error| Error::identity(about, &error))
    }

    fn add_container(&self, pod: &mut Pod, about: &str, mut new: Container) -> Result<(), Error> {
        if pod.phase() != SandboxPhase::Ready {
            return Err(Error::Precondition(format!(
                "{about}: the pod sandbox is not ready"
            )));
        }
        let same = |old: &&Container| old.name == new.name && old.attempt == new.attempt;
        let old = pod
            .containers
            .iter()
            .map(|entry| &*entry.container)
            .find(same);
        if let Some(old) = old.map(|old| old.id.clone()) {
            let phase = pod.container(&old).map(|entry| entry.status.phase());
            // Left over from a call that a kubelet did not see the end of.
            if phase != Some(ContainerPhase::Created) {
                return Err(Error::Exists(format!(
                    "{about}: attempt {} exists already, as container {old}; remove that one first",
                    new.attempt
                )));
            }
            lifecycle::remove_container(pod, &old, self.now());
        }
        // The kubelet takes the latest of a name for the current one, so a clock that was set back must
        // not show (`getPodContainerStatuses` in pkg/kubelet/kuberuntime/kuberuntime_container.go).
        new.created_at = pod.next_created_at(new.created_at);
        pod.add_container(new);
        Ok(())
    }

    /// The image of a new container: the kubelet names it by the id that the pull returned, and
    /// beside it what the user wrote, which is what the remote side gets.
    fn image_for(&self, about: &str, config: &ContainerConfig) -> Result<ImageUse, Error> {
        let spec = config
            .image
            .as_ref()
            .map(|spec| spec.image.as_str())
            .unwrap_or_default();
        if spec.is_empty() {
            return Err(Error::Invalid(format!("{about}: no image is given")));
        }
        let image = self
            .find_image(spec)
            .map_err(|error| Error::Invalid(format!("{about}: {error}")))?;
        let Some(image) = image else {
            return Err(Error::NotFound {
                kind: "image",
                id: spec.to_owned(),
            });
        };
        let written = convert::user_image(&config.image, Some(&image));
        let written = written.unwrap_or(&image.user_ref).to_owned();
        Ok(ImageUse {
            written,
            id: image.id.clone(),
        })
    }

    /// An image by its id, or by any reference that leads to it.
    pub(super) fn find_image(&self, spec: &str) -> Result<Option<Arc<Image>>, convert::Error> {
        // First as an id: `sha256:<hex>` reads as a name and a tag too.
        let id = match convert::image_id(spec) {
            Some(id) => id,
            None => convert::Reference::parse(spec, self.settings.takes_other_images)?.id(),
        };
        Ok(self.store.image(&id))
    }
}

struct ImageUse {
    written: String,
    id: String,
}
