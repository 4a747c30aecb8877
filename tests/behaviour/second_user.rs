//! A second user of the login node: taken ports, prepared directories, files that others may write. The other
//! user is `nobody`, which only root can play; without root the tests say that they are skipped.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{geteuid, Uid};

use crate::support::{command, container, sandbox, wait_for, Daemon, Fake};

const NOBODY: u32 = 65534;

/// Whether this process may play other users.
fn is_root(test: &str) -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        eprintln!("{test} is skipped: only root can be another user");
    }
    is_root
}

/// Does something as nobody: in Linux a thread may be another user than its process.
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            rustix::thread::set_thread_uid(Uid::from_raw(NOBODY)).expect("nobody");
            work()
        });
        thread.join().expect("no panic")
    })
}

#[test]
fn a_port_that_another_user_has_taken_gets_nothing() {
    if !is_root("a_port_that_another_user_has_taken_gets_nothing") {
        return;
    }
    let thief = as_nobody(|| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let address = thief.local_addr().expect("an address");
    let daemon = Daemon::start(&format!("http://{address}"), "");
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("secret"));
    cri.launch(&pod, &container("main", &["true"]));
    let said = wait_for("it says why it does not connect", || {
        let log = daemon.log();
        let line = log
            .lines()
            .find(|line| line.contains("interLink cannot be reached"))?;
        Some(line.to_owned())
    });
    assert!(
        said.contains("user 65534") && said.contains("interlink.local_users"),
        "{said}"
    );
    wait_for("the submission has been tried as well", || {
        daemon
            .log()
            .contains("user 65534, and would be sent")
            .then_some(())
    });
    thief.set_nonblocking(true).expect("set");
    assert!(thief.accept().is_err(), "nobody has heard a word");
}

