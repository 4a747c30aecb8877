//! A client with a kubelet's habits: it tries again what failed, looks before it repeats what
//! must not be done twice, and believes only what it is told.

use std::{
    collections::HashMap,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use grpcio::RpcStatusCode as Code;
use interlink_cri::proto::{
    ContainerFilter, ContainerState, ContainerStatus, ContainerStatusRequest,
    CreateContainerRequest, ListContainersRequest, ListPodSandboxRequest, PodSandboxConfig,
    PodSandboxFilter, PullImageRequest, RemoveContainerRequest, RemovePodSandboxRequest,
    RunPodSandboxRequest, StartContainerRequest, StopContainerRequest, StopPodSandboxRequest,
};
use protobuf::MessageField;
use serde_json::json;

use crate::{
    books::{Books, Count},
    habits::Logs,
    script::Script,
    support::{container, options, read_log, sandbox, Cri},
    world::World,
};

/// How long a call, or a container that ends by itself, may take with all that goes wrong.
const PATIENCE: Duration = Duration::from_secs(100);

pub struct Kubelet<'a> {
    number: u64,
    pods: u64,
    cri: Cri,
    world: &'a World,
    books: &'a Books,
    rng: Rng,
}

/// A container that was started.
struct Started {
    id: String,
    name: String,
    script: Script,
    log: PathBuf,
}

/// A pod's containers: names, and what they do.
struct Plan {
    init: Option<(String, Script)>,
    mains: Vec<(String, Script)>,
}

/// The pod went wrong; the reason is in the books.
struct Abandoned;

type Step<T> = Result<T, Abandoned>;

impl<'a> Kubelet<'a> {
    pub fn new(number: u64, world: &'a World, books: &'a Books, rng: Rng) -> Self {
        Self {
            number,
            pods: 0,
            cri: world.cri(),
            world,
            books,
            rng,
        }
    }

    /// A pod's whole life, and a look at whether all was true.
    pub fn one_pod(&mut self) {
        self.pods += 1;
        let name = format!("k{}-p{}", self.number, self.pods);
        let mut config = sandbox(&name);
        let metadata = config.metadata.mut_or_insert_default();
        let uid = format!("{:08x}-0000-4000-8000-{:012x}", self.number, self.pods);
        metadata.uid.clone_from(&uid);
        config.labels.insert("io.kubernetes.pod.uid".into(), uid);
        let logs = self.world.logs().join(&name);
        std::fs::create_dir_all(&logs).expect("a log directory");
        config.log_directory = logs.display().to_string();
        // What was wrong is in the books; the next pod comes.
        let _ = self.live(&name, &config);
        let _ = self.remove(&config);
        self.books.count(Count::Pods);
        // Thousands of pods leave thousands of logs.
        let _ = std::fs::remove_dir_all(logs);
    }

    /// Ends a pod and removes it, however often that has to be asked for.
    pub fn end(&self, config: &PodSandboxConfig) {
        // What was wrong is in the books.
        let _ = self.remove(config);
    }

    fn live(&mut self, name: &str, config: &PodSandboxConfig) -> Step<()> {
        let plan = self.plan(name);
        self.write_down(config, &plan);
        let id = self.run(config)?;
        let mut all = Vec::new();
        if let Some((name, script)) = plan.init {
            let init = self.launch(&id, config, &name, 0, script)?;
            self.wait_and_check(&init)?;
            all.push(init);
        }
        let first = all.len();
        for (name, script) in plan.mains {
            all.push(self.launch(&id, config, &name, 0, script)?);
        }
        match self.rng.u32(0..4) {
            // Stopped while some of it still runs, or has not begun.
            0 => {
                thread::sleep(Duration::from_millis(self.rng.u64(0..1500)));
                for one in &all[first..] {
                    self.books.expect_runs(&one.script.tag, 0, 1);
                }
            }
            _ => {
                for one in &all[first..] {
                    match one.script.code {
                        Some(_) => self.wait_and_check(one)?,
                        None => self.stop(one)?,
                    }
                }
                if self.rng.u32(0..3) == 0 {
                    let name = format!("{name}-c0");
                    let script = Script::ending(format!("{name}-1"), &mut self.rng);
                    let again = self.launch(&id, config, &name, 1, script)?;
                    self.wait_and_check(&again)?;
                    all.push(again);
                }
            }
        }
        self.check_lists(&id, &all)?;
        self.stop_sandbox(&id)?;
        self.check_ended(&all)?;
        if self.rng.bool() {
            for one in &all {
                self.remove_container(&one.id)?;
            }
        }
        Ok(())
    }

