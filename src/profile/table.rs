//! The profiles: what is known of each plugin, as traits that the decisions can use.
//!
//! Read in the plugins' sources at these commits: interlink-slurm-plugin f8451d9,
//! interlink-htcondor-plugin 6f5ee3e, interlink-kubernetes-plugin cfebf48, interlink-plugin-sdk 2c8a063
//! (all of github.com/interlink-hq), interlink-docker-plugin 2ed6360, interlink-unicore-plugin e7adc1f
//! (github.com/interTwin-eu), interlink-condorce-plugin 36c7331 (github.com/landerlini), and the example
//! example/provider_demo.py of the interLink server at f632175.
//!
//! | plugin | what it does | where | trait |
//! |---|---|---|---|
//! | `slurm` | its quirks have a table of their own | `profile::slurm` | |
//! | | takes the largest limit of any container for the whole job | pkg/slurm/Create.go:88-122 | `allocation` |
//! | | marks containers as not ready or failed by their readiness and startup probes; none is killed | pkg/slurm/Status.go:347-372, pkg/slurm/probes.go | `probes` |
//! | | passes images that begin with `/` or have a scheme as they are | pkg/slurm/prepare.go:1987-1995 | `image_refs` |
//! | | answers a ping with the CPUs and the memory that no job has, unless a script of the site's says otherwise | pkg/slurm/Status.go, `parseClusterResourcesFromJSON` | `pings_with_what_is_free` |
//! | `htcondor` | answers /create with 201, which an interLink server passes on as a failure with 201 (`profile::speaker`) | handles.py:655; pkg/interlink/api/handler.go:155-181 | `interlink::client` |
//! | | answers a question for its first pod only, and refuses it (404) if that one is not known | handles.py:730, 837-839 | `max_question` |
//! | | looks at `spec.containers` only, and runs the last of them | handles.py:540, 625 | `init_containers`, `one_container_per_job` |
//! | | gives each container the state of the job, an end always with a start | handles.py:777-797 | `ends_without_start` |
//! | | answers /getLogs with the text "NOT IMPLEMENTED" | handles.py:858-860 | `logs` |
//! | | adds up the requests, and takes a missing one for 1 CPU and 1 MB | handles.py:350-363 | `allocation` |
//! | | passes images that begin with `/cvmfs` or `docker://` as they are | handles.py:564-578 | `image_refs` |
//! | `unicore` | answers a question for its first pod only | src/handles.py:625 | `max_question` |
//! | | takes a list at /create, and answers with a list of `name`, `uid`, `jobid` when the job has ended | src/handles.py:443, 385, 553-568 | `create_body`, `wire::CreateStruct` |
//! | | looks at `spec.containers` only, runs one after the other | src/handles.py:455, 300 | `init_containers`, `one_container_per_job` |
//! | | answers /getLogs with the text "NOT IMPLEMENTED" | src/handles.py:704-706 | `logs` |
//! | `kubernetes` | leaves out pods that it does not know | src/app/services/kubernetes_plugin_service.py:101-103 | (as it should be) |
//! | | runs init containers, and reports `container_statuses` only | the same:76, 85-91 | `init_containers` |
//! | | never follows a log; all of it each time | the same:116-121 | `logs` |
//! | | confirms a deletion whatever happens | the same:169-173, 216 | |
//! | `docker` | refuses a whole question (404) because of one pod that it does not know | pkg/docker/Status.go, `StatusHandler`: "Maybe it was deleted or never existed" | `worker::poll` |
//! | | never follows a log; says "No logs available for container" in a log's place | pkg/docker/GetLogs.go, `GetLogsHandler` | `logs` |
//! | | reports init containers; each container has its own limits | pkg/docker/Status.go, pkg/docker/Create.go, `prepareDockerRuns` | `init_containers`, `allocation` |
//! | | reports ends without times | pkg/docker/Status.go: `ContainerStateTerminated{ExitCode: ...}` | `ends_without_start` |
//! | `sdk` | `Provider.get_status` answers for the first pod only | interlink/provider.py:35-36 | `max_question` |
//! | | its example takes a list at /create, runs and reports the first container, and does not follow logs | example/provider_demo.py:68, 149-151, 211-225, 232 | `create_body`, `one_container_per_job`, `logs` |
//! | | its types have no place for init containers in an answer, nor for times of an end | interlink/spec.py:253-286 | `init_containers`, `ends_without_start` |
//! | `nats` | takes a list at /create, and answers for all pods of a question | natsplugin.py:50, 82-92 | `create_body` |
//! | | reports init containers; does not follow logs | natsprovider/NatsGateway.py:472, natsplugin.py:94-98 | `init_containers`, `logs` |
//! | `local` | this daemon's own: `interlink_cri::plugin` | | |
//! | | makes the directories that are in the keys of a volume's files | src/plugin/pods/volumes.rs, `file` | `volume_keys` |

use std::time::Duration;

use super::{known_ends, slurm};
use crate::{
    config::schema::Plugin,
    plan::{
        Allocation, CreateBody, EmptyJobId, EndsWithoutStart, ImageRefs, InitContainers, LogForm,
        PluginTraits, Probes, VolumeKeys,
    },
};

