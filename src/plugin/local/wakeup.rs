//! How shims wake the supervisor's thread: a datagram socket in the plugin's root directory. Shims
//! outlive plugins and belong to none, so they cannot hold an end of a channel; they can know a
//! file's name.
//!
//! A wake-up holds the UID of a pod that is worth a look. It is a hint and nothing more: one that is
//! lost costs time until the next periodic look, and a false one costs a look.

use std::{
    fs::{self, File},
    io,
    net::Shutdown,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    path::{Path, PathBuf},
    time::Duration,
};

/// The socket's file name. It is that of the first version: shims that it started still send there.
const SOCKET: &str = "doorbell";
/// How long the sender of a wake-up waits while the socket's queue is full.
const PATIENCE: Duration = Duration::from_secs(1);

/// The receiving end.
#[derive(Debug)]
pub(super) struct WakeUps {
    socket: UnixDatagram,
}

impl WakeUps {
    /// Makes the socket anew in a root directory that the caller has locked.
    pub(super) fn bind(root: &Path) -> io::Result<Self> {
        match fs::remove_file(root.join(SOCKET)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (_dir, path) = short_path(root)?;
        let socket = UnixDatagram::bind(path)?;
        Ok(Self { socket })
    }

    /// Ends all waiting, now and later.
    pub(super) fn close(&self) {
        if let Err(error) = self.socket.shutdown(Shutdown::Both) {
            log::warn!(
                "cannot close the wake-up socket: {error}; the thread `plugin-pods` ends at its next \
                 periodic look instead"
            );
        }
    }

    /// Waits for a wake-up; gives the pod's UID, or nothing when the time is over.
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
                log::warn!(
                    "cannot read the wake-up socket: {error}; pods are looked at periodically until \
                     it can be read again"
                );
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

/// Sends a wake-up: the pod `uid` is worth a look. If no plugin runs, the next one looks at every
/// pod when it starts.
pub(super) fn send(root: &Path, uid: &str) {
    let sent = short_path(root).and_then(|(_dir, path)| {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.send_to(uid.as_bytes(), path)
    });
    if let Err(error) = sent {
        log::debug!(
            "cannot send a wake-up for pod {uid}: {error}; the next periodic look will find out"
        );
    }
}

/// A path to the socket that holds as long as the file does. A socket's path may have no more than
/// 107 bytes (unix(7)), and the root's own may have more.
fn short_path(root: &Path) -> io::Result<(File, PathBuf)> {
    let dir = File::open(root)?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd());
    Ok((dir, path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_ups_arrive_below_a_long_path_too() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("x".repeat(200));
        fs::create_dir(&root).unwrap();
        send(&root, "nobody receives");
        for round in ["first", "second owner"] {
            let socket = WakeUps::bind(&root).unwrap();
            assert_eq!(socket.wait(Duration::from_millis(1)), None);
            send(&root, round);
            assert_eq!(socket.wait(Duration::from_secs(10)).as_deref(), Some(round));
        }
    }

    #[test]
    fn closing_wakes_who_waits_even_if_the_file_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let socket = WakeUps::bind(dir.path()).unwrap();
        fs::remove_file(dir.path().join(SOCKET)).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| socket.wait(Duration::from_secs(60)));
            while !waiter.is_finished() {
                socket.close();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
}
