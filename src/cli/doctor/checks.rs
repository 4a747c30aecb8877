//! One function for each thing that a node needs. Nothing is changed by any of them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::fs::statfs;
use serde::Deserialize;

use super::super::{check_plugin, client::Client};
use crate::{
    bounded,
    config::{self, Config},
    kube,
    proto::StatusRequest,
    telemetry::chain,
    text::one_line,
};

/// How long the interLink server and the API server may take: whoever runs this is waiting.
const PATIENCE: Duration = Duration::from_secs(10);
/// With less space than this the state directory is nearly full.
const LITTLE_SPACE: u64 = 1 << 30;
/// The first kubelet that speaks CRI v1 (1.23), and the first that does not start on cgroup v1 unless
/// told to (1.35, `failCgroupV1`).
const FIRST_CRI_V1: u32 = 23;
const FIRST_WITHOUT_CGROUP_V1: u32 = 35;
/// File systems that other machines may have as well: `f_type` of statfs(2), for those without a
/// constant there from their sources.
const SHARED: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x00C3_6400, "CephFS"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x5346_414F, "AFS"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0x0116_1970, "GFS2"),
    (0x2003_0528, "OrangeFS"),
];

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The node works; something does not, or may not.
    Doubtful,
    /// The node does not work.
    Wrong,
    /// There was no way to look.
    Unknown,
}

impl Verdict {
    /// The word for it in both outputs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "warning",
            Self::Wrong => "fault",
            Self::Unknown => "unknown",
        }
    }
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The thing, in a word or two.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen: printable, one line.
    pub seen: String,
    /// What to do about it; empty where nothing is to be done.
    pub advice: String,
}

impl Finding {
    fn new(what: &'static str, verdict: Verdict, seen: &str, advice: &str) -> Self {
        Self {
            what,
            verdict,
            seen: one_line(seen),
            advice: advice.to_owned(),
        }
    }
}

/// Keys, values and files of the configuration; a finding for each that is wrong.
pub fn configuration(config: &Config, error: Option<config::Error>) -> Vec<Finding> {
    let of = |verdict, seen: &str, advice| Finding::new("configuration", verdict, seen, advice);
    let machine = config::check_machine(config);
    let mut findings = Vec::new();
    let wrong = "correct it; `interlink-cri check-config` shows the place, `man interlink-cri.toml` what is allowed";
    findings.extend(error.map(|error| of(Verdict::Wrong, &error.to_string(), wrong)));
    let faults = machine.faults.iter();
    findings.extend(faults.map(|fault| of(Verdict::Wrong, &fault.to_string(), wrong)));
    let warnings = machine.warnings.iter();
    let doubtful = "nothing, if that is meant to be so";
    findings.extend(warnings.map(|fault| of(Verdict::Doubtful, &fault.to_string(), doubtful)));
    if findings.is_empty() {
        findings.push(of(Verdict::Good, "can be used", ""));
    }
    findings
}

/// Whether the daemon answers on its socket, and what it says of itself.
pub fn daemon(config: &Config) -> Finding {
    let of = |verdict, seen: &str, advice| Finding::new("daemon", verdict, seen, advice);
    let socket = &config.daemon.socket;
    let client = Client::new(socket);
    match client.runtime(|c, o| c.status(&StatusRequest::default(), o)) {
        Err(error) => of(
            Verdict::Wrong,
            &error.to_string(),
            "systemctl start interlink-cri; if it does not stay, journalctl -u interlink-cri says why",
        ),
        Ok(answer) => {
            let conditions = answer.status.conditions.iter();
            let unmet: Vec<_> = conditions
                .filter(|condition| !condition.status)
                .map(|condition| format!("{}: {}", condition.type_, condition.message))
                .collect();
            if unmet.is_empty() {
                of(Verdict::Good, &format!("answers on {}", socket.display()), "")
            } else {
                let advice = "look at `interlink-cri status`, and at the check of interLink below";
                of(Verdict::Doubtful, &unmet.join("; "), advice)
            }
        }
    }
}

