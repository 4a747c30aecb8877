//! Secrets go where they must and nowhere else: not into logs, messages, or verbose information, and
//! on disk only where nobody else reads.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::support::{command, container, options, sandbox, Daemon, Fake, Fault};
use interlink_cri::proto::{
    AuthConfig, ContainerStatusRequest, ImageStatusRequest, KeyValue, PodSandboxStatusRequest,
    PullImageRequest, StatusRequest,
};
use protobuf::MessageField;

const TOKEN: &str = "marker-of-the-bearer-token";
const PASSWORD: &str = "marker-of-the-registry-password";
const VARIABLE: &str = "marker-of-the-environment";

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn no_secret_shows_anywhere_but_in_the_job() {
    let fake = Fake::start();
    let mut daemon = Daemon::prepare("[daemon]\nlog_level = 'trace'");
    let token = daemon.path("token");
    fs::write(&token, TOKEN).expect("written");
    let settings = format!(
        "\n[interlink]\nurl = '{}'\ntoken_file = '{}'\n",
        fake.url(),
        token.display()
    );
    let config = daemon.path("config.toml");
    let text = fs::read_to_string(&config).expect("read");
    fs::write(&config, text.replace("[interlink]\n", &settings)).expect("written");
    daemon.run();
    let cri = daemon.cri();
    let auth = AuthConfig {
        username: "me".into(),
        password: PASSWORD.into(),
        identity_token: PASSWORD.into(),
        auth: PASSWORD.into(),
        registry_token: PASSWORD.into(),
        ..Default::default()
    };
    let mut config = container("main", &["true"]);
    config.envs.push(KeyValue {
        key: "PASSWORD".into(),
        value: VARIABLE.into(),
        ..Default::default()
    });
    let pull = PullImageRequest {
        image: config.image.clone(),
        auth: MessageField::some(auth),
        ..Default::default()
    };
    let mut said = Vec::new();
    said.push(format!(
        "{:?}",
        cri.images.pull_image(&pull, options()).expect("pulled")
    ));
    let pod = cri.run(&sandbox("train"));
    // Refusals are told, and what a job carries is not part of them.
    fake.faults("/create", &[Fault::Status(503, "later"), Fault::DropBefore]);
    let id = cri.launch(&pod, &config);
    let carried = fake.wait_for_requests("/create", 3);
    assert!(carried[2].to_string().contains(VARIABLE), "the job has it");
    let mut wrong = config.clone();
    wrong.log_path = "../escapes".into();
    said.push(
        cri.try_create(&pod, &wrong)
            .expect_err("refused")
            .to_string(),
    );
    let verbose = true;
    let request = ContainerStatusRequest {
        container_id: id,
        verbose,
        ..Default::default()
    };
    said.push(format!(
        "{:?}",
        cri.runtime
            .container_status(&request, options())
            .expect("a status")
    ));
    let request = PodSandboxStatusRequest {
        pod_sandbox_id: pod,
        verbose,
        ..Default::default()
    };
    said.push(format!(
        "{:?}",
        cri.runtime
            .pod_sandbox_status(&request, options())
            .expect("a status")
    ));
    let request = StatusRequest {
        verbose,
        ..Default::default()
    };
    said.push(format!(
        "{:?}",
        cri.runtime.status(&request, options()).expect("a status")
    ));
    let request = ImageStatusRequest {
        image: config.image,
        verbose,
        ..Default::default()
    };
    said.push(format!(
        "{:?}",
        cri.images
            .image_status(&request, options())
            .expect("a status")
    ));
    let (_, out, err) = command(&[
        "check-config",
        "--config",
        &daemon.path("config.toml").display().to_string(),
    ]);
    said.extend([out, err, daemon.log()]);
    for text in &said {
        for secret in [TOKEN, PASSWORD, VARIABLE] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    daemon.terminate();
    for path in files(&daemon.path("state")) {
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is for its owner alone", path.display());
        let bytes = fs::read(&path).expect("read");
        for secret in [TOKEN, PASSWORD] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} in {}", path.display());
        }
    }
}

#[test]
fn a_state_directory_that_is_open_to_others_is_closed() {
    let mut daemon = Daemon::prepare("");
    let state = daemon.path("state");
    fs::create_dir(&state).expect("made");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).expect("set");
    fs::write(state.join("lock"), "").expect("written");
    fs::set_permissions(state.join("lock"), fs::Permissions::from_mode(0o666)).expect("set");
    daemon.run();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("lock")), 0o600);
    assert_eq!(mode(&state.join("state.redb")), 0o600);
    assert_eq!(mode(&daemon.socket()), 0o660);
    assert!(daemon.log().contains("was open to others"));
}

#[test]
fn a_state_file_that_is_a_symlink_is_not_followed() {
    let mut daemon = Daemon::prepare("");
    let (state, victim) = (daemon.path("state"), daemon.path("victim"));
    fs::create_dir(&state).expect("made");
    fs::write(&victim, "precious").expect("written");
    std::os::unix::fs::symlink(&victim, state.join("state.redb")).expect("a link");
    daemon.spawn();
    assert!(!daemon.wait_for_end().success());
    assert_eq!(fs::read_to_string(&victim).expect("read"), "precious");
    assert!(daemon.log().contains("state.redb"), "{}", daemon.log());
}
