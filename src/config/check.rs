//! What is wrong with a configuration: all of it at once, each with key, value and what is
//! allowed. What depends on the machine is apart, so that `check-config` runs anywhere.

use std::{
    fmt, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    identity::{id_range, user_faults},
    log_filter,
    pattern::{Pattern, Patterns},
    policy::pod_ranges,
    schema::JobScope,
    secret::without_passwords,
    Config,
};
use crate::{
    endpoint::{self, Endpoint, Target},
    owned, peer, quantity,
    text::is_extended_resource,
};

/// Longest path of a unix socket.
const MAX_SOCKET_PATH: usize = 107;
/// The most that a kubelet accepts in one message.
const MAX_MESSAGE: usize = 16 << 20;
/// All of it is in memory at once, more than once, for each worker.
const MAX_VOLUME_BYTES: u64 = 256 << 20;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key, with its section.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong with it, or what is allowed.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}", self.key, self.value, self.why)
    }
}

/// Collects faults.
#[derive(Default)]
struct Check(Vec<Fault>);

impl Check {
    fn require(&mut self, good: bool, key: &'static str, value: impl fmt::Debug, why: &str) {
        if !good {
            self.0.push(Fault {
                key,
                value: without_passwords(&format!("{value:?}")),
                why: why.to_owned(),
            });
        }
    }

    fn absolute(&mut self, key: &'static str, path: &Path) {
        self.require(path.is_absolute(), key, path, "must be an absolute path");
    }
}

fn node(config: &Config, check: &mut Check) {
    let node = &config.node;
    check.require(
        !node.is_kept() || config.kubernetes.kubeconfig.is_some(),
        "node",
        "set",
        "needs kubernetes.kubeconfig: the node is changed through the API server",
    );
    check.require(
        !node.check_interval.is_zero(),
        "node.check_interval",
        node.check_interval,
        "must not be zero",
    );
    let renamed = node.accelerators.values().filter(|name| !name.is_empty());
    let own = [
        ("node.accelerators", renamed.collect::<Vec<_>>()),
        ("node.capacity", node.capacity.keys().collect()),
    ];
    for (key, names) in own {
        for name in names {
            check.require(
                is_extended_resource(name),
                key,
                name,
                "is no name of a resource that others than a kubelet may set; they have a domain, as \
                 `nvidia.com/gpu`",
            );
        }
    }
    for amount in node.capacity.values() {
        check.require(
            quantity::parse_memory(amount).is_ok(),
            "node.capacity",
            amount,
            "is no amount; write for example \"16\"",
        );
    }
}

