//! What the kubelet put on this node for a pod: looked at, read, and nothing else.
//!
//! ```text
//! tree         the files of a volume, at one moment and never outside of it
//! mount_table  which part of a volume a subPath is, and what else a directory is called
//! pod_mounts   the same on the threads of `disk`
//! ```
//!
//! A pod chooses names, and the daemon often runs as root: every path is walked down from the
//! kubelet's root without following a symlink, and what is read has a bound.

mod error;
mod mount_table;
mod pod_mounts;
#[cfg(test)]
mod tests;
mod volume_reader;

use std::{
    cell::OnceCell,
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use error::Error;
pub use mount_table::MountTable;
pub use pod_mounts::PodMounts;
use volume_reader::{Budget, Fault, MAX_FILES};

use crate::{
    disk,
    kubelet::{
        directory::{self, VolumeKind},
        mount_source, ContentKind, Files, FoundMount, MountSource, PathKind,
    },
    proto::Mount,
};

/// The largest /etc/hosts file of a pod that is read.
const MAX_ETC_HOSTS: u64 = 64 << 10;

/// Reads what a pod's containers mount: each volume once, and all of them count against one bound.
///
/// It touches what a pod names: only benchmarks and tests use one on a thread that others need, and all
/// else [`PodMounts`].
pub struct MountReader {
    root: PathBuf,
    pod_uid: String,
    limit: u64,
    left: Budget,
    /// What only a job says is looked for too: host paths, which may lie on a file system that
    /// does not answer, and the media of emptyDirs.
    thorough: bool,
    table: OnceCell<MountTable>,
    known: HashMap<PathBuf, Arc<Files>>,
}

impl MountReader {
    /// For a job that is about to be submitted, on a worker. Volumes may hold `max_volume_bytes`.
    pub fn for_job(kubelet_root: &Path, pod_uid: &str, max_volume_bytes: u64) -> Self {
        Self {
            root: kubelet_root.to_owned(),
            pod_uid: pod_uid.to_owned(),
            limit: max_volume_bytes,
            left: Budget {
                bytes: max_volume_bytes,
                files: MAX_FILES,
            },
            thorough: true,
            table: OnceCell::new(),
            known: HashMap::new(),
        }
    }

    /// For a container that is being created: touches only what lies on the node's own disks, for
    /// a CRI call may not wait.
    pub fn for_check(kubelet_root: &Path, pod_uid: &str, max_volume_bytes: u64) -> Self {
        Self {
            thorough: false,
            ..Self::for_job(kubelet_root, pod_uid, max_volume_bytes)
        }
    }

    /// What stands behind each of these mounts.
    ///
    /// # Errors
    /// The first one of which it cannot be told.
    pub fn read(&mut self, mounts: &[Mount]) -> Result<Vec<FoundMount>, Error> {
        mounts.iter().map(|mount| self.found(mount)).collect()
    }

    fn found(&mut self, mount: &Mount) -> Result<FoundMount, Error> {
        let host_path = Path::new(&mount.host_path);
        disk::at(host_path);
        Ok(
            match mount_source::source(mount, &self.pod_uid, &self.root) {
                MountSource::KubeletOwn => FoundMount::KubeletOwn,
                MountSource::EtcHosts => self.etc_hosts(host_path),
                MountSource::Image(image) => FoundMount::Image(image.to_owned()),
                MountSource::HostPath(path) => self.host_path(path),
                MountSource::SubPath { volume, .. } => return self.sub_path(host_path, volume),
                MountSource::Volume { kind, name, inside } => match kind {
                    VolumeKind::EmptyDir => self.empty_dir(name, inside)?,
                    VolumeKind::Content(kind) => self.content(kind, host_path, name, inside)?,
                    VolumeKind::Plugin(plugin) => self.other(plugin, name, host_path)?,
                },
            },
        )
    }

    /// The pod does not fail for its host aliases.
    fn etc_hosts(&self, path: &Path) -> FoundMount {
        let mut budget = Budget {
            bytes: MAX_ETC_HOSTS,
            files: 1,
        };
        let read = || {
            let parent = self.open(&self.pod())?;
            let name = Path::new(path.file_name().unwrap_or_default());
            volume_reader::mounted(parent, name, "hosts", &mut budget)
        };
        let read = self.thorough.then(read).and_then(Result::ok);
        let text = read.and_then(|(mut files, _)| files.remove("hosts"));
        match text.and_then(|file| String::from_utf8(file.bytes).ok()) {
            Some(text) => FoundMount::EtcHosts(text),
            None => FoundMount::KubeletOwn,
        }
    }

    /// What a file system of other machines is mounted at is a directory: it is not asked, for it may
    /// hang. What lies below one is, because there are plugins that take nothing but a `Directory`.
    fn host_path(&self, path: &str) -> FoundMount {
        let at = Path::new(path);
        let is_remote_mount = |table: &MountTable| table.is_mount_point(at) && !table.is_local(at);
        let kind = match self.thorough {
            false => PathKind::Unknown,
            true if self.table("").is_ok_and(is_remote_mount) => PathKind::Directory,
            true => {
                disk::at(at);
                match fs::metadata(at) {
                    Ok(found) if found.is_dir() => PathKind::Directory,
                    Ok(found) if found.is_file() => PathKind::File,
                    _ => PathKind::Unknown,
                }
            }
        };
        FoundMount::HostPath {
            path: path.to_owned(),
            kind,
        }
    }

    fn empty_dir(&self, volume: &str, inside: &str) -> Result<FoundMount, Error> {
        let directory = self.volumes().join(directory::EMPTY_DIR).join(volume);
        let file_system = match self.thorough {
            true => self.table(volume)?.file_system(&directory),
            false => None,
        };
        Ok(FoundMount::EmptyDir {
            volume: volume.to_owned(),
            inside: inside.to_owned(),
            medium: match file_system {
                Some(("tmpfs", _)) => "Memory".to_owned(),
                Some(("hugetlbfs", options)) => huge_pages(options),
                _ => String::new(),
            },
        })
    }

    fn content(
        &mut self,
        kind: ContentKind,
        host_path: &Path,
        volume: &str,
        inside: &str,
    ) -> Result<FoundMount, Error> {
        // `volumes/PLUGIN/NAME`, and what follows is inside.
        let below = host_path.strip_prefix(self.pod()).unwrap_or(host_path);
        let directory = self.pod().join(below.iter().take(3).collect::<PathBuf>());
        let files = match self.known.get(&directory) {
            Some(files) => files.clone(),
            None => {
                let mut left = self.left;
                let read = self
                    .open(&directory)
                    .and_then(|open| volume_reader::volume(open, &mut left));
                let files = Arc::new(read.map_err(|fault| self.error(volume, &directory, fault))?);
                self.left = left;
                self.known.insert(directory.clone(), files.clone());
                files
            }
        };
        let (files, is_file) = match inside.is_empty() {
            true => (files, false),
            false => match part(&files, inside) {
                Some((files, is_file)) => (Arc::new(files), is_file),
                None => {
                    let gone = Fault::Io(io::ErrorKind::NotFound.into());
                    return Err(self.error(volume, &directory.join(inside), gone));
                }
            },
        };
        Ok(FoundMount::Content {
            kind,
            volume: volume.to_owned(),
            inside: inside.to_owned(),
            is_file,
            files,
        })
    }

    fn other(&self, plugin: &str, volume: &str, host_path: &Path) -> Result<FoundMount, Error> {
        let table = self.table(volume)?;
        let names = table
            .location(host_path)
            .map(|location| table.names(&location));
        Ok(FoundMount::Other {
            plugin: plugin.to_owned(),
            volume: volume.to_owned(),
            elsewhere: self.outside(names.unwrap_or_default()),
        })
    }

    /// A part of a volume, which the kubelet mounted at `bind`. Of which kind the volume is shows
    /// in the pod's directory; which part it is, in the mount table.
    fn sub_path(&mut self, bind: &Path, volume: &str) -> Result<FoundMount, Error> {
        let table = self.table(volume)?;
        let missing = || Error::NotMounted {
            volume: volume.to_owned(),
            path: bind.to_owned(),
        };
        if !table.is_mount_point(bind) {
            return Err(missing());
        }
        let location = table.location(bind).ok_or_else(missing)?;
        let names = table.names(&location);
        let Some((plugin, directory)) = self.find_volume(volume) else {
            // A host path has no directory of its own below the pod's.
            let path = self.outside(names).into_iter().next().ok_or_else(missing)?;
            return Ok(self.host_path(&path));
        };
        let inside = table
            .location(&directory)
            .and_then(|volume| Some(location.below(&volume)?.to_str()?.to_owned()));
        match directory::volume_kind(&plugin) {
            VolumeKind::EmptyDir => self.empty_dir(volume, &inside.ok_or_else(missing)?),
            VolumeKind::Content(kind) => {
                let inside = inside.ok_or_else(missing)?;
                self.content_at(kind, bind, volume, without_time(&inside))
            }
            VolumeKind::Plugin(plugin) => Ok(FoundMount::Other {
                plugin: plugin.to_owned(),
                volume: volume.to_owned(),
                elsewhere: self.outside(names),
            }),
        }
    }

    /// The files at a subPath mount. They are those of the container's creation: the kubelet
    /// does not follow later changes there.
    fn content_at(
        &mut self,
        kind: ContentKind,
        bind: &Path,
        volume: &str,
        inside: &str,
    ) -> Result<FoundMount, Error> {
        if inside.is_empty() {
            let directory = self.find_volume(volume).map(|(_, directory)| directory);
            let directory = directory.unwrap_or_else(|| bind.to_owned());
            return self.content(kind, &directory, volume, "");
        }
        let (parent, name) = (bind.parent().unwrap_or(bind), bind.file_name());
        let name = Path::new(name.unwrap_or_default());
        let mut left = self.left;
        let read = self
            .open(parent)
            .and_then(|parent| volume_reader::mounted(parent, name, file_name(inside), &mut left));
        let (files, is_file) = read.map_err(|fault| self.error(volume, bind, fault))?;
        self.left = left;
        Ok(FoundMount::Content {
            kind,
            volume: volume.to_owned(),
            inside: inside.to_owned(),
            is_file,
            files: Arc::new(files),
        })
    }

    /// The directory of a volume, and the plugin that made it.
    fn find_volume(&self, name: &str) -> Option<(String, PathBuf)> {
        let table = self.table(name).ok()?;
        let plugins = listed(&self.volumes())?;
        plugins.flatten().find_map(|plugin| {
            let directory = plugin.path().join(name);
            // What is mounted there is not asked: it may be what hangs.
            let is_directory = table.is_mount_point(&directory)
                || listed(&plugin.path())
                    .into_iter()
                    .flatten()
                    .flatten()
                    .any(|entry| is_directory_of(&entry, name));
            let plugin = plugin.file_name().into_string().ok()?;
            is_directory.then_some((plugin, directory))
        })
    }

    /// Those names that do not lie in the kubelet's directory.
    fn outside(&self, names: Vec<PathBuf>) -> Vec<String> {
        let names = names.into_iter();
        names
            .filter(|name| !name.starts_with(&self.root))
            .filter_map(|name| name.into_os_string().into_string().ok())
            .collect()
    }

    fn pod(&self) -> PathBuf {
        directory::pod(&self.root, &self.pod_uid)
    }

    fn volumes(&self) -> PathBuf {
        directory::volumes(&self.root, &self.pod_uid)
    }

    /// Opens a directory below the kubelet's root.
    fn open(&self, directory: &Path) -> Result<std::os::fd::OwnedFd, Fault> {
        disk::at(directory);
        let below = directory.strip_prefix(&self.root).unwrap_or(directory);
        volume_reader::open_below(&self.root, below)
    }

    fn table(&self, volume: &str) -> Result<&MountTable, Error> {
        if self.table.get().is_none() {
            let table = MountTable::read().map_err(|source| Error::NotReady {
                volume: volume.to_owned(),
                path: "/proc/self/mountinfo".into(),
                source,
            })?;
            // Nobody else can have set it meanwhile: the cell is not shared.
            let _ = self.table.set(table);
        }
        Ok(self.table.get_or_init(MountTable::default))
    }

    fn error(&self, volume: &str, path: &Path, fault: Fault) -> Error {
        let volume = volume.to_owned();
        match fault {
            Fault::Io(source) => Error::NotReady {
                volume,
                path: path.to_owned(),
                source,
            },
            Fault::Odd { entry, fault } => Error::Odd {
                volume,
                entry,
                fault,
            },
            Fault::TooLarge => Error::TooLarge {
                volume,
                limit: self.limit,
                files: MAX_FILES,
            },
        }
    }
}

/// Whether a directory's entry is a directory of this name. The entry tells; it is not opened.
fn is_directory_of(entry: &fs::DirEntry, name: &str) -> bool {
    entry.file_name() == name && entry.file_type().is_ok_and(|kind| kind.is_dir())
}

/// The entries of a directory, if it can be read.
fn listed(directory: &Path) -> Option<fs::ReadDir> {
    disk::at(directory);
    fs::read_dir(directory).ok()
}

/// The file at a path of a volume, or the files below it; and whether it is one file.
fn part(files: &Files, inside: &str) -> Option<(Files, bool)> {
    if let Some(file) = files.get(inside) {
        let name = file_name(inside).to_owned();
        return Some((Files::from([(name, file.clone())]), true));
    }
    let below = format!("{inside}/");
    let parts = files.iter().filter_map(|(path, file)| {
        let path = path.strip_prefix(&below)?;
        Some((path.to_owned(), file.clone()))
    });
    let parts: Files = parts.collect();
    (!parts.is_empty()).then_some((parts, false))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `key` from `..2024_06_01_10_00_00.123/key`: the directory of the atomic writer.
fn without_time(inside: &str) -> &str {
    match inside.split_once('/') {
        Some((first, rest)) if first.starts_with("..") => rest,
        None if inside.starts_with("..") => "",
        _ => inside,
    }
}

/// `HugePages-2Mi` from the options of a hugetlbfs: `pagesize=2M`.
fn huge_pages(options: &str) -> String {
    let size = options
        .split(',')
        .find_map(|option| option.strip_prefix("pagesize="));
    match size {
        Some(size) => format!("HugePages-{size}i"),
        None => "HugePages".to_owned(),
    }
}