/// What is taken for granted of a plugin that may be any of those known: the most careful of what is
/// known of each, as far as that does no harm to the others.
const ANY: PluginTraits = PluginTraits {
    repeats_answers_for: slurm::REPEATS_ANSWERS_FOR,
    known_ends: known_ends::KNOWN,
    max_question: None,
    init_containers: InitContainers::Reported,
    one_container_per_job: false,
    ends_without_start: EndsWithoutStart::Unproven,
    empty_job_id: EmptyJobId::AwaitsGang,
    create_body: CreateBody::One,
    logs: LogForm::Followed,
    // A server with a thread for each request has some 40 of them (AnyIO's limit, and with it that of Starlette
    // and FastAPI), and followed logs keep theirs.
    max_followed: Some(16),
    allocation: Allocation::Unknown,
    probes: Probes::LivenessOnly,
    image_refs: ImageRefs::OciOnly,
    pings_with_what_is_free: true,
    volume_keys: VolumeKeys::Names,
};

const SLURM: PluginTraits = PluginTraits {
    // A goroutine each.
    max_followed: None,
    empty_job_id: EmptyJobId::Doubt,
    allocation: Allocation::LargestLimit,
    image_refs: ImageRefs::PathsAndSchemes,
    ..ANY
};

/// What plugins have in common that ask their batch system for each answer.
const PROMPT: PluginTraits = PluginTraits {
    repeats_answers_for: Duration::ZERO,
    ends_without_start: EndsWithoutStart::Believed,
    empty_job_id: EmptyJobId::Doubt,
    probes: Probes::Ignored,
    pings_with_what_is_free: false,
    ..ANY
};

const HTCONDOR: PluginTraits = PluginTraits {
    max_question: Some(1),
    init_containers: InitContainers::NotRun,
    one_container_per_job: true,
    logs: LogForm::Missing,
    allocation: Allocation::SumOfRequests,
    image_refs: ImageRefs::PathsAndSchemes,
    ..PROMPT
};

const UNICORE: PluginTraits = PluginTraits {
    create_body: CreateBody::List,
    image_refs: ImageRefs::OciOnly,
    ..HTCONDOR
};

const KUBERNETES: PluginTraits = PluginTraits {
    init_containers: InitContainers::Unreported,
    logs: LogForm::Whole,
    allocation: Allocation::Each,
    probes: Probes::All,
    ..PROMPT
};

const DOCKER: PluginTraits = PluginTraits {
    logs: LogForm::Whole,
    allocation: Allocation::Each,
    ..PROMPT
};

/// Its authors may do as they please; this is what they do who keep to its example.
const SDK: PluginTraits = PluginTraits {
    max_question: Some(1),
    init_containers: InitContainers::NotRun,
    one_container_per_job: true,
    empty_job_id: EmptyJobId::AwaitsGang,
    create_body: CreateBody::List,
    logs: LogForm::Whole,
    ..PROMPT
};

const NATS: PluginTraits = PluginTraits {
    create_body: CreateBody::List,
    logs: LogForm::Whole,
    ..PROMPT
};

const LOCAL: PluginTraits = PluginTraits {
    max_followed: None,
    allocation: Allocation::Each,
    volume_keys: VolumeKeys::Paths,
    ..PROMPT
};

/// The profiles by the names that the configuration has for them.
const PROFILES: [(Plugin, &PluginTraits); 9] = [
    (Plugin::Auto, &ANY),
    (Plugin::Slurm, &SLURM),
    (Plugin::HtCondor, &HTCONDOR),
    (Plugin::Unicore, &UNICORE),
    (Plugin::Kubernetes, &KUBERNETES),
    (Plugin::Docker, &DOCKER),
    (Plugin::Sdk, &SDK),
    (Plugin::Nats, &NATS),
    (Plugin::Local, &LOCAL),
];

/// What is known of a plugin.
pub fn traits(plugin: Plugin) -> PluginTraits {
    let found = PROFILES.iter().find(|(name, _)| *name == plugin);
    found.map_or(ANY, |(_, traits)| (*traits).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_plugin_has_one_profile() {
        for plugin in Plugin::ALL {
            let of_it = PROFILES.iter().filter(|(name, _)| *name == plugin);
            assert_eq!(of_it.count(), 1, "{plugin}");
        }
        assert_eq!(PROFILES.len(), Plugin::ALL.len());
    }

    /// Whoever runs no init containers must not be sent whole pods.
    #[test]
    fn profiles_differ_where_plugins_do() {
        assert_eq!(traits(Plugin::HtCondor).max_question, Some(1));
        assert_eq!(traits(Plugin::Slurm).allocation, Allocation::LargestLimit);
        assert!(traits(Plugin::Slurm).pings_with_what_is_free);
        assert!(!traits(Plugin::Local).pings_with_what_is_free);
        assert_eq!(traits(Plugin::Sdk).create_body, CreateBody::List);
        assert_eq!(traits(Plugin::Docker).logs, LogForm::Whole);
        assert_eq!(traits(Plugin::Auto).max_question, None);
    }
}