/// What is wrong on any machine.
pub fn faults(config: &Config) -> Vec<Fault> {
    let mut check = Check::default();
    daemon(config, &mut check);
    interlink(config, &mut check);
    let (cri, jobs, logs) = (&config.cri, &config.jobs, &config.logs);
    let threads = |count| (1..=256).contains(&count);
    check.require(
        threads(cri.handler_threads),
        "cri.handler_threads",
        cri.handler_threads,
        "1 to 256",
    );
    check.require(
        cri.queue_length >= 1,
        "cri.queue_length",
        cri.queue_length,
        "at least 1",
    );
    check.require(
        (1 << 20..=MAX_MESSAGE).contains(&cri.max_message_bytes),
        "cri.max_message_bytes",
        cri.max_message_bytes,
        "1048576 to 16777216, the most that a kubelet accepts",
    );
    check.require(
        (4096..=MAX_MESSAGE).contains(&cri.max_metadata_bytes),
        "cri.max_metadata_bytes",
        cri.max_metadata_bytes,
        "4096 to 16777216",
    );
    check.require(
        cri.runtime_handlers
            .iter()
            .all(|name| !name.trim().is_empty()),
        "cri.runtime_handlers",
        &cri.runtime_handlers,
        "names must not be empty; the default handler needs no name",
    );
    check.require(
        cri.event_backlog >= 1,
        "cri.event_backlog",
        cri.event_backlog,
        "at least 1",
    );
    check.require(
        !jobs.poll_min.is_zero(),
        "jobs.poll_min",
        jobs.poll_min,
        "must not be zero",
    );
    check.require(
        jobs.poll_min <= jobs.poll_max,
        "jobs.poll_max",
        jobs.poll_max,
        "must not be less than jobs.poll_min",
    );
    check.require(
        jobs.poll_batch >= 1,
        "jobs.poll_batch",
        jobs.poll_batch,
        "at least 1",
    );
    check.require(
        jobs.lost_polls >= 1,
        "jobs.lost_polls",
        jobs.lost_polls,
        "at least 1",
    );
    check.require(
        !jobs
            .gres
            .contains(|c: char| c.is_whitespace() || "\"'\\$`=,;".contains(c)),
        "jobs.gres",
        &jobs.gres,
        "the name of one generic resource, as in `gpu` or `gpu:a100`",
    );
    check.require(
        logs.followers <= 1024,
        "logs.followers",
        logs.followers,
        "at most 1024",
    );
    check.require(
        !logs.poll_interval.is_zero(),
        "logs.poll_interval",
        logs.poll_interval,
        "must not be zero",
    );
    check.require(
        logs.max_bytes_per_second == 0 || logs.max_bytes_per_second >= 1024,
        "logs.max_bytes_per_second",
        logs.max_bytes_per_second,
        "at least 1024, or 0 for no bound",
    );
    check.require(
        logs.max_file_bytes == 0 || logs.max_file_bytes >= 65_536,
        "logs.max_file_bytes",
        logs.max_file_bytes,
        "at least 65536, or 0 for no bound",
    );
    check.absolute("pods.kubelet_root", &config.pods.kubelet_root);
    let kubernetes = &config.kubernetes;
    if let Some(file) = &kubernetes.kubeconfig {
        check.absolute("kubernetes.kubeconfig", file);
    }
    check.require(
        jobs.job_scope != Some(JobScope::Pod) || kubernetes.kubeconfig.is_some(),
        "jobs.job_scope",
        "pod",
        "needs kubernetes.kubeconfig: without it nobody knows what the pod consists of",
    );
    check.require(
        (1..=100_000).contains(&kubernetes.cache_size),
        "kubernetes.cache_size",
        kubernetes.cache_size,
        "1 to 100000",
    );
    for path in &config.pods.shared_paths {
        check.absolute("pods.shared_paths", path);
    }
    check.require(
        (1..=MAX_VOLUME_BYTES).contains(&config.pods.max_volume_bytes),
        "pods.max_volume_bytes",
        config.pods.max_volume_bytes,
        "1 to 268435456",
    );
    limits(config, &mut check);
    node(config, &mut check);
    let cidr = &config.network.pod_cidr;
    check.require(
        cidr.as_deref()
            .is_none_or(|cidr| pod_ranges(cidr).is_some()),
        "network.pod_cidr",
        cidr,
        "a range such as 10.244.7.0/24",
    );
    for range in &config.network.own_ranges {
        check.require(
            pod_ranges(range).is_some(),
            "network.own_ranges",
            range,
            "a range such as 10.7.0.0/16",
        );
    }
    for resource in &config.resources.extended {
        let qualified = resource.name.split_once('/');
        let good = qualified.is_some_and(|(domain, name)| !domain.is_empty() && !name.is_empty());
        check.require(
            good,
            "resources.extended",
            &resource.name,
            "a name has a domain, as `nvidia.com/gpu`",
        );
    }
    for handler in &config.states.handlers {
        let patterns = [&handler.when_reason, &handler.when_message];
        for pattern in patterns.into_iter().flatten() {
            check.require(
                Pattern::of_words(pattern).is_ok(),
                "states.handlers",
                pattern,
                "is no pattern",
            );
        }
        check.require(
            handler
                .exit_code
                .is_none_or(|code| (0..=255).contains(&code)),
            "states.handlers",
            handler.exit_code,
            "an exit code is 0 to 255",
        );
    }
    traces(config, &mut check);
    identity(config, &mut check);
    let uid = config.images.uid;
    check.require(
        i32::try_from(uid).is_ok(),
        "images.uid",
        uid,
        "0 to 2147483647, what a kubelet accepts",
    );
    check.0
}

