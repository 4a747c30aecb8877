//! A file system that never answers: FUSE with nobody behind it.

use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use rustix::mount::{mount, unmount, MountFlags, UnmountFlags};

/// Such a file system, mounted. It is gone, and all that wait for it get an error, when it is dropped.
pub struct Hung {
    at: PathBuf,
    /// What nobody reads.
    device: Option<File>,
}

impl Hung {
    /// Mounts one over a directory; none, with the reason printed, where that is not allowed here.
    pub fn over(at: &Path) -> Option<Self> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let device = device
            .map_err(|error| println!("skipped: /dev/fuse: {error}"))
            .ok()?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
            device.as_raw_fd()
        );
        let options = CString::new(options).expect("no zero in it");
        mount("hung", at, "fuse", MountFlags::empty(), Some(&*options))
            .map_err(|error| println!("skipped: mount: {error}"))
            .ok()?;
        Some(Self {
            at: at.to_owned(),
            device: Some(device),
        })
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        drop(self.device.take());
        unmount(&self.at, UnmountFlags::DETACH).expect("unmounted");
    }
}