/// What is looked at in a KubeletConfiguration.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct KubeletConfiguration {
    container_runtime_endpoint: String,
}

/// Whether the kubelet's configuration names the daemon's socket.
pub fn kubelet_configuration(file: &Path, socket: &Path) -> Finding {
    let of = |verdict, seen: &str, advice: &str| Finding::new("kubelet", verdict, seen, advice);
    let shown = file.display();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let advice = "name the kubelet's file with --kubelet-config; k3s has flags instead, see docs/install.md";
            return of(Verdict::Unknown, &format!("{shown}: {error}"), advice);
        }
    };
    let want = format!("unix://{}", socket.display());
    let settings: KubeletConfiguration = match bounded::from_yaml_into(&text) {
        Ok(settings) => settings,
        Err(error) => {
            let advice = "the kubelet cannot read it either; correct it";
            return of(Verdict::Wrong, &format!("{shown}: {error}"), advice);
        }
    };
    let has = settings.container_runtime_endpoint;
    if has == want || has == socket.display().to_string() {
        of(
            Verdict::Good,
            &format!("{shown} names the daemon's socket"),
            "",
        )
    } else if has.is_empty() {
        let advice = format!(
            "put `containerRuntimeEndpoint: {want}` there, unless the flag --container-runtime-endpoint has it"
        );
        let seen = format!("{shown} has no containerRuntimeEndpoint");
        of(Verdict::Doubtful, &seen, &advice)
    } else {
        let advice =
            format!("put `containerRuntimeEndpoint: {want}` there, and restart the kubelet");
        let seen = format!("{shown} has the runtime {has}");
        of(Verdict::Wrong, &seen, &advice)
    }
}

/// The minor version of a kubelet, as `--version` has it; `None` where it does not say.
pub fn kubelet_minor(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    minor_of(&String::from_utf8_lossy(&output.stdout))
}

