//! `UpdateContainerResources`: changes what a job that still waits here will ask for. A submitted
//! job keeps what it has; interLink knows no way to resize one.

use std::sync::Arc;

use super::{container_start::about, CriContext, Error};
use crate::{
    convert,
    model::{ContainerId, ContainerPhase, Pod, Submission},
    proto::{
        LinuxContainerResources, UpdateContainerResourcesRequest, UpdateContainerResourcesResponse,
    },
};

impl CriContext {
    pub(super) fn update_container_resources(
        &self,
        request: &UpdateContainerResourcesRequest,
    ) -> Result<UpdateContainerResourcesResponse, Error> {
        let (pod, id) = self.container(&request.container_id)?;
        let about = about(&pod, &id);
        self.store.update::<_, Error>(&pod.sandbox.id, |pod| {
            let waits = match pod.job_of(&id).map(|job| &job.submission) {
                None | Some(Submission::Gathering { .. } | Submission::Pending { .. }) => true,
                Some(
                    Submission::Submitting { .. }
                    | Submission::Unsure { .. }
                    | Submission::Submitted { .. }
                    | Submission::Finished
                    | Submission::Lost
                    | Submission::Dropped,
                ) => false,
            };
            let exited = pod
                .container(&id)
                .is_none_or(|entry| entry.status.phase() == ContainerPhase::Exited);
            if !waits || exited {
                return Err(Error::Precondition(format!(
                    "{about}: its job has been submitted, and a submitted job cannot be resized; \
                     recreate the pod with the new resources"
                )));
            }
            self.replace_resources(pod, &id, &request.linux, &about)
        })?;
        Ok(UpdateContainerResourcesResponse::default())
    }

    /// What does not convert is refused here, as at the container's creation: later it would make
    /// the whole job fail.
    fn replace_resources(
        &self,
        pod: &mut Pod,
        id: &ContainerId,
        new: &LinuxContainerResources,
        about: &str,
    ) -> Result<(), Error> {
        let Some(entry) = pod.containers.iter_mut().find(|entry| entry.id() == id) else {
            return Ok(());
        };
        let mut container = self.store.load_container(&entry.container)?;
        let config = convert::decode_container_config(&container);
        let mut config = config.map_err(|error| Error::Internal(format!("{about}: {error}")))?;
        let linux = config.linux.mut_or_insert_default();
        merge(linux.resources.mut_or_insert_default(), new);
        convert::check_container(&config, &self.settings)
            .map_err(|error| Error::convert(about, &error))?;
        container.config = convert::encode_container_config(&config)
            .map_err(|error| Error::Internal(format!("{about}: {error}")))?;
        entry.container = Arc::new(container);
        Ok(())
    }
}

/// Takes over what is given. The kubelet sends CPU and memory in separate calls, with zeros for
/// what stays (`doPodResizeAction` in pkg/kubelet/kuberuntime/kuberuntime_manager.go).
fn merge(old: &mut LinuxContainerResources, new: &LinuxContainerResources) {
    let take = |old: &mut i64, new: i64| {
        if new != 0 {
            *old = new;
        }
    };
    take(&mut old.cpu_period, new.cpu_period);
    take(&mut old.cpu_quota, new.cpu_quota);
    take(&mut old.cpu_shares, new.cpu_shares);
    take(&mut old.memory_limit_in_bytes, new.memory_limit_in_bytes);
    take(
        &mut old.memory_swap_limit_in_bytes,
        new.memory_swap_limit_in_bytes,
    );
    take(&mut old.oom_score_adj, new.oom_score_adj);
    if !new.cpuset_cpus.is_empty() {
        old.cpuset_cpus.clone_from(&new.cpuset_cpus);
    }
    if !new.cpuset_mems.is_empty() {
        old.cpuset_mems.clone_from(&new.cpuset_mems);
    }
    if !new.hugepage_limits.is_empty() {
        old.hugepage_limits.clone_from(&new.hugepage_limits);
    }
    old.unified.extend(new.unified.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_and_memory_come_in_separate_calls() {
        let mut resources = LinuxContainerResources::default();
        let cpu = LinuxContainerResources {
            cpu_quota: 50_000,
            cpu_period: 100_000,
            ..Default::default()
        };
        let memory = LinuxContainerResources {
            memory_limit_in_bytes: 64 << 20,
            ..Default::default()
        };
        merge(&mut resources, &cpu);
        merge(&mut resources, &memory);
        assert_eq!(
            (resources.cpu_quota, resources.memory_limit_in_bytes),
            (50_000, 64 << 20)
        );
    }
}