#[test]
fn a_tunnel_of_a_user_who_is_named_is_used() {
    if !is_root("a_tunnel_of_a_user_who_is_named_is_used") {
        return;
    }
    let fake = Fake::start();
    let behind = fake.url().trim_start_matches("http://").to_owned();
    let tunnel = as_nobody(|| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let address = tunnel.local_addr().expect("an address");
    std::thread::spawn(move || forward(&tunnel, &behind));
    let settings = format!("[interlink]\nlocal_users = ['{NOBODY}']");
    let daemon = Daemon::start(&format!("http://{address}"), &settings);
    let cri = daemon.cri();
    let pod = cri.run(&sandbox("train"));
    cri.launch(&pod, &container("main", &["true"]));
    wait_for("the job arrives", || {
        (fake.requests("/create").len() == 1).then_some(())
    });
}

/// Forwards connections as nobody, as `ssh -L` of a service account does.
fn forward(tunnel: &TcpListener, behind: &str) {
    let accept = || as_nobody(|| tunnel.accept().map(|(stream, _)| stream));
    while let Ok(outside) = accept() {
        let inside = TcpStream::connect(behind).expect("the server");
        let pairs = [
            (outside.try_clone(), inside.try_clone()),
            (Ok(inside), Ok(outside)),
        ];
        for (from, to) in pairs {
            let (mut from, mut to) = (from.expect("a socket"), to.expect("a socket"));
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
        }
    }
}

/// The plugin as a process; killed on drop.
struct Plugin(Child);

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_user_gets_a_process_of_root_from_the_local_plugin() {
    if !is_root("no_user_gets_a_process_of_root_from_the_local_plugin") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root").display().to_string();
    let on_tcp = ["plugin", "--listen", "http://127.0.0.1:0", "--root", &root];
    let (code, _, error) = command(&on_tcp);
    assert_eq!(code, 1);
    assert!(
        error.contains("as root") && error.contains("--token-file"),
        "{error}"
    );

    let token = dir.path().join("token");
    fs::write(&token, "s3cret\n").expect("written");
    let token_file = token.display().to_string();
    let with_token = [&on_tcp[..], &["--token-file", &token_file]].concat();
    let (code, _, error) = command(&with_token);
    assert_eq!(code, 1);
    assert!(error.contains("chmod 600"), "{error}");

    rustix::fs::chmod(&token, rustix::fs::Mode::from_raw_mode(0o600)).expect("chmod");
    let child = Command::new(env!("CARGO_BIN_EXE_interlink-cri"))
        .args(with_token)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut plugin = Plugin(child.expect("it starts"));
    let mut url = vec![0; 64];
    let length = plugin
        .0
        .stdout
        .as_mut()
        .expect("piped")
        .read(&mut url)
        .expect("its address");
    let url = String::from_utf8_lossy(&url[..length]).into_owned();
    let address = url.trim().trim_start_matches("http://");
    let post = |headers: &str| {
        as_nobody(|| {
            let mut stream = TcpStream::connect(address).expect("connects");
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .expect("set");
            let body = "[]";
            write!(
                stream,
                "POST /status HTTP/1.1\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("an answer");
            answer.split(' ').nth(1).unwrap_or_default().to_owned()
        })
    };
    let (host, json) = ("Host: localhost\r\n", "Content-Type: application/json\r\n");
    let bearer = "Authorization: Bearer s3cret\r\n";
    assert_eq!(post(&format!("{host}{json}")), "401", "without the token");
    assert_eq!(
        post(&format!("{host}{bearer}")),
        "415",
        "as a page can send it"
    );
    assert_eq!(
        post(&format!("Host: evil.example\r\n{json}{bearer}")),
        "421"
    );
    assert_eq!(post(&format!("{host}{json}{bearer}")), "200");
}

/// A directory that nobody has made, below one that everybody may use.
fn prepared() -> (tempfile::TempDir, std::path::PathBuf) {
    let outer = tempfile::tempdir().expect("a directory");
    let all = rustix::fs::Mode::from_raw_mode(0o1777);
    rustix::fs::chmod(outer.path(), all).expect("chmod");
    let inner = outer.path().join("mine");
    as_nobody(|| fs::create_dir_all(inner.join("pods")).expect("made"));
    (outer, inner)
}

#[test]
fn a_root_directory_that_another_user_prepared_is_refused() {
    if !is_root("a_root_directory_that_another_user_prepared_is_refused") {
        return;
    }
    let (outer, inner) = prepared();
    let socket = format!("unix://{}/s", outer.path().display());
    for root in [inner.clone(), inner.join("below")] {
        let root = root.display().to_string();
        let (code, _, error) = command(&["plugin", "--listen", &socket, "--root", &root]);
        assert_eq!(code, 1);
        assert!(error.contains("belongs to user 65534"), "{root}: {error}");
    }
    // A link of theirs that leads to a place of root's can lead elsewhere in the next moment.
    let (link, place) = (outer.path().join("link"), outer.path().join("place"));
    fs::create_dir(&place).expect("made");
    as_nobody(|| std::os::unix::fs::symlink(&place, &link).expect("linked"));
    let root = link.display().to_string();
    let (code, _, error) = command(&["plugin", "--listen", &socket, "--root", &root]);
    // With `fs.protected_symlinks` the kernel does not even follow it.
    let is_refused = error.contains("belongs to user 65534") || error.contains("File exists");
    assert!(code == 1 && is_refused, "{error}");
}

#[test]
fn a_state_directory_below_another_user_s_is_refused() {
    if !is_root("a_state_directory_below_another_user_s_is_refused") {
        return;
    }
    let (_outer, inner) = prepared();
    let state = inner.join("state").display().to_string();
    let socket = inner.join("cri.sock").display().to_string();
    let (code, _, error) = command(&["serve", "--state-dir", &state, "--socket", &socket]);
    assert_eq!(code, 1);
    assert!(error.contains("belongs to user 65534"), "{error}");
}

#[test]
fn files_that_others_may_write_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let config = path("config.toml");
    for name in ["token", "kubeconfig", "ca.pem", "chain.pem", "key.pem"] {
        fs::write(path(name), "x").expect("written");
    }
    let text = format!(
        "[interlink]\nurl = 'https://interlink.example'\ntoken_file = {:?}\nca_file = {:?}\n\
         client_cert_file = {:?}\nclient_key_file = {:?}\n[kubernetes]\nkubeconfig = {:?}\n",
        path("token"),
        path("ca.pem"),
        path("chain.pem"),
        path("key.pem"),
        path("kubeconfig")
    );
    fs::write(&config, text).expect("written");
    let file = config.display().to_string();
    let check = || command(&["check-config", "--config", &file]);
    let (code, _, error) = check();
    assert_eq!(code, 0, "{error}");
    for (name, key) in [
        ("token", "interlink.token_file"),
        ("kubeconfig", "kubernetes.kubeconfig"),
        ("ca.pem", "interlink.ca_file"),
        ("chain.pem", "interlink.client_cert_file"),
        ("key.pem", "interlink.client_key_file"),
        ("config.toml", "--config"),
    ] {
        let mode = |mode| {
            let mode = rustix::fs::Mode::from_raw_mode(mode);
            rustix::fs::chmod(path(name), mode).expect("chmod");
        };
        mode(0o602);
        let (code, _, error) = check();
        let says_it = error.contains(key) && error.contains("can be written by others");
        assert!(code == 1 && says_it, "{name}: {error}");
        mode(0o600);
    }
}

/// A file of which somebody has taken the right modes away since the start is not read again.
#[test]
fn a_reload_looks_at_owners_and_modes() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    fs::write(&token, "secret").expect("written");
    let mode = |mode| {
        rustix::fs::chmod(&token, rustix::fs::Mode::from_raw_mode(mode)).expect("chmod");
    };
    mode(0o600);
    let fake = Fake::start();
    let settings = format!("[interlink]\ntoken_file = {token:?}");
    let daemon = Daemon::start(&fake.url(), &settings);
    mode(0o602);
    daemon.hang_up();
    wait_for("the fault is said", || {
        let log = daemon.log();
        let mut lines = log.lines();
        let said = |line: &&str| {
            line.contains("cannot read the configuration again")
                && line.contains("interlink.token_file")
                && line.contains("can be written by others")
                && line.contains("nothing is changed")
        };
        lines.find(said).map(drop)
    });
    mode(0o600);
    daemon.hang_up();
    wait_for("it is read again", || {
        daemon.log().contains("are read again").then_some(())
    });
}

