//! Whose jobs are: a pod's author gets the user that the site's mapping says, whatever the pod says.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use grpcio::RpcStatusCode;
use interlink_cri::proto::{ContainerConfig, Int64Value, PodSandboxConfig, RunPodSandboxRequest};
use protobuf::MessageField;
use serde_json::{json, Value};

use crate::support::{
    code, container, options, sandbox, wait_for, ApiServer, Cri, Daemon, Fake, Fault, UID,
};

const LAB: &str = "[identity]\nusers = [{ namespace = 'lab', uid = 1000, gid = 1001, \
                   groups = [2000], account = 'bio' }]\n";
const FLAGS: &str = "slurm-job.vk.io/flags";

fn id(value: i64) -> MessageField<Int64Value> {
    MessageField::some(Int64Value {
        value,
        ..Default::default()
    })
}

fn annotated(key: &str, value: &str) -> PodSandboxConfig {
    let mut pod = sandbox("web");
    pod.annotations.insert(key.to_owned(), value.to_owned());
    pod
}

fn of_user(user: i64) -> PodSandboxConfig {
    let mut pod = sandbox("web");
    let linux = pod.linux.mut_or_insert_default();
    linux.security_context.mut_or_insert_default().run_as_user = id(user);
    pod
}

fn container_of(user: i64) -> ContainerConfig {
    let mut config = container("main", &["true"]);
    let linux = config.linux.mut_or_insert_default();
    linux.security_context.mut_or_insert_default().run_as_user = id(user);
    config
}

fn refused(cri: &Cri, pod: PodSandboxConfig) -> (RpcStatusCode, String) {
    let request = RunPodSandboxRequest {
        config: MessageField::some(pod),
        ..Default::default()
    };
    code(cri.runtime.run_pod_sandbox(&request, options()))
}

/// Starts a container in a new pod; gives the pod that arrives.
fn created(fake: &Fake, cri: &Cri, pod: &PodSandboxConfig, container: &ContainerConfig) -> Value {
    let before = fake.requests("/create").len();
    let sandbox = cri.run(pod);
    cri.launch(&sandbox, container);
    let created = fake.wait_for_requests("/create", before + 1)[before].clone();
    cri.remove_sandbox(&sandbox);
    wait_for("the job is gone", || fake.jobs().is_empty().then_some(()));
    created["pod"].clone()
}

#[test]
fn what_is_sent_is_the_mapping_s() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), LAB);
    let cri = daemon.cri();
    let sites = json!({"runAsUser": 1000, "runAsGroup": 1001, "supplementalGroups": [2000]});
    for (pod, container) in [
        (sandbox("web"), container("main", &["true"])),
        (of_user(1000), container_of(1000)),
        (
            annotated(FLAGS, "-p gpu --account=bio"),
            container("main", &["true"]),
        ),
    ] {
        let pod = created(&fake, &cri, &pod, &container);
        assert_eq!(pod["spec"]["securityContext"], sites);
        let of_container = &pod["spec"]["containers"][0]["securityContext"];
        assert_eq!(
            *of_container,
            json!({"runAsUser": 1000, "runAsGroup": 1001})
        );
        let flags = pod["metadata"]["annotations"][FLAGS]
            .as_str()
            .expect("flags");
        assert!(flags.ends_with("--account=bio"), "{flags}");
    }
}

#[test]
fn impersonation_is_refused_before_anything_is_submitted() {
    let fake = Fake::start();
    let daemon = Daemon::start(&fake.url(), LAB);
    let cri = daemon.cri();
    for user in [1, 999, 1001, 65534] {
        let (code, text) = refused(&cri, of_user(user));
        assert_eq!(code, RpcStatusCode::PERMISSION_DENIED, "{text}");
        assert!(
            text.contains("pod `lab/web`: securityContext.runAsUser")
                && text.contains("write 1000"),
            "{text}"
        );
    }
    // Root is refused by what was there before.
    assert_eq!(
        refused(&cri, of_user(0)).0,
        RpcStatusCode::FAILED_PRECONDITION
    );
    let pod = cri.run(&sandbox("web"));
    let (code, text) = code(cri.try_create(&pod, &container_of(1001)));
    assert_eq!(code, RpcStatusCode::PERMISSION_DENIED, "{text}");
    assert!(text.contains("container `main` of pod `lab/web`"), "{text}");
    for (key, value) in [
        (FLAGS, "--uid=0"),
        (FLAGS, "--ui=0"),
        (FLAGS, "-p gpu '--gid' 0"),
        (FLAGS, "--comment='x --uid=0'"),
        (FLAGS, "--comment"),
        (FLAGS, "-vD/root"),
        (FLAGS, "--acco=physics"),
        ("slurm-job.vk.io/pre-exec", "#SBATCH --uid=0"),
        ("slurm-job.vk.io/singularity-options", "--bind /:/host"),
        ("slurm-job.vk.io/job-workdir", "/root"),
        ("interlink.eu/wstunnel-client-commands", "sh"),
        ("interlink.virtual-kubelet.io/wstunnel-timeout", "1"),
    ] {
        let (code, text) = refused(&cri, annotated(key, value));
        assert_eq!(
            code,
            RpcStatusCode::PERMISSION_DENIED,
            "{key} {value}: {text}"
        );
        assert!(text.contains(&format!("annotation `{key}`")), "{text}");
    }
    let mut elsewhere = sandbox("web");
    elsewhere.metadata.mut_or_insert_default().namespace = "web".to_owned();
    let (code, text) = refused(&cri, elsewhere);
    assert_eq!(code, RpcStatusCode::PERMISSION_DENIED);
    assert!(text.contains("no user for namespace `web`"), "{text}");
    assert!(fake.requests("/create").is_empty());
}

