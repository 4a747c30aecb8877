//! What systemd hears of the daemon, by `sd_notify(3)`: that it serves, how it is, that it lives, and that
//! it stops. Without `NOTIFY_SOCKET` in the environment all of this does nothing.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

use parking_lot::Mutex;

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
    /// The status that it was told last.
    told: Mutex<String>,
}

impl ServiceManager {
    /// The one that started this process, as its environment says.
    ///
    /// # Errors
    /// The socket that it names cannot be used.
    pub fn from_environment() -> io::Result<Self> {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else {
            return Ok(Self::default());
        };
        let text = |name| env::var(name).ok();
        let watchdog = watchdog(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), process::id());
        Self::at(&name, watchdog)
    }

    fn at(name: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        // An abstract socket is written with `@` for the byte 0.
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // A manager that does not read must not hold up the thread that tells it something.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: Some(socket),
            watchdog,
            told: Mutex::default(),
        })
    }

    /// The daemon serves.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// The daemon stops.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// How the daemon is, in one line for people; told when it is another than before.
    pub fn status(&self, line: &str) {
        let mut told = self.told.lock();
        if *told != line {
            line.clone_into(&mut told);
            self.tell(&format!("STATUS={line}"));
        }
    }

    /// Whether it ends the process when it hears nothing for long enough.
    pub fn has_watchdog(&self) -> bool {
        self.watchdog.is_some()
    }

    /// All that must come back comes back. To be told at least twice within the watchdog's time.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, what: &str) {
        if let Some(socket) = &self.socket {
            if let Err(error) = socket.send(what.as_bytes()) {
                log::debug!(error:%; "systemd cannot be told {what}");
            }
        }
    }
}

/// The watchdog's time, where it is meant for this process.
fn watchdog(microseconds: Option<String>, pid: Option<String>, own: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let time = microseconds?.parse().ok().filter(|time| *time > 0);
    time.filter(|_| is_ours).map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_for_the_process_that_it_names() {
        let text = |text: &str| Some(text.to_owned());
        let time = Some(Duration::from_secs(3));
        assert_eq!(watchdog(text("3000000"), None, 7), time);
        assert_eq!(watchdog(text("3000000"), text("7"), 7), time);
        assert_eq!(watchdog(text("3000000"), text("8"), 7), None);
        assert_eq!(watchdog(text("0"), None, 7), None);
        assert_eq!(watchdog(None, text("7"), 7), None);
    }

    #[test]
    fn what_is_told_arrives_and_a_full_socket_holds_up_nobody() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("binds");
        let told = || {
            let mut bytes = [0; 256];
            let count = manager.recv(&mut bytes).expect("a message");
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        };
        let ours = ServiceManager::at(path.as_os_str(), None).expect("connects");
        ours.ready();
        ours.alive();
        ours.status("well");
        ours.status("well");
        ours.stopping();
        assert_eq!(
            [told(), told(), told()],
            ["READY=1", "STATUS=well", "STOPPING=1"]
        );
        // Without a watchdog nobody waits for a sign of life. Nobody reads these.
        for _ in 0..10_000 {
            ours.ready();
        }
        ServiceManager::default().ready();
    }
}