/// Whatever the umask, nobody else can write what the daemon and its plugin make, and they do their work.
#[test]
fn no_umask_opens_or_closes_too_much() {
    for umask in ["000", "077"] {
        let directory = tempfile::tempdir().expect("a directory");
        let audit = directory.path().join("audit.log");
        let mut daemon = Daemon::prepare(&format!("[audit]\nfile = {audit:?}"));
        daemon.embed();
        daemon.set_umask(umask);
        daemon.run();
        let cri = daemon.cri();
        let mut pod = sandbox("train");
        let logs = directory.path().join("pods/train");
        pod.log_directory = logs.display().to_string();
        let id = cri.launch(&cri.run(&pod), &container("main", &["echo", "hello"]));
        assert_eq!(cri.wait_for_exit(&id).exit_code, 0, "{umask}");
        let log = fs::read_to_string(cri.status(&id).log_path).expect("a log");
        assert!(log.contains("hello"), "{umask}: {log}");
        let mut places = vec![daemon.path("state"), logs, audit];
        while let Some(place) = places.pop() {
            let meta = fs::symlink_metadata(&place).expect("there");
            let mode = meta.permissions().mode();
            // Nobody gets to sockets below the state directory, and a link has no mode.
            let has_mode = meta.is_dir() || meta.is_file();
            let is_open = has_mode && mode & 0o022 != 0;
            assert!(!is_open, "{umask}: {}: {mode:o}", place.display());
            // What containers make is theirs.
            if meta.is_dir() && place.file_name().is_none_or(|name| name != "work") {
                let entries = fs::read_dir(&place).expect("a directory");
                places.extend(entries.map(|entry| entry.expect("an entry").path()));
            }
        }
        let socket = fs::metadata(daemon.socket()).expect("a socket");
        assert_eq!(socket.permissions().mode() & 0o777, 0o660, "{umask}");
    }
}

#[test]
fn what_another_user_left_at_the_socket_s_path_is_no_way_in() {
    if !is_root("what_another_user_left_at_the_socket_s_path_is_no_way_in") {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mode = |mode| {
        rustix::fs::chmod(dir.path(), rustix::fs::Mode::from_raw_mode(mode)).expect("chmod");
    };
    let path = dir.path().join("cri.sock");
    let state = dir.path().join("state").display().to_string();
    let socket = path.display().to_string();
    let serve = || command(&["serve", "--state-dir", &state, "--socket", &socket]);
    // A directory in which they could put their socket in the place of ours.
    mode(0o777);
    let (code, _, error) = serve();
    assert!(
        code == 1 && error.contains("can be written by others"),
        "{error}"
    );
    // As in /tmp: what is there is looked at, and ours cannot be replaced.
    mode(0o1777);
    let listener = as_nobody(|| UnixListener::bind(&path).expect("bound"));
    let (code, _, error) = serve();
    assert!(code == 1 && error.contains("in use"), "{error}");
    drop(listener);
    fs::remove_file(&path).expect("removed");
    let kept = dir.path().join("kept");
    fs::write(&kept, "kept").expect("written");
    as_nobody(|| std::os::unix::fs::symlink(&kept, &path).expect("linked"));
    let (code, _, error) = serve();
    assert!(code == 1 && error.contains("is not a socket"), "{error}");
    assert_eq!(fs::read_to_string(&kept).expect("reads"), "kept");
}
