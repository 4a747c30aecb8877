//! What a pod is to this plugin, whatever runs it: the request that brings it, the record that is
//! kept of it, its volumes, and its place below the plugin's root directory.
//!
//! Nothing here knows of HTTP or of processes.

mod container_request;
mod identifiers;
mod record;
mod request;
mod root_dir;
mod volume_files;
mod volumes;

pub(crate) use self::{
    container_request::{ContainerRequest, MountRequest},
    identifiers::{is_pod_uid, relative_path},
    record::{open_file, read_record, write_record, ContainerExit, DeletionRecord, PodRecord},
    request::{grace_period, keeps_end, PodRequest},
    root_dir::{make_private_dir, remove_tree, take_over, PodDir, RootDir, StoredPod},
    volume_files::{provide_host_paths, write_volume},
    volumes::VolumeSource,
};
