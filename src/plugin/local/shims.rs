//! The shims that this process has started: starting and reaping them.

use std::{
    fs::OpenOptions,
    io,
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use parking_lot::Mutex;

use super::{container_dir::ContainerDir, shim};

/// The shims that are children of this process. Whoever starts a process has to reap it.
#[derive(Debug)]
pub(super) struct Shims {
    executable: PathBuf,
    children: Mutex<Vec<Child>>,
}

impl Shims {
    /// Shims that will be started as `executable plugin-shim DIR`.
    pub(super) fn new(executable: PathBuf) -> Self {
        Self {
            executable,
            children: Mutex::default(),
        }
    }

    /// Starts the shim of a container; gives its process id.
    pub(super) fn start(&self, container: &ContainerDir) -> io::Result<u32> {
        let shim = self.spawn(container).map_err(|error| {
            let executable = self.executable.display();
            io::Error::other(format!("cannot start {executable} as its shim: {error}"))
        })?;
        let pid = shim.id();
        self.children.lock().push(shim);
        Ok(pid)
    }

    fn spawn(&self, container: &ContainerDir) -> io::Result<Child> {
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(container.shim_log())?;
        Command::new(&self.executable)
            // In a list of processes this is what people read.
            .arg0("interlink-cri")
            .arg(shim::SUBCOMMAND)
            .arg(&container.0)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
    }

    /// Reaps those that have ended; gives how many still run.
    pub(super) fn reap(&self) -> usize {
        let mut children = self.children.lock();
        children.retain_mut(|shim| matches!(shim.try_wait(), Ok(None)));
        children.len()
    }

    pub(super) fn is_running(&self, pid: u32) -> bool {
        let mut children = self.children.lock();
        let shim = children.iter_mut().find(|shim| shim.id() == pid);
        shim.is_some_and(|shim| matches!(shim.try_wait(), Ok(None)))
    }
}