fn limits(config: &Config, check: &mut Check) {
    let limits = &config.limits;
    check.require(
        limits.max_container_bytes >= 1 << 16,
        "limits.max_container_bytes",
        limits.max_container_bytes,
        "at least 65536",
    );
    check.require(
        limits.max_in_flight_bytes >= 1 << 20,
        "limits.max_in_flight_bytes",
        limits.max_in_flight_bytes,
        "at least 1048576",
    );
    check.require(
        limits.max_images >= 1,
        "limits.max_images",
        limits.max_images,
        "at least 1",
    );
    for (key, value, least, why) in [
        (
            "limits.max_pod_bytes",
            limits.max_pod_bytes,
            limits.max_container_bytes,
            "must not be less than limits.max_container_bytes",
        ),
        (
            "limits.max_namespace_bytes",
            limits.max_namespace_bytes,
            limits.max_pod_bytes,
            "must not be less than limits.max_pod_bytes",
        ),
        (
            "limits.max_total_bytes",
            limits.max_total_bytes,
            limits.max_namespace_bytes,
            "must not be less than limits.max_namespace_bytes",
        ),
        (
            "limits.max_request_bytes",
            limits.max_request_bytes,
            // In base64 they have a third more.
            config.pods.max_volume_bytes.saturating_mul(2),
            "must not be less than twice pods.max_volume_bytes",
        ),
    ] {
        check.require(value >= least, key, value, why);
    }
}

fn daemon(config: &Config, check: &mut Check) {
    let daemon = &config.daemon;
    check.absolute("daemon.socket", &daemon.socket);
    check.absolute("daemon.state_dir", &daemon.state_dir);
    check.require(
        daemon.socket.as_os_str().len() <= MAX_SOCKET_PATH,
        "daemon.socket",
        &daemon.socket,
        "a unix socket's path has at most 107 bytes",
    );
    check.require(
        !daemon.socket.ends_with("run/crio/crio.sock"),
        "daemon.socket",
        &daemon.socket,
        "the kubelet takes this name for CRI-O and asks for other statistics; choose another",
    );
    if let Err(why) = log_filter::check(&daemon.log_level) {
        check.require(false, "daemon.log_level", &daemon.log_level, &why);
    }
}

fn identity(config: &Config, check: &mut Check) {
    let identity = &config.identity;
    let ranges: Vec<_> = identity.never.iter().map(|text| id_range(text)).collect();
    for (text, range) in identity.never.iter().zip(&ranges) {
        check.require(
            range.is_some(),
            "identity.never",
            text,
            "an id, or a range of them such as 0-999",
        );
    }
    let ranges: Vec<_> = ranges.into_iter().flatten().collect();
    for fault in user_faults(&identity.users, &ranges) {
        check.require(false, "identity.users", "(entry)", &fault);
    }
    let names_account = identity
        .users
        .iter()
        .find_map(|user| user.service_account.as_ref());
    check.require(
        names_account.is_none() || config.kubernetes.kubeconfig.is_some(),
        "identity.users",
        names_account,
        "service_account needs kubernetes.kubeconfig: only the API server knows a pod's",
    );
    if let Some(file) = &identity.users_file {
        check.absolute("identity.users_file", file);
    }
    for limit in &config.limits.namespaces {
        check.require(
            Patterns::new(&limit.namespaces).is_ok(),
            "limits.namespaces",
            &limit.namespaces,
            "has what is no pattern",
        );
    }
    check.require(
        config.metrics.listen().is_some(),
        "metrics.listen",
        &config.metrics.listen,
        "IP:PORT, unix:///PATH, or off",
    );
    for entry in &config.jobs.unconfirmed_stops {
        check.require(
            Patterns::new(&entry.namespaces).is_ok(),
            "jobs.unconfirmed_stops",
            &entry.namespaces,
            "has what is no pattern",
        );
    }
    if let Some(file) = &config.audit.file {
        check.absolute("audit.file", file);
    }
    for (key, patterns) in [
        ("identity.trusted_namespaces", &identity.trusted_namespaces),
        ("identity.allow_annotations", &identity.allow_annotations),
        ("identity.allow_flags", &identity.allow_flags),
    ] {
        check.require(
            Patterns::new(patterns).is_ok(),
            key,
            patterns,
            "has what is no pattern",
        );
    }
}