#[test]
fn sites_loosen_it() {
    let fake = Fake::start();
    let settings = format!(
        "{LAB}run_as_user = 'ignore'\nallow_flags = ['chdir']\nallow_annotations = ['*/pre-exec']\n\
         on_unmapped = 'pass'\n"
    );
    let daemon = Daemon::start(&fake.url(), &settings);
    let cri = daemon.cri();
    let main = container("main", &["true"]);
    let mut pod = of_user(4321);
    let more = [
        (FLAGS, "--chdir=/scratch"),
        ("slurm-job.vk.io/pre-exec", "module load x"),
    ];
    let more = more.map(|(key, value)| (key.to_owned(), value.to_owned()));
    pod.annotations.extend(more);
    let arrived = created(&fake, &cri, &pod, &main);
    assert_eq!(arrived["spec"]["securityContext"]["runAsUser"], 1000);
    let annotations = &arrived["metadata"]["annotations"];
    assert_eq!(annotations["slurm-job.vk.io/pre-exec"], "module load x");
    assert_eq!(annotations[FLAGS], "--chdir=/scratch --account=bio");
    pod.metadata.mut_or_insert_default().namespace = "web".to_owned();
    let arrived = created(&fake, &cri, &pod, &main);
    assert_eq!(arrived["spec"]["securityContext"]["runAsUser"], 4321);
    let mut system = of_user(999);
    system.metadata.mut_or_insert_default().namespace = "web".to_owned();
    assert!(refused(&cri, system).1.contains("identity.never"));
}

fn write_users(path: &Path, uid: u32) {
    let next = path.with_extension("next");
    let text = format!("[[users]]\nnamespace = 'lab'\nuid = {uid}\n");
    fs::write(&next, text).expect("written");
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).expect("mode");
    fs::rename(&next, path).expect("renamed");
}

#[test]
fn the_file_of_users_is_read_again() {
    let fake = Fake::start();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("users.toml");
    let daemon = Daemon::start(&fake.url(), &format!("[identity]\nusers_file = {path:?}\n"));
    let cri = daemon.cri();
    let main = container("main", &["true"]);
    let (code, text) = refused(&cri, sandbox("web"));
    assert_eq!(code, RpcStatusCode::FAILED_PRECONDITION);
    assert!(text.contains("identity.users_file"), "{text}");
    let user = |fake: &Fake| {
        let pod = created(fake, &cri, &sandbox("web"), &main);
        pod["spec"]["securityContext"]["runAsUser"].clone()
    };
    write_users(&path, 1000);
    assert_eq!(user(&fake), 1000);
    write_users(&path, 20_000);
    assert_eq!(user(&fake), 20_000);
    // One that others may write is not believed; what it held before is.
    write_users(&path, 3000);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("mode");
    assert_eq!(user(&fake), 20_000);
    assert!(daemon.log().contains("others may write it"));
}

/// A pod that runs when the mapping changes: what counts is the mapping when its job is submitted.
#[test]
fn the_mapping_of_the_submission_counts() {
    let fake = Fake::start();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("users.toml");
    write_users(&path, 1000);
    let daemon = Daemon::start(&fake.url(), &format!("[identity]\nusers_file = {path:?}\n"));
    let cri = daemon.cri();
    let pod = cri.run(&of_user(1000));
    let main = cri.create(&pod, &container("main", &["true"]));
    write_users(&path, 20_000);
    cri.start(&main);
    cri.wait_for_refusal(&main, "write 20000");
    assert!(fake.requests("/create").is_empty());
}

const BOT: &str =
    "[identity]\nusers = [{ namespace = 'lab', service_account = 'bot-*', uid = 1000 }]\n";

#[test]
fn a_service_account_needs_somebody_to_ask() {
    let fake = Fake::start();
    let mut daemon = Daemon::prepare(BOT);
    daemon.spawn();
    assert!(!daemon.wait_for_end().success());
    let log = daemon.log();
    assert!(
        log.contains("identity.users") && log.contains("kubernetes.kubeconfig"),
        "{log}"
    );
    // A file is not known before it is read.
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("users.toml");
    fs::write(
        &path,
        "[[users]]\nnamespace = 'lab'\nservice_account = 'bot'\nuid = 1000\n",
    )
    .expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
    let daemon = Daemon::start(&fake.url(), &format!("[identity]\nusers_file = {path:?}\n"));
    let (code, text) = refused(&daemon.cri(), sandbox("web"));
    assert_eq!(code, RpcStatusCode::PERMISSION_DENIED);
    assert!(text.contains("set `kubernetes.kubeconfig`"), "{text}");
}

