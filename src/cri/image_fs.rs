//! `ImageFsInfo`: the file system of the state directory. The kubelet wants an existing local path
//! and figures; without them it exits at start, or its eviction manager never gets its signals.

use std::path::Path;

use protobuf::MessageField;

use super::{CriContext, Error};
use crate::proto::{
    FilesystemIdentifier, FilesystemUsage, ImageFsInfoRequest, ImageFsInfoResponse, UInt64Value,
};

impl CriContext {
    pub(super) fn image_fs_info(
        &self,
        _: &ImageFsInfoRequest,
    ) -> Result<ImageFsInfoResponse, Error> {
        let directory = &self.config.daemon.state_dir;
        let (bytes, inodes) = usage(directory);
        let number = |value| {
            MessageField::some(UInt64Value {
                value,
                ..Default::default()
            })
        };
        let mountpoint = directory.display().to_string();
        let usage = FilesystemUsage {
            timestamp: self.now().0,
            fs_id: MessageField::some(FilesystemIdentifier {
                mountpoint,
                ..Default::default()
            }),
            // The kubelet reads it without a look whether it is there (`ImageFsStats` in
            // pkg/kubelet/stats/cri_stats_provider.go).
            used_bytes: number(bytes),
            inodes_used: number(inodes),
            ..Default::default()
        };
        Ok(ImageFsInfoResponse {
            image_filesystems: vec![usage.clone()],
            container_filesystems: vec![usage],
            ..Default::default()
        })
    }
}

/// Bytes and inodes of the files directly in a directory: the state is one file and its lock.
fn usage(directory: &Path) -> (u64, u64) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|meta| meta.len());
    sizes.fold((0, 1), |(bytes, inodes), size| (bytes + size, inodes + 1))
}