fn traces(config: &Config, check: &mut Check) {
    let traces = &config.traces;
    check.require(
        traces
            .ratio
            .is_none_or(|share| (0.0..=1.0).contains(&share)),
        "traces.ratio",
        traces.ratio,
        "0 to 1",
    );
    let Some(url) = &traces.endpoint else {
        return;
    };
    match Endpoint::parse(url) {
        Ok(endpoint) => {
            check.require(
                !matches!(endpoint.target, Target::Unix(_)),
                "traces.endpoint",
                url,
                "write http://HOST:PORT or https://HOST:PORT",
            );
            token_is_hidden(check, &endpoint, "traces.token_file", &traces.token_file);
        }
        Err(endpoint::Error::Password) => {
            let why = "must not carry a password; use traces.token_file";
            check.require(false, "traces.endpoint", "(hidden)", why);
        }
        Err(error) => {
            let why = format!("{error}; write http://HOST:PORT or https://HOST:PORT");
            check.require(false, "traces.endpoint", url, &why);
        }
    }
}

/// A token is not sent where others can read it.
fn token_is_hidden(
    check: &mut Check,
    endpoint: &Endpoint,
    key: &'static str,
    token_file: &Option<PathBuf>,
) {
    let is_shown = !endpoint.is_tls && !endpoint.target.is_local();
    check.require(
        token_file.is_none() || !is_shown,
        key,
        token_file,
        "http:// to another host would show the token to the network; use https://",
    );
}

fn interlink(config: &Config, check: &mut Check) {
    let interlink = &config.interlink;
    if let Some(url) = &interlink.url {
        match Endpoint::parse(url) {
            Ok(endpoint) => {
                let token_file = &interlink.token_file;
                token_is_hidden(check, &endpoint, "interlink.token_file", token_file);
            }
            Err(endpoint::Error::Password) => {
                let why = "must not carry a password; use interlink.token_file";
                check.require(false, "interlink.url", "(hidden)", why);
            }
            Err(error) => {
                let why =
                    format!("{error}; write http://HOST:PORT, https://HOST:PORT or unix:///PATH");
                check.require(false, "interlink.url", url, &why);
            }
        }
        let tls = [
            &interlink.ca_file,
            &interlink.client_cert_file,
            &interlink.client_key_file,
        ];
        let unused = !url.starts_with("https://") && tls.iter().any(|file| file.is_some());
        check.require(
            !unused,
            "interlink.url",
            url,
            "ca_file, client_cert_file and client_key_file need https://",
        );
    }
    let pair = interlink.client_cert_file.is_some() == interlink.client_key_file.is_some();
    check.require(
        pair,
        "interlink.client_key_file",
        &interlink.client_key_file,
        "goes together with interlink.client_cert_file",
    );
    check.require(
        (1..=64).contains(&interlink.workers),
        "interlink.workers",
        interlink.workers,
        "1 to 64",
    );
    for (key, span) in [
        ("interlink.connect_timeout", interlink.connect_timeout),
        ("interlink.request_timeout", interlink.request_timeout),
        ("interlink.create_timeout", interlink.create_timeout),
        ("interlink.retry_min", interlink.retry_min),
        ("interlink.ping_interval", interlink.ping_interval),
        ("daemon.disk_timeout", config.daemon.disk_timeout),
        ("daemon.shutdown_timeout", config.daemon.shutdown_timeout),
    ] {
        check.require(!span.is_zero(), key, span, "must not be zero");
    }
    check.require(
        interlink.retry_min <= interlink.retry_max,
        "interlink.retry_max",
        interlink.retry_max,
        "must not be less than interlink.retry_min",
    );
    check.require(
        interlink.max_reply_bytes >= 1 << 16,
        "interlink.max_reply_bytes",
        interlink.max_reply_bytes,
        "at least 65536",
    );
}

