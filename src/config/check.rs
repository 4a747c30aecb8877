//! What is wrong with a configuration: all of it at once, each with key, value and what is
//! allowed. What depends on the machine is apart (`machine`), so that `check-config` runs anywhere.

mod fault;
mod machine;
mod servers;

pub use self::{
    fault::Fault,
    machine::{check_machine, Findings},
};

use self::{
    fault::Check,
    servers::{interlink, traces},
};
use super::{
    identity::{id_range, user_faults},
    log_filter,
    pattern::{Pattern, Patterns},
    policy::pod_ranges,
    schema::JobScope,
    Config,
};
use crate::{quantity, text::is_extended_resource};

/// Longest path of a unix socket.
const MAX_SOCKET_PATH: usize = 107;
/// The most that a kubelet accepts in one message.
const MAX_MESSAGE: usize = 16 << 20;
/// All of it is in memory at once, more than once, for each worker.
const MAX_VOLUME_BYTES: u64 = 256 << 20;

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

#[cfg(test)]
mod tests;