#[test]
fn service_accounts_come_from_the_api_server() {
    let (mut api, fake) = (ApiServer::start(), Fake::start());
    let dir = tempfile::tempdir().expect("a directory");
    let kubeconfig = dir.path().join("kubeconfig");
    api.kubeconfig(&kubeconfig);
    let pods = [
        ("web", UID, "bot-7"),
        ("other", "1f6e1c1a-9a3b-4a53-8c36-2f6f7b1d6a10", "default"),
    ];
    for (name, uid, account) in pods {
        let spec = json!({
            "serviceAccountName": account,
            "containers": [{"name": "main", "image": "busybox:1.36", "command": ["true"]}],
        });
        let metadata = json!({"name": name, "namespace": "lab", "uid": uid});
        api.put("pods", json!({"metadata": metadata, "spec": spec}));
    }
    let settings = format!("{BOT}[kubernetes]\nkubeconfig = {kubeconfig:?}\ncache_time = '0s'\n");
    let daemon = Daemon::start(&fake.url(), &settings);
    let cri = daemon.cri();
    let mut other = sandbox("other");
    pods[1]
        .1
        .clone_into(&mut other.metadata.mut_or_insert_default().uid);
    let refused = cri.run(&other);
    let refused = cri.launch(&refused, &container("main", &["true"]));
    cri.wait_for_refusal(&refused, "service account `default`");
    // While nobody says whose it is, the job waits.
    api.down();
    let pod = cri.run(&sandbox("web"));
    cri.launch(&pod, &container("main", &["true"]));
    wait_for("it is tried in vain", || {
        daemon
            .log()
            .contains("the API server has not said it")
            .then_some(())
    });
    assert!(fake.requests("/create").is_empty());
    api.up();
    let created = &fake.wait_for_requests("/create", 1)[0]["pod"];
    assert_eq!(created["spec"]["securityContext"]["runAsUser"], 1000);
}

fn audit_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

#[test]
fn submissions_and_cancellations_are_audited() {
    let fake = Fake::start();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("audit.log");
    let settings = format!("{LAB}allow_flags = ['export']\n[audit]\nfile = {path:?}\n");
    let mut daemon = Daemon::start(&fake.url(), &settings);
    let cri = daemon.cri();
    let told = |count: usize| {
        wait_for(&format!("{count} lines"), || {
            Some(audit_lines(&path)).filter(|lines| lines.len() >= count)
        })
    };
    // The first POST ends in doubt, the plugin has taken it.
    fake.faults("/create", &[Fault::DropAfter]);
    let mut config = annotated(FLAGS, "--export=TOKEN=hush -p gpu");
    config
        .annotations
        .insert("example.org/secret".to_owned(), "hush".to_owned());
    let pod = cri.run(&config);
    cri.launch(&pod, &container("main", &["true"]));
    let lines = told(2);
    let mode = fs::metadata(&path).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let job = fake.jobs().remove(0);
    for (line, outcome) in lines.iter().zip(["in-doubt", "accepted"]) {
        let mut line = line.clone();
        let time = line["time"].take();
        assert!(
            time.as_str().is_some_and(|time| time.ends_with('Z')),
            "{time}"
        );
        let want = json!({
            "time": null, "action": "submission", "outcome": outcome, "namespace": "lab",
            "pod": "web", "podUID": UID, "serviceAccount": null, "uid": 1000, "gid": 1001,
            "jobUID": job, "remoteId": null,
            "flags": "--export=(hidden) -p gpu --account=bio",
        });
        assert_eq!(line, want);
    }
    // After a crash it is still known whose it was.
    daemon.kill_and_restart();
    let cri = daemon.cri();
    cri.remove_sandbox(&pod);
    let line = &told(3)[2];
    let got = ["action", "outcome", "jobUID"].map(|key| line[key].clone());
    assert_eq!(got, [json!("cancellation"), json!("cancelled"), json!(job)]);
    assert_eq!((&line["uid"], &line["gid"]), (&json!(1000), &json!(1001)));
    let text = fs::read_to_string(&path).expect("reads");
    assert!(!text.contains("hush"), "{text}");
    // Rotated.
    fs::rename(&path, dir.path().join("audit.log.1")).expect("renamed");
    daemon.hang_up();
    let pod = cri.run(&sandbox("web"));
    cri.launch(&pod, &container("main", &["true"]));
    let line = &told(1)[0];
    assert_eq!(line["outcome"], "accepted");
    assert!(
        line["remoteId"]
            .as_str()
            .is_some_and(|id| id.starts_with("jid-")),
        "{line}"
    );
}

#[test]
fn an_audit_that_cannot_be_written_stops_no_job() {
    let fake = Fake::start();
    let settings = format!("{LAB}[audit]\nfile = '/proc/none/audit.log'\n");
    let daemon = Daemon::start(&fake.url(), &settings);
    let cri = daemon.cri();
    created(&fake, &cri, &sandbox("web"), &container("main", &["true"]));
    assert!(daemon
        .log()
        .contains("audit.file /proc/none/audit.log: a line is not written"));
}
