//! The mount namespace, and the kubelet in it.

use std::{
    convert::Infallible,
    fs, io,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::Path,
    process::Command,
};

use rustix::{
    mount::{
        mount, mount_bind, mount_bind_recursive, mount_change, mount_remount, MountFlags,
        MountPropagationFlags,
    },
    thread::{capabilities, CapabilitySet, UnshareFlags},
};

use super::{
    files::{self, Kind},
    Amounts, Error, Kubelet,
};
use crate::host::MountTable;

/// The NUMA nodes of a machine. The files of the view lie here.
pub const NODES: &str = "/sys/devices/system/node";
const ONLINE: &str = "/sys/devices/system/cpu/online";
const MEMINFO: &str = "/proc/meminfo";
/// The file below [`NODES`] that is shown as [`MEMINFO`].
const MEMINFO_SOURCE: &str = "meminfo";
/// What is on the view's file system, nothing needs.
const PLAIN: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// Becomes the kubelet, in a mount namespace where the machine has these amounts. Must be called by a
/// process without other threads: they would stay outside, and end.
///
/// What is mounted outside later shows inside, and the other way round, as without this; but for what
/// lies in `/proc` and `/sys`, whose mounts do not leave the namespace. Its last process takes the
/// view with it. One thing stays: the kubelet's root directory is a mount that is shared with its
/// copies. A kubelet makes it one itself, and running pods have their volumes there; but in a namespace
/// of its own on a machine whose `/` is private that would be too late, and its volumes would not show
/// outside.
///
/// # Errors
/// What rules it out, or the step that failed. If that is a late one, the process is in the namespace
/// and should end.
pub fn enter(amounts: Amounts, kubelet: &Kubelet) -> Result<Infallible, Error> {
    let told = Error::Io {
        what: "no command is given".to_owned(),
        source: io::ErrorKind::InvalidInput.into(),
    };
    let (program, arguments) = kubelet.command().ok_or(told)?;
    kubelet.check()?;
    let may = capabilities(None).map_err(failed("reading the capabilities"))?;
    if !may.effective.contains(CapabilitySet::SYS_ADMIN) {
        return Err(Error::NotAllowed);
    }
    if !Path::new(NODES).is_dir() {
        return Err(Error::NoNodes(NODES));
    }
    let real = fs::read_to_string(MEMINFO).map_err(failed(MEMINFO))?;
    let meminfo = files::meminfo(&real, amounts)?;
    share(&kubelet.root())?;
    leave()?;
    for place in ["/proc", "/sys"] {
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change(place, flags).map_err(failed(&format!("keeping mounts in {place} inside")))?;
    }
    show(amounts, &meminfo)?;
    let error = Command::new(program).args(arguments).exec();
    Err(Error::Io {
        what: format!("starting {}", program.to_string_lossy()),
        source: error,
    })
}

/// Makes the kubelet's root a mount that its copies in other namespaces share, as `MakeRShared` of
/// k8s.io/mount-utils would.
fn share(root: &Path) -> Result<(), Error> {
    let what = format!("sharing the mounts below {}", root.display());
    // As the kubelet makes it (`setupDataDirs`).
    fs::create_dir_all(root).map_err(failed(&what))?;
    let root = fs::canonicalize(root).map_err(failed(&what))?;
    let table = MountTable::read().map_err(failed(&what))?;
    if table.is_shared(&root) {
        return Ok(());
    }
    if !table.is_mount_point(&root) {
        mount_bind_recursive(&root, &root).map_err(failed(&what))?;
    }
    let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    mount_change(&root, flags).map_err(failed(&what))
}

/// Moves this process into a mount namespace of its own.
fn leave() -> Result<(), Error> {
    // Deprecated because of CLONE_FILES, which can take descriptors away from other threads.
    #[allow(deprecated)]
    rustix::thread::unshare(UnshareFlags::NEWNS).map_err(failed("a mount namespace"))
}

/// Puts the files in place.
fn show(amounts: Amounts, meminfo: &str) -> Result<(), Error> {
    let nodes = Path::new(NODES);
    mount("interlink-cri", nodes, "tmpfs", PLAIN, Some(c"mode=0755"))
        .map_err(failed(&format!("a file system over {NODES}")))?;
    for entry in files::nodes(amounts) {
        let path = nodes.join(&entry.path);
        let parent = path.parent().unwrap_or(nodes);
        let made = fs::create_dir_all(parent).and_then(|()| match &entry.kind {
            Kind::File(text) => fs::write(&path, text),
            Kind::Link(to) => symlink(to, &path),
        });
        made.map_err(failed(&entry.path))?;
    }
    let memory = nodes.join(MEMINFO_SOURCE);
    fs::write(&memory, meminfo).map_err(failed(MEMINFO))?;
    mount_remount(nodes, PLAIN | MountFlags::RDONLY, c"")
        .map_err(failed(&format!("closing {NODES}")))?;
    mount_bind(&memory, MEMINFO).map_err(failed(MEMINFO))?;
    mount_bind(nodes.join("node0/cpulist"), ONLINE).map_err(failed(ONLINE))
}

fn failed<E: Into<io::Error>>(what: &str) -> impl FnOnce(E) -> Error {
    let what = what.to_owned();
    move |error| Error::Io {
        what,
        source: error.into(),
    }
}