/// What was found on this machine.
#[derive(Debug, Default)]
pub struct Findings {
    /// What keeps the daemon from starting.
    pub faults: Vec<Fault>,
    /// What it can live with.
    pub warnings: Vec<Fault>,
}

impl Findings {
    /// Notes a file that somebody else can change: with it, they say what the daemon does.
    pub fn others_can_change(&mut self, key: &'static str, file: &PathBuf) {
        if let Err(error) = owned::check(file) {
            self.faults.push(fault(key, file, error.to_string()));
        }
    }
}

/// What is wrong on this machine: files that are not there, or that everybody may read.
pub fn check_machine(config: &Config) -> Findings {
    let mut findings = Findings::default();
    let (interlink, traces) = (&config.interlink, &config.traces);
    for (key, file, is_secret) in [
        ("interlink.token_file", &interlink.token_file, true),
        ("interlink.ca_file", &interlink.ca_file, false),
        (
            "interlink.client_cert_file",
            &interlink.client_cert_file,
            false,
        ),
        (
            "interlink.client_key_file",
            &interlink.client_key_file,
            true,
        ),
        ("traces.token_file", &traces.token_file, true),
        ("traces.ca_file", &traces.ca_file, false),
        ("traces.client_cert_file", &traces.client_cert_file, false),
        ("traces.client_key_file", &traces.client_key_file, true),
    ] {
        let Some(file) = file else { continue };
        match fs::File::open(file).and_then(|file| file.metadata()) {
            Err(error) => findings.faults.push(fault(key, file, error.to_string())),
            Ok(_) if owned::check(file).is_err() => findings.others_can_change(key, file),
            Ok(meta) if is_secret && meta.permissions().mode() & 0o077 != 0 => {
                let why = "others may read this secret; chmod 600 it".to_owned();
                findings.warnings.push(fault(key, file, why));
            }
            Ok(_) => {}
        }
    }
    for user in interlink.local_users.iter().filter(|user| *user != "*") {
        if peer::user_id(user).is_none() {
            let path = PathBuf::from(user);
            let why = "there is no such user on this machine".to_owned();
            findings
                .faults
                .push(fault("interlink.local_users", &path, why));
        }
    }
    if let Some(file) = &config.kubernetes.kubeconfig {
        if let Err(error) = fs::File::open(file) {
            let (key, why) = ("kubernetes.kubeconfig", error.to_string());
            // A kubelet makes it when it joins the cluster, perhaps after our own start.
            findings.warnings.push(fault(key, file, why));
        } else {
            findings.others_can_change("kubernetes.kubeconfig", file);
        }
    }
    let state = &config.daemon.state_dir;
    if state.exists() && !state.is_dir() {
        findings.faults.push(fault(
            "daemon.state_dir",
            state,
            "is not a directory".to_owned(),
        ));
    }
    findings
}

fn fault(key: &'static str, path: &PathBuf, why: String) -> Fault {
    Fault {
        key,
        value: without_passwords(&format!("{path:?}")),
        why,
    }
}

#[cfg(test)]
mod tests;
