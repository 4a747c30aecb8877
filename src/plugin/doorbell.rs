//! How the supervisor is woken: a datagram socket in the plugin's root. Shims outlive plugins
//! and belong to none, so they cannot hold an end of a channel; a file name they can.
//!
//! A ring names a pod that is worth a look. It is a hint and nothing more: a ring that is lost
//! costs time until the next sweep, and a false one costs a look.

use std::{
    fs::{self, File},
    io,
    net::Shutdown,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    path::{Path, PathBuf},
    time::Duration,
};

const NAME: &str = "doorbell";
/// How long a ring may wait for a queue that is full.
const PATIENCE: Duration = Duration::from_secs(1);

/// The inside: who holds it answers.
#[derive(Debug)]
pub(super) struct Doorbell {
    socket: UnixDatagram,
}

impl Doorbell {
    /// Takes over the bell of a root that the caller has locked.
    pub(super) fn install(root: &Path) -> io::Result<Self> {
        match fs::remove_file(root.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (_dir, path) = short_path(root)?;
        let socket = UnixDatagram::bind(path)?;
        Ok(Self { socket })
    }

    /// Ends all waiting, now and later.
    pub(super) fn silence(&self) {
        if let Err(error) = self.socket.shutdown(Shutdown::Both) {
            log::warn!("cannot silence the supervisor's doorbell: {error}");
        }
    }

    /// Waits for a ring; gives the pod's UID, or nothing when the time is over.
    pub(super) fn wait(&self, span: Duration) -> Option<String> {
        let mut uid = [0_u8; 64];
        let limit = Some(span.max(Duration::from_millis(1)));
        let received = self
            .socket
            .set_read_timeout(limit)
            .and_then(|()| self.socket.recv(&mut uid));
        match received {
            Ok(length) => Some(String::from_utf8_lossy(&uid[..length]).into_owned()),
            Err(error) if is_timeout(&error) => None,
            Err(error) => {
                log::warn!("the supervisor's doorbell is broken: {error}");
                std::thread::sleep(span.min(PATIENCE));
                None
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// Says that the pod `uid` is worth a look. Nobody may be at home; then it will be looked at
/// when somebody is.
pub(super) fn ring(root: &Path, uid: &str) {
    let rung = short_path(root).and_then(|(_dir, path)| {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.send_to(uid.as_bytes(), path)
    });
    if let Err(error) = rung {
        log::debug!("nobody answers the doorbell for pod {uid}: {error}");
    }
}

/// A socket's path may have no more than 107 bytes; a root's may. The path holds as long as the
/// file does.
fn short_path(root: &Path) -> io::Result<(File, PathBuf)> {
    let dir = File::open(root)?;
    let path = format!("/proc/self/fd/{}/{NAME}", dir.as_raw_fd());
    Ok((dir, path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_arrive_below_a_long_path_too() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("x".repeat(200));
        fs::create_dir(&root).unwrap();
        ring(&root, "nobody at home");
        for round in ["first", "second owner"] {
            let bell = Doorbell::install(&root).unwrap();
            assert_eq!(bell.wait(Duration::from_millis(1)), None);
            ring(&root, round);
            assert_eq!(bell.wait(Duration::from_secs(10)).as_deref(), Some(round));
        }
    }

    #[test]
    fn silence_wakes_who_waits_even_if_the_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let bell = Doorbell::install(dir.path()).unwrap();
        fs::remove_file(dir.path().join(NAME)).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| bell.wait(Duration::from_secs(60)));
            while !waiter.is_finished() {
                bell.silence();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
}
