//! The two services: every RPC of the API, each handed to its own file.

use std::sync::Arc;

use super::{not_supported, CriContext, Error};
use crate::proto::{
    AttachRequest, AttachResponse, CheckpointContainerRequest, CheckpointContainerResponse,
    CheckpointPodRequest, CheckpointPodResponse, ContainerEventResponse, ContainerStatsRequest,
    ContainerStatsResponse, ContainerStatusRequest, ContainerStatusResponse,
    CreateContainerRequest, CreateContainerResponse, Encoded, ExecRequest, ExecResponse,
    ExecSyncRequest, ExecSyncResponse, GetEventsRequest, ImageFsInfoRequest, ImageFsInfoResponse,
    ImageService, ImageStatusRequest, ImageStatusResponse, Later, ListContainerStatsRequest,
    ListContainerStatsResponse, ListContainersRequest, ListContainersResponse, ListImagesRequest,
    ListImagesResponse, ListMetricDescriptorsRequest, ListMetricDescriptorsResponse,
    ListPodSandboxMetricsRequest, ListPodSandboxMetricsResponse, ListPodSandboxRequest,
    ListPodSandboxResponse, ListPodSandboxStatsRequest, ListPodSandboxStatsResponse,
    PodSandboxStatsRequest, PodSandboxStatsResponse, PodSandboxStatusRequest,
    PodSandboxStatusResponse, PortForwardRequest, PortForwardResponse, PullImageRequest,
    PullImageResponse, RemoveContainerRequest, RemoveContainerResponse, RemoveImageRequest,
    RemoveImageResponse, RemovePodSandboxRequest, RemovePodSandboxResponse,
    ReopenContainerLogRequest, ReopenContainerLogResponse, Replies, RestorePodRequest,
    RestorePodResponse, RunPodSandboxRequest, RunPodSandboxResponse, RuntimeConfigRequest,
    RuntimeConfigResponse, RuntimeService, StartContainerRequest, StartContainerResponse,
    StatusRequest, StatusResponse, StopContainerRequest, StopContainerResponse,
    StopPodSandboxRequest, StopPodSandboxResponse, StreamContainerStatsRequest,
    StreamContainerStatsResponse, StreamContainersRequest, StreamContainersResponse,
    StreamImagesRequest, StreamImagesResponse, StreamPodSandboxMetricsRequest,
    StreamPodSandboxMetricsResponse, StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse,
    StreamPodSandboxesRequest, StreamPodSandboxesResponse, UpdateContainerResourcesRequest,
    UpdateContainerResourcesResponse, UpdatePodSandboxResourcesRequest,
    UpdatePodSandboxResourcesResponse, UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse,
    VersionRequest, VersionResponse,
};

/// The runtime service.
pub struct Runtime(pub Arc<CriContext>);

/// The image service.
pub struct Images(pub Arc<CriContext>);

impl RuntimeService for Runtime {
    type Error = Error;

    fn version(&self, request: VersionRequest) -> Result<VersionResponse, Error> {
        self.0.version(&request)
    }

    fn run_pod_sandbox(
        &self,
        request: RunPodSandboxRequest,
    ) -> Result<RunPodSandboxResponse, Error> {
        self.0.run_pod_sandbox(&request)
    }

    fn stop_pod_sandbox(
        &self,
        request: StopPodSandboxRequest,
    ) -> Result<Later<StopPodSandboxResponse, Error>, Error> {
        self.0.stop_pod_sandbox(&request)
    }

    fn remove_pod_sandbox(
        &self,
        request: RemovePodSandboxRequest,
    ) -> Result<RemovePodSandboxResponse, Error> {
        self.0.remove_pod_sandbox(&request)
    }

    fn pod_sandbox_status(
        &self,
        request: PodSandboxStatusRequest,
    ) -> Result<PodSandboxStatusResponse, Error> {
        self.0.pod_sandbox_status(&request)
    }

    fn list_pod_sandbox(
        &self,
        request: ListPodSandboxRequest,
    ) -> Result<Encoded<ListPodSandboxResponse>, Error> {
        self.0.list_pod_sandbox(&request)
    }

    fn stream_pod_sandboxes(
        &self,
        request: StreamPodSandboxesRequest,
    ) -> Result<Replies<Encoded<StreamPodSandboxesResponse>>, Error> {
        self.0.stream_pod_sandboxes(&request)
    }

    fn create_container(
        &self,
        request: CreateContainerRequest,
    ) -> Result<CreateContainerResponse, Error> {
        self.0.create_container(&request)
    }

    fn start_container(
        &self,
        request: StartContainerRequest,
    ) -> Result<StartContainerResponse, Error> {
        self.0.start_container(&request)
    }

    fn stop_container(
        &self,
        request: StopContainerRequest,
    ) -> Result<Later<StopContainerResponse, Error>, Error> {
        self.0.stop_container(&request)
    }

    fn remove_container(
        &self,
        request: RemoveContainerRequest,
    ) -> Result<RemoveContainerResponse, Error> {
        self.0.remove_container(&request)
    }

    fn list_containers(
        &self,
        request: ListContainersRequest,
    ) -> Result<Encoded<ListContainersResponse>, Error> {
        self.0.list_containers(&request)
    }

    fn stream_containers(
        &self,
        request: StreamContainersRequest,
    ) -> Result<Replies<Encoded<StreamContainersResponse>>, Error> {
        self.0.stream_containers(&request)
    }

    fn container_status(
        &self,
        request: ContainerStatusRequest,
    ) -> Result<Encoded<ContainerStatusResponse>, Error> {
        self.0.container_status(&request)
    }