/// From a text such as `Kubernetes v1.36.2`.
fn minor_of(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("v1.")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Whether a kubelet of this version speaks CRI v1.
pub fn kubelet_version(minor: Option<u32>) -> Finding {
    let of = |verdict, seen: &str, advice| Finding::new("kubelet version", verdict, seen, advice);
    match minor {
        None => of(
            Verdict::Unknown,
            "the kubelet cannot be asked",
            "name it with --kubelet; k3s has it inside",
        ),
        Some(minor) if minor < FIRST_CRI_V1 => of(
            Verdict::Wrong,
            &format!("1.{minor} does not speak CRI v1"),
            "install 1.23 or newer",
        ),
        Some(minor) => of(Verdict::Good, &format!("1.{minor} speaks CRI v1"), ""),
    }
}

/// Which cgroups this machine has, and whether the kubelet starts on them.
pub fn cgroups(minor: Option<u32>) -> Finding {
    let is_v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    cgroups_of(is_v2, minor)
}

fn cgroups_of(is_v2: bool, minor: Option<u32>) -> Finding {
    let of = |verdict, seen: &str, advice| Finding::new("cgroups", verdict, seen, advice);
    let advice = "boot with systemd.unified_cgroup_hierarchy=1, or put `failCgroupV1: false` into the kubelet's configuration";
    match minor {
        _ if is_v2 => of(Verdict::Good, "version 2", ""),
        Some(minor) if minor >= FIRST_WITHOUT_CGROUP_V1 => of(
            Verdict::Doubtful,
            &format!("version 1, on which kubelet 1.{minor} does not start by default"),
            advice,
        ),
        _ => of(
            Verdict::Doubtful,
            "version 1, on which kubelets since 1.35 do not start by default",
            advice,
        ),
    }
}

/// Whether the API server answers with the rights that the kubeconfig gives.
pub fn api_server(config: &Config) -> Finding {
    let of = |verdict, seen: &str, advice| Finding::new("kubeconfig", verdict, seen, advice);
    let Some(file) = &config.kubernetes.kubeconfig else {
        let advice =
            "set kubernetes.kubeconfig to the kubelet's own, so that a whole pod is one job";
        return of(
            Verdict::Doubtful,
            "kubernetes.kubeconfig is not set",
            advice,
        );
    };
    let limits = kube::Limits {
        time: PATIENCE,
        ..kube::Limits::default()
    };
    let client = kube::Client::new(file, limits);
    let renew = "renew it, or name the kubelet's own in kubernetes.kubeconfig";
    match client.pod("default", "interlink-cri-doctor") {
        // The node authorizer lets a kubelet read pods of its own node only, and of no other.
        Ok(_) | Err(kube::Error::Status { status: 403, .. }) => {
            match fs::metadata(file).map(|meta| meta.permissions().mode()) {
                Ok(mode) if mode & 0o077 != 0 => {
                    let seen = format!("{} can be read by others", file.display());
                    of(Verdict::Doubtful, &seen, "chmod 600 it")
                }
                _ => of(Verdict::Good, "the API server takes it", ""),
            }
        }
        Err(error @ kube::Error::Status { .. }) => of(Verdict::Wrong, &chain(&error), renew),
        Err(error) => {
            let advice =
                "see whether the file is there and the API server can be reached from this machine";
            of(Verdict::Wrong, &chain(&error), advice)
        }
    }
}

/// Whether interLink answers.
pub fn interlink(config: &Config) -> Finding {
    let of = |verdict, seen: &str, advice| Finding::new("interLink", verdict, seen, advice);
    let mut settings = config.interlink.clone();
    let Some(url) = settings.url.clone() else {
        return of(
            Verdict::Wrong,
            "interlink.url is not set, so jobs wait for ever",
            "set it to the interLink server",
        );
    };
    settings.request_timeout = settings.request_timeout.min(PATIENCE);
    let answer = check_plugin::connect(&settings)
        .and_then(|(client, _)| client.ping().map_err(|error| chain(&error)));
    match answer {
        Ok(_) => of(Verdict::Good, &format!("{url} answers"), ""),
        Err(error) => of(
            Verdict::Wrong,
            &error,
            "start it, or correct interlink.url; `interlink-cri check-plugin` tells more",
        ),
    }
}

/// Whether the clock is set by others: certificates and tokens have dates, and so have jobs' ends.
pub fn clock() -> Finding {
    let of = |verdict, seen: &str, advice| Finding::new("clock", verdict, seen, advice);
    let show = ["show", "--property=NTPSynchronized", "--value"];
    let output = Command::new("timedatectl").args(show).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match text.as_deref() {
        Ok("yes") => of(Verdict::Good, "is synchronised", ""),
        Ok("no") => of(
            Verdict::Doubtful,
            "is not synchronised",
            "start chronyd or systemd-timesyncd",
        ),
        _ => of(
            Verdict::Unknown,
            "timedatectl does not answer",
            "see that the clock is synchronised",
        ),
    }
}

/// Whether the state lies on a local disk, with space.
pub fn disk(state: &Path) -> Finding {
    let of = |verdict, seen: &str, advice| Finding::new("disk", verdict, seen, advice);
    // The directory is made when the daemon starts for the first time.
    let place = state.ancestors().find(|path| path.exists());
    let Some((place, info)) = place.and_then(|place| Some((place, statfs(place).ok()?))) else {
        let seen = format!("{} cannot be looked at", state.display());
        return of(Verdict::Unknown, &seen, "run this as root");
    };
    let place = place.display();
    if let Some(kind) = shared_kind(info.f_type as u32).filter(|kind| *kind != "FUSE") {
        let seen = format!("{place} is on {kind}");
        return of(
            Verdict::Wrong,
            &seen,
            "move daemon.state_dir to a local disk",
        );
    }
    let free = info
        .f_bavail
        .saturating_mul(u64::try_from(info.f_bsize).unwrap_or(0));
    let seen = format!("{} MiB are free for {place}", free >> 20);
    if free < LITTLE_SPACE {
        let advice = "make room: while the disk is full, no pod can be started or stopped";
        return of(Verdict::Doubtful, &seen, advice);
    }
    of(Verdict::Good, &seen, "")
}

/// Whether each of `pods.shared_paths` can be shared; a finding for each.
pub fn shared_paths(paths: &[PathBuf]) -> Vec<Finding> {
    let of = |verdict, seen: &str, advice| Finding::new("shared paths", verdict, seen, advice);
    if paths.is_empty() {
        let seen = "none: volumes that are not sent with jobs are refused";
        return vec![of(Verdict::Good, seen, "")];
    }
    let look = |path: &PathBuf| {
        let shown = path.display();
        match statfs(path) {
            Err(error) => of(
                Verdict::Wrong,
                &format!("{shown}: {}", std::io::Error::from(error)),
                "mount it, or take it out of pods.shared_paths",
            ),
            Ok(info) => match shared_kind(info.f_type as u32) {
                Some(kind) => of(Verdict::Good, &format!("{shown} is on {kind}"), ""),
                None => of(
                    Verdict::Doubtful,
                    &format!("{shown} is on a file system of this machine only"),
                    "see that compute nodes have the same files there, or take it out of pods.shared_paths",
                ),
            },
        }
    };
    paths.iter().map(look).collect()
}

/// The name of a file system that other machines may have as well, from the lower half of its `f_type`.
fn shared_kind(f_type: u32) -> Option<&'static str> {
    let kind = SHARED.iter().find(|(magic, _)| *magic == f_type);
    kind.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelet_names_the_socket_or_another_or_none() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("config.yaml");
        let socket = Path::new("/run/x.sock");
        let look = || kubelet_configuration(&file, socket).verdict;
        assert_eq!(look(), Verdict::Unknown);
        for (text, want) in [
            (
                "containerRuntimeEndpoint: unix:///run/x.sock",
                Verdict::Good,
            ),
            ("containerRuntimeEndpoint: /run/x.sock", Verdict::Good),
            (
                "containerRuntimeEndpoint: unix:///run/containerd.sock",
                Verdict::Wrong,
            ),
            ("kind: KubeletConfiguration\nmaxPods: 7", Verdict::Doubtful),
            ("containerRuntimeEndpoint: [", Verdict::Wrong),
        ] {
            fs::write(&file, text).expect("writes");
            assert_eq!(look(), want, "{text}");
        }
    }

    #[test]
    fn versions() {
        for (text, want) in [
            ("Kubernetes v1.36.2\n", Some(36)),
            ("k3s version v1.30.1+k3s1", Some(30)),
            ("Kubernetes v2.0.0", None),
            ("", None),
        ] {
            assert_eq!(minor_of(text), want, "{text}");
        }
        for (minor, want) in [
            (Some(22), Verdict::Wrong),
            (Some(23), Verdict::Good),
            (None, Verdict::Unknown),
        ] {
            assert_eq!(kubelet_version(minor).verdict, want, "{minor:?}");
        }
    }

    #[test]
    fn cgroups_of_version_1_are_named() {
        assert_eq!(cgroups_of(true, None).verdict, Verdict::Good);
        for minor in [None, Some(30), Some(35)] {
            assert_eq!(cgroups_of(false, minor).verdict, Verdict::Doubtful);
        }
    }

    #[test]
    fn paths_that_are_not_there_or_not_shared() {
        let dir = tempfile::tempdir().expect("dir");
        let paths = [dir.path().to_owned(), dir.path().join("missing")];
        let findings = shared_paths(&paths);
        assert_eq!(findings[1].verdict, Verdict::Wrong);
        assert_ne!(findings[0].verdict, Verdict::Wrong);
        assert_eq!(shared_kind(0x0BD0_0BD0), Some("Lustre"));
        assert_eq!(shared_kind(0xEF53), None);
    }

    #[test]
    fn each_thing_that_is_not_good_has_advice() {
        let config = Config::default();
        let findings = [
            api_server(&config),
            interlink(&config),
            kubelet_version(None),
            cgroups_of(false, None),
        ];
        for finding in findings {
            assert!(!finding.advice.is_empty(), "{finding:?}");
        }
    }
}
