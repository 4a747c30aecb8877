//! What systemd hears: that the daemon serves, how it is, and that it lives for as long as all its threads do.

use std::{cell::RefCell, os::unix::net::UnixDatagram};

use crate::support::{command, wait_for, Daemon, Fake};

struct Manager {
    socket: UnixDatagram,
    heard: RefCell<Vec<String>>,
}

impl Manager {
    fn of(daemon: &mut Daemon) -> Self {
        let path = daemon.path("notify");
        let socket = UnixDatagram::bind(&path).expect("binds");
        socket.set_nonblocking(true).expect("does not block");
        daemon.set_variable("NOTIFY_SOCKET", &path.display().to_string());
        daemon.set_variable("WATCHDOG_USEC", "30000000");
        Self {
            socket,
            heard: RefCell::default(),
        }
    }

    /// All that was told so far.
    fn heard(&self) -> Vec<String> {
        let mut bytes = [0; 1024];
        while let Ok(count) = self.socket.recv(&mut bytes) {
            let told = String::from_utf8_lossy(&bytes[..count]).into_owned();
            self.heard.borrow_mut().push(told);
        }
        self.heard.borrow().clone()
    }

    fn wait_for(&self, beginning: &str) {
        wait_for(beginning, || {
            let heard = self.heard();
            heard
                .iter()
                .any(|told| told.starts_with(beginning))
                .then_some(())
        });
    }
}

#[test]
fn systemd_hears_that_the_daemon_serves_lives_and_stops() {
    let fake = Fake::start();
    let mut daemon = Daemon::prepare("");
    daemon.interlink(&fake.url());
    let manager = Manager::of(&mut daemon);
    daemon.run();
    manager.wait_for("READY=1");
    manager.wait_for("WATCHDOG=1");
    manager.wait_for("STATUS=interLink answers; 0 jobs there");
    let socket = daemon.socket().display().to_string();
    let (code, text, _) = command(&["status", "--socket", &socket, "--json"]);
    let status: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(code, 0, "{text}");
    assert!(
        status["info"]["interlink"]["lastAnswerSeconds"].is_u64(),
        "{text}"
    );
    assert!(
        status["info"]["daemon"]["stateBytes"].as_u64() > Some(0),
        "{text}"
    );
    assert!(daemon.terminate().success());
    manager.wait_for("STOPPING=1");
}

/// Release builds have no failpoints.
#[cfg(debug_assertions)]
#[test]
fn a_thread_that_hangs_ends_the_signs_of_life() {
    let fake = Fake::start();
    let mut daemon = Daemon::prepare(
        "[interlink]\nconnect_timeout = '100ms'\nrequest_timeout = '100ms'\nping_interval = '100ms'",
    );
    daemon.interlink(&fake.url());
    daemon.plant("poll=hang@3");
    let manager = Manager::of(&mut daemon);
    daemon.run();
    wait_for("the log says that it hangs", || {
        daemon.log().contains("has not come back").then_some(())
    });
    let before = manager.heard().len();
    // The watch looks each second and tells what has changed; the next thing that it tells is no life.
    change_status(&daemon);
    let told = wait_for("the change is told", || {
        manager.heard().get(before).cloned()
    });
    assert!(told.starts_with("STATUS="), "{told}");
}

/// Makes the status another one: a pod whose job waits.
#[cfg(debug_assertions)]
fn change_status(daemon: &Daemon) {
    use crate::support::{container, sandbox};
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("waits"));
    cri.launch(&pod, &container("main", &["true"]));
}