    fn update_container_resources(
        &self,
        request: UpdateContainerResourcesRequest,
    ) -> Result<UpdateContainerResourcesResponse, Error> {
        self.0.update_container_resources(&request)
    }

    fn reopen_container_log(
        &self,
        request: ReopenContainerLogRequest,
    ) -> Result<ReopenContainerLogResponse, Error> {
        self.0.reopen_container_log(&request)
    }

    fn exec_sync(&self, _: ExecSyncRequest) -> Result<ExecSyncResponse, Error> {
        Err(not_supported::exec_sync("ExecSync"))
    }

    fn exec(&self, _: ExecRequest) -> Result<ExecResponse, Error> {
        Err(not_supported::streaming("Exec"))
    }

    fn attach(&self, _: AttachRequest) -> Result<AttachResponse, Error> {
        Err(not_supported::streaming("Attach"))
    }

    fn port_forward(&self, _: PortForwardRequest) -> Result<PortForwardResponse, Error> {
        Err(not_supported::streaming("PortForward"))
    }

    fn container_stats(
        &self,
        request: ContainerStatsRequest,
    ) -> Result<Encoded<ContainerStatsResponse>, Error> {
        self.0.container_stats(&request)
    }

    fn list_container_stats(
        &self,
        request: ListContainerStatsRequest,
    ) -> Result<Encoded<ListContainerStatsResponse>, Error> {
        self.0.list_container_stats(&request)
    }

    fn stream_container_stats(
        &self,
        request: StreamContainerStatsRequest,
    ) -> Result<Replies<Encoded<StreamContainerStatsResponse>>, Error> {
        self.0.stream_container_stats(&request)
    }

    fn pod_sandbox_stats(
        &self,
        request: PodSandboxStatsRequest,
    ) -> Result<Encoded<PodSandboxStatsResponse>, Error> {
        self.0.pod_sandbox_stats(&request)
    }

    fn list_pod_sandbox_stats(
        &self,
        request: ListPodSandboxStatsRequest,
    ) -> Result<Encoded<ListPodSandboxStatsResponse>, Error> {
        self.0.list_pod_sandbox_stats(&request)
    }

    fn stream_pod_sandbox_stats(
        &self,
        request: StreamPodSandboxStatsRequest,
    ) -> Result<Replies<Encoded<StreamPodSandboxStatsResponse>>, Error> {
        self.0.stream_pod_sandbox_stats(&request)
    }

    fn update_runtime_config(
        &self,
        request: UpdateRuntimeConfigRequest,
    ) -> Result<UpdateRuntimeConfigResponse, Error> {
        self.0.update_runtime_config(&request)
    }

    fn status(&self, request: StatusRequest) -> Result<StatusResponse, Error> {
        self.0.status(&request)
    }

    fn checkpoint_container(
        &self,
        _: CheckpointContainerRequest,
    ) -> Result<CheckpointContainerResponse, Error> {
        Err(not_supported::checkpoint("CheckpointContainer"))
    }

    fn checkpoint_pod(&self, _: CheckpointPodRequest) -> Result<CheckpointPodResponse, Error> {
        Err(not_supported::checkpoint("CheckpointPod"))
    }

    fn restore_pod(&self, _: RestorePodRequest) -> Result<RestorePodResponse, Error> {
        Err(not_supported::checkpoint("RestorePod"))
    }

    fn get_container_events(
        &self,
        request: GetEventsRequest,
    ) -> Result<Replies<ContainerEventResponse>, Error> {
        self.0.get_container_events(&request)
    }

    fn list_metric_descriptors(
        &self,
        request: ListMetricDescriptorsRequest,
    ) -> Result<ListMetricDescriptorsResponse, Error> {
        self.0.list_metric_descriptors(&request)
    }

    fn list_pod_sandbox_metrics(
        &self,
        request: ListPodSandboxMetricsRequest,
    ) -> Result<ListPodSandboxMetricsResponse, Error> {
        self.0.list_pod_sandbox_metrics(&request)
    }

    fn stream_pod_sandbox_metrics(
        &self,
        request: StreamPodSandboxMetricsRequest,
    ) -> Result<Replies<StreamPodSandboxMetricsResponse>, Error> {
        self.0.stream_pod_sandbox_metrics(&request)
    }

    fn runtime_config(
        &self,
        request: RuntimeConfigRequest,
    ) -> Result<RuntimeConfigResponse, Error> {
        self.0.runtime_config(&request)
    }

    fn update_pod_sandbox_resources(
        &self,
        request: UpdatePodSandboxResourcesRequest,
    ) -> Result<UpdatePodSandboxResourcesResponse, Error> {
        self.0.update_pod_sandbox_resources(&request)
    }
}

impl ImageService for Images {
    type Error = Error;

    fn list_images(&self, request: ListImagesRequest) -> Result<ListImagesResponse, Error> {
        self.0.list_images(&request)
    }

    fn stream_images(
        &self,
        request: StreamImagesRequest,
    ) -> Result<Replies<StreamImagesResponse>, Error> {
        self.0.stream_images(&request)
    }

    fn image_status(&self, request: ImageStatusRequest) -> Result<ImageStatusResponse, Error> {
        self.0.image_status(&request)
    }

    fn pull_image(&self, request: PullImageRequest) -> Result<PullImageResponse, Error> {
        self.0.pull_image(&request)
    }

    fn remove_image(&self, request: RemoveImageRequest) -> Result<RemoveImageResponse, Error> {
        self.0.remove_image(&request)
    }

    fn image_fs_info(&self, request: ImageFsInfoRequest) -> Result<ImageFsInfoResponse, Error> {
        self.0.image_fs_info(&request)
    }
}