    /// What a pod consists of.
    fn plan(&mut self, name: &str) -> Plan {
        let count = self.rng.usize(1..=3);
        let init = (self.rng.u32(0..4) == 0).then(|| {
            let mut script = Script::ending(format!("{name}-init-0"), &mut self.rng);
            if self.world.api().is_some() && self.world.habits().are_inits_silent() {
                script.code = Some(0);
            }
            (format!("{name}-init"), script)
        });
        let mains = (0..count).map(|index| {
            let name = format!("{name}-c{index}");
            let tag = format!("{name}-0");
            let script = match self.rng.u32(0..5) {
                0 => Script::endless(tag),
                _ => Script::ending(tag, &mut self.rng),
            };
            (name, script)
        });
        let mains = mains.collect();
        Plan { init, mains }
    }

    /// Writes the pod to the API server, if there is one. From then on it may run.
    fn write_down(&self, config: &PodSandboxConfig, plan: &Plan) {
        let Some(api) = self.world.api() else { return };
        let written = |(name, script): &(String, Script)| {
            self.books.expect_runs(&script.tag, 0, 1);
            let command = script.command(&self.world.ledger());
            json!({"name": name, "image": "busybox:1.36", "command": command})
        };
        let inits: Vec<_> = plan.init.iter().map(written).collect();
        let mains: Vec<_> = plan.mains.iter().map(written).collect();
        let of = &config.metadata;
        api.put(
            "pods",
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": of.name, "namespace": of.namespace, "uid": of.uid},
                "spec": {
                    "initContainers": inits,
                    "containers": mains,
                    "readinessGates": [{"conditionType": "interlink.eu/job-running"}],
                },
            }),
        );
    }

    fn check_lists(&self, id: &str, all: &[Started]) -> Step<()> {
        let mut listed = self.containers(id)?;
        let mut own: Vec<_> = all.iter().map(|one| one.id.clone()).collect();
        listed.sort();
        own.sort();
        if listed != own {
            return self.wrong(format!("sandbox {id} lists {listed:?}, and has {own:?}"));
        }
        Ok(())
    }

    /// After the sandbox was stopped, nothing runs, and logs are as far as they go.
    fn check_ended(&self, all: &[Started]) -> Step<()> {
        for one in all {
            let status = self.status(&one.id)?;
            let tag = &one.script.tag;
            if status.state != ContainerState::CONTAINER_EXITED.into() {
                return self.wrong(format!("{tag} is {:?} after its stop", status.state));
            }
            let ended = read_log(&one.log).map(|log| is_part(&log, &one.script.log()));
            match ended {
                Ok(true) => {}
                _ if self.is_log_doubtful(one) => {}
                Ok(false) => return self.wrong(format!("{tag} has a log that it did not write")),
                // A line that is being written as we look is no fault.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Waits for the end of a container that ends by itself: its code, its log, and all of it
    /// still so when it is asked again.
    fn wait_and_check(&self, one: &Started) -> Step<()> {
        let tag = &one.script.tag;
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            let status = self.status(&one.id)?;
            if status.state == ContainerState::CONTAINER_EXITED.into() {
                break status;
            }
            if Instant::now() > deadline {
                return self.wrong(format!("{tag} does not end: {status:?}"));
            }
            thread::sleep(Duration::from_millis(40));
        };
        if Some(status.exit_code) != one.script.code {
            let (code, reason, message) = (status.exit_code, &status.reason, &status.message);
            return self.wrong(format!(
                "{tag} ended with {code} ({reason}: {message}) instead of {:?}",
                one.script.code
            ));
        }
        let ordered = 0 < status.created_at
            && status.created_at <= status.started_at
            && status.started_at <= status.finished_at;
        if !ordered {
            return self.wrong(format!("{tag} has times out of order: {status:?}"));
        }
        let want = match self.world.habits().logs {
            Logs::Followed | Logs::Whole => one.script.log(),
            Logs::Missing(_) => String::new(),
        };
        let got = read_log(&one.log);
        let doubtful = self.is_log_doubtful(one);
        let is_right = match &got {
            _ if self.world.habits().are_logs_doubtful() => true,
            Ok(log) if doubtful => holds_in_order(log, &want),
            Ok(log) => *log == want,
            Err(_) => false,
        };
        if !is_right {
            let (got, want) = (summary(got), summary(Ok(want)));
            return self.wrong(format!("{tag} has the log {got} instead of {want}"));
        }
        if self.status(&one.id)? != status {
            return self.wrong(format!("{tag} is told otherwise after its end"));
        }
        self.books.count(Count::OwnEnds);
        Ok(())
    }

    fn is_log_doubtful(&self, one: &Started) -> bool {
        let world = self.world;
        world.habits().are_logs_doubtful() || world.relay().is_log_doubtful(&one.name)
    }

    // Calls.

    fn run(&self, config: &PodSandboxConfig) -> Step<String> {
        let request = RunPodSandboxRequest {
            config: MessageField::some(config.clone()),
            ..Default::default()
        };
        self.once(
            "RunPodSandbox",
            || Ok(self.sandboxes(config)?.pop()),
            |cri| {
                Ok(cri
                    .runtime
                    .run_pod_sandbox(&request, options())?
                    .pod_sandbox_id)
            },
        )
    }

    fn launch(
        &self,
        sandbox: &str,
        sandbox_config: &PodSandboxConfig,
        name: &str,
        attempt: u32,
        script: Script,
    ) -> Step<Started> {
        let command = script.command(&self.world.ledger());
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        let mut config = container(name, &command);
        config.metadata.mut_or_insert_default().attempt = attempt;
        config.log_path = format!("{name}/{attempt}.log");
        let pull = PullImageRequest {
            image: config.image.clone(),
            ..Default::default()
        };
        self.insist("PullImage", |cri| cri.images.pull_image(&pull, options()))?;
        let known = self.containers(sandbox)?;
        let log = PathBuf::from(&sandbox_config.log_directory).join(&config.log_path);
        let request = CreateContainerRequest {
            pod_sandbox_id: sandbox.into(),
            config: MessageField::some(config),
            sandbox_config: MessageField::some(sandbox_config.clone()),
            ..Default::default()
        };
        let id = self.once(
            "CreateContainer",
            || {
                let all = self.containers(sandbox)?;
                Ok(all.into_iter().find(|id| !known.contains(id)))
            },
            |cri| {
                Ok(cri
                    .runtime
                    .create_container(&request, options())?
                    .container_id)
            },
        )?;
        let least = usize::from(script.code.is_some());
        self.books.expect_runs(&script.tag, least, 1);
        let request = StartContainerRequest {
            container_id: id.clone(),
            ..Default::default()
        };
        self.once(
            "StartContainer",
            || {
                let state = self.status(&id)?.state;
                Ok((state != ContainerState::CONTAINER_CREATED.into()).then_some(()))
            },
            |cri| cri.runtime.start_container(&request, options()).map(drop),
        )?;
        self.books.count(Count::Starts);
        let name = name.to_owned();
        Ok(Started {
            id,
            name,
            script,
            log,
        })
    }

    fn stop(&mut self, one: &Started) -> Step<()> {
        thread::sleep(Duration::from_millis(self.rng.u64(0..1000)));
        let request = StopContainerRequest {
            container_id: one.id.clone(),
            timeout: 1,
            ..Default::default()
        };
        self.books.count(Count::Stops);
        self.insist("StopContainer", |cri| {
            cri.runtime.stop_container(&request, options()).map(drop)
        })
    }

    fn stop_sandbox(&self, id: &str) -> Step<()> {
        let request = StopPodSandboxRequest {
            pod_sandbox_id: id.into(),
            ..Default::default()
        };
        self.insist("StopPodSandbox", |cri| {
            cri.runtime.stop_pod_sandbox(&request, options()).map(drop)
        })
    }

    fn remove(&self, config: &PodSandboxConfig) -> Step<()> {
        for id in self.sandboxes(config)? {
            self.stop_sandbox(&id)?;
            let request = RemovePodSandboxRequest {
                pod_sandbox_id: id.clone(),
                ..Default::default()
            };
            self.insist("RemovePodSandbox", |cri| {
                cri.runtime
                    .remove_pod_sandbox(&request, options())
                    .map(drop)
            })?;
        }
        if !self.sandboxes(config)?.is_empty() {
            return self.wrong(format!("{} is removed and listed", config.metadata.name));
        }
        Ok(())
    }

    fn remove_container(&self, id: &str) -> Step<()> {
        let request = RemoveContainerRequest {
            container_id: id.into(),
            ..Default::default()
        };
        self.insist("RemoveContainer", |cri| {
            cri.runtime.remove_container(&request, options()).map(drop)
        })
    }

    fn status(&self, id: &str) -> Step<ContainerStatus> {
        let request = ContainerStatusRequest {
            container_id: id.into(),
            ..Default::default()
        };
        let answer = self.insist("ContainerStatus", |cri| {
            cri.runtime.container_status(&request, options())
        })?;
        Ok(answer.status.unwrap_or_default())
    }

    fn containers(&self, sandbox: &str) -> Step<Vec<String>> {
        let filter = ContainerFilter {
            pod_sandbox_id: sandbox.into(),
            ..Default::default()
        };
        let request = ListContainersRequest {
            filter: MessageField::some(filter),
            ..Default::default()
        };
        let answer = self.insist("ListContainers", |cri| {
            cri.runtime.list_containers(&request, options())
        })?;
        Ok(answer.containers.into_iter().map(|one| one.id).collect())
    }

    fn sandboxes(&self, config: &PodSandboxConfig) -> Step<Vec<String>> {
        let filter = PodSandboxFilter {
            label_selector: HashMap::from([(
                "io.kubernetes.pod.uid".to_owned(),
                config.metadata.uid.clone(),
            )]),
            ..Default::default()
        };
        let request = ListPodSandboxRequest {
            filter: MessageField::some(filter),
            ..Default::default()
        };
        let answer = self.insist("ListPodSandbox", |cri| {
            cri.runtime.list_pod_sandbox(&request, options())
        })?;
        Ok(answer.items.into_iter().map(|one| one.id).collect())
    }

    /// Does what must be done once: after a call that may or may not have been carried out, it
    /// looks before it tries again.
    fn once<T>(
        &self,
        what: &str,
        look: impl Fn() -> Step<Option<T>>,
        call: impl Fn(&Cri) -> grpcio::Result<T>,
    ) -> Step<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match call(&self.cri) {
                Ok(done) => return Ok(done),
                Err(error) => self.pause_after(what, &error, deadline)?,
            }
            if let Some(done) = look()? {
                return Ok(done);
            }
        }
    }

    /// Tries until it is done.
    fn insist<T>(&self, what: &str, call: impl Fn(&Cri) -> grpcio::Result<T>) -> Step<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match call(&self.cri) {
                Ok(done) => return Ok(done),
                Err(error) => self.pause_after(what, &error, deadline)?,
            }
        }
    }

    /// A daemon that was killed is away for a moment; every other error is wrong.
    fn pause_after(&self, what: &str, error: &grpcio::Error, deadline: Instant) -> Step<()> {
        let passes = match error {
            grpcio::Error::RpcFailure(status) => matches!(
                status.code(),
                Code::UNAVAILABLE | Code::DEADLINE_EXCEEDED | Code::CANCELLED | Code::UNKNOWN
            ),
            _ => false,
        };
        if !passes || Instant::now() > deadline {
            return self.wrong(format!("{what}: {error}"));
        }
        self.books.count(Count::Retries);
        thread::sleep(Duration::from_millis(30));
        Ok(())
    }

    fn wrong<T>(&self, text: String) -> Step<T> {
        self.books.violation(text);
        Err(Abandoned)
    }
}

/// Whether a log is the beginning of what was written.
fn is_part(log: &str, whole: &str) -> bool {
    whole.starts_with(log)
}

/// Whether every line that was written is there, in order, whatever else is.
fn holds_in_order(log: &str, want: &str) -> bool {
    let mut lines = log.lines();
    want.lines().all(|line| lines.any(|other| other == line))
}

fn summary(log: Result<String, String>) -> String {
    match log {
        Ok(text) => {
            let mut short: String = text.chars().take(200).collect();
            short.push_str(&format!("... ({} lines)", text.lines().count()));
            format!("{short:?}")
        }
        Err(why) => format!("({why})"),
    }
}
