//! An interLink server that does what a test tells it: it keeps the jobs that it is given, in the
//! states that the test sets, records what it is asked, and commits faults by order.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use interlink_cri::plugin::http::{Request, Responder};
use parking_lot::Mutex;
use serde_json::{json, Value};

use super::{create_form::CreateForm, flood::Flood, listener::Listener, wait_for};

/// The id of all jobs, where they are numbered.
pub const JOB_NUMBER: &str = "4711";

/// The headers `traceparent` and `tracestate` of a request.
pub type Trace = (Option<String>, Option<String>);

/// The state of every container of a job.
#[derive(Clone, Debug)]
pub enum JobState {
    Queued,
    Running,
    /// The whole `terminated` object.
    Ended(Value),
    /// The whole state, whatever it is.
    As(Value),
}

impl JobState {
    pub fn exited(code: i32) -> Self {
        Self::Ended(json!({ "exitCode": code }))
    }

    fn json(&self) -> Value {
        match self {
            Self::Queued => json!({ "waiting": {} }),
            Self::Running => json!({ "running": {} }),
            Self::Ended(terminated) => json!({ "terminated": terminated }),
            Self::As(state) => state.clone(),
        }
    }
}

/// What the next request for a path meets.
#[derive(Clone, Debug)]
pub enum Fault {
    /// None: it is done and answered.
    Pass,
    /// A refusal.
    Status(u16, &'static str),
    /// An answer with this status, content type and body.
    Says(u16, &'static str, &'static str),
    /// It is done, but this is the answer.
    DoneBut(u16, &'static str),
    /// The connection breaks before anything is done.
    DropBefore,
    /// It is done, but the connection breaks instead of an answer.
    DropAfter,
    /// No answer until the client goes.
    Hang,
    /// An answer with this body.
    Answer(&'static str),
    /// An answer that wants memory.
    Floods(Flood),
}

/// How a server answers whose plugin answers for the first job of a question only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstOnly {
    /// The others are left out.
    LeavesOut,
    /// The others are as they were when they came first.
    Remembers,
}

/// A job as the fake knows it.
#[derive(Clone, Debug)]
struct Job {
    containers: Vec<String>,
    states: HashMap<String, JobState>,
}

impl Job {
    fn with_all(mut self, state: &JobState) -> Self {
        let names = self.containers.iter().cloned();
        self.states = names.map(|name| (name, state.clone())).collect();
        self
    }
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<String, Job>,
    /// What containers used, as `allocatedResources` has it.
    used: HashMap<String, Value>,
    /// What containers wrote.
    logs: HashMap<String, Vec<u8>>,
    /// What their jobs wrote; sent before it, as the SLURM plugin does.
    job_logs: HashMap<String, Vec<u8>>,
    faults: HashMap<String, VecDeque<Fault>>,
    always: HashMap<String, Fault>,
    requests: Vec<(String, Value)>,
    /// The `traceparent` and `tracestate` that came with them.
    traces: Vec<(String, Trace)>,
    /// Bytes after which a followed log breaks off, once.
    break_logs_after: Option<usize>,
    /// A job whose state cannot be had: a question that names it is refused, in these words.
    spoiled: Option<(String, String)>,
    /// What a question meets that names a job.
    spoilers: HashMap<String, Fault>,
    /// A question about more jobs gets no answer.
    bears: Option<usize>,
    /// Only the first job of a question is answered for; the rest is left out, or as it was heard last.
    first_only: Option<FirstOnly>,
    /// Only the first container of a job is spoken of.
    first_container_only: bool,
    /// What was heard of jobs.
    memory: HashMap<String, Value>,
    /// What is said of jobs instead of the truth: whole entries.
    entries: HashMap<String, Value>,
    /// How long an answer to /status is given again, whatever the question is.
    repeats_for: Duration,
    /// The last answer to /status.
    answered: Option<(Instant, Vec<Value>)>,
    /// Only those containers are spoken of that a question names under `spec.containers`, as the
    /// SLURM plugin does it.
    as_slurm: bool,
    create_form: CreateForm,
    /// The state of the containers of new jobs, where that is not `Queued`.
    begins_as: Option<JobState>,
    /// Jobs are taken, but no answer speaks of them.
    hides_jobs: bool,
    /// What a ping is answered with.
    ping: Option<String>,
    /// Its ids of jobs are numbers, as SLURM's are.
    numbers_jobs: bool,
}

/// The server.
pub struct Fake {
    listener: Listener,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub fn start() -> Self {
        let state = Arc::default();
        Self {
            listener: Listener::start(handler(&state)),
            state,
        }
    }

    /// Starts to listen, again at the same address.
    pub fn up(&mut self) {
        self.listener.up(handler(&self.state));
    }

    /// Stops listening. What it knows stays.
    pub fn down(&mut self) {
        self.listener.down();
    }

    pub fn url(&self) -> String {
        self.listener.url()
    }

    /// The next requests for a path meet these faults, one each.
    pub fn faults(&self, path: &str, faults: &[Fault]) {
        let mut state = self.state.lock();
        state
            .faults
            .entry(path.into())
            .or_default()
            .extend(faults.iter().cloned());
    }

    /// Every request for a path meets this fault, until told otherwise.
    pub fn always(&self, path: &str, fault: Option<Fault>) {
        let mut state = self.state.lock();
        match fault {
            Some(fault) => state.always.insert(path.into(), fault),
            None => state.always.remove(path),
        };
    }

    /// Sets the state of all containers of all jobs.
    pub fn set_all(&self, to: &JobState) {
        for job in self.state.lock().jobs.values_mut() {
            for name in job.containers.clone() {
                job.states.insert(name, to.clone());
            }
        }
    }

    /// Sets the state of the containers of a name, in every job.
    pub fn set(&self, container: &str, to: &JobState) {
        for job in self.state.lock().jobs.values_mut() {
            if job.containers.iter().any(|name| name == container) {
                job.states.insert(container.to_owned(), to.clone());
            }
        }
    }

    /// Says what a container used, as `allocatedResources` has it, from its next status on.
    pub fn says_used(&self, container: &str, resources: Value) {
        let mut state = self.state.lock();
        state.used.insert(container.to_owned(), resources);
    }

    /// Loses every job.
    pub fn forget_jobs(&self) {
        self.state.lock().jobs.clear();
    }

    /// UIDs of the jobs that it has.
    pub fn jobs(&self) -> Vec<String> {
        self.state.lock().jobs.keys().cloned().collect()
    }

    /// Sets the whole log of the containers of a name.
    pub fn set_log(&self, container: &str, log: impl Into<Vec<u8>>) {
        self.state.lock().logs.insert(container.into(), log.into());
    }

    /// Sets what the job of a container wrote. It comes before the container's log.
    pub fn set_job_log(&self, container: &str, log: impl Into<Vec<u8>>) {
        self.state
            .lock()
            .job_logs
            .insert(container.into(), log.into());
    }

    /// The next followed log breaks off after so many bytes.
    pub fn break_logs_after(&self, bytes: usize) {
        self.state.lock().break_logs_after = Some(bytes);
    }

    /// From now on only those containers are spoken of that a question names under
    /// `spec.containers`.
    pub fn speak_as_slurm(&self) {
        self.state.lock().as_slurm = true;
    }

    /// From now on its ids of jobs are numbers: [`JOB_NUMBER`].
    pub fn number_jobs(&self) {
        self.state.lock().numbers_jobs = true;
    }

    /// From now on the containers of new jobs are in this state.
    pub fn begin_jobs_as(&self, state: &JobState) {
        self.state.lock().begins_as = Some(state.clone());
    }

    /// From now on submissions are answered in this form.
    pub fn answer_creates_with(&self, form: CreateForm) {
        self.state.lock().create_form = form;
    }

    /// From now on jobs are left out of answers, or shown again.
    pub fn hide_jobs(&self, hides: bool) {
        self.state.lock().hides_jobs = hides;
    }

    /// From now on pings are answered with this text.
    pub fn answer_pings_with(&self, text: &str) {
        self.state.lock().ping = Some(text.to_owned());
    }

    /// A question that names this job is refused as a whole.
    pub fn spoil_status_with(&self, uid: &str, words: &str) {
        self.state.lock().spoiled = Some((uid.into(), words.into()));
    }

    /// From now on a question that names this job meets a fault, or no more.
    pub fn spoil_status(&self, uid: &str, fault: Option<Fault>) {
        let spoilers = &mut self.state.lock().spoilers;
        match fault {
            Some(fault) => spoilers.insert(uid.into(), fault),
            None => spoilers.remove(uid),
        };
    }

    /// From now on a question about more jobs gets no answer.
    pub fn bear(&self, jobs: usize) {
        self.state.lock().bears = Some(jobs);
    }

    /// From now on only the first job of a question is answered for.
    pub fn answer_first_only(&self, how: FirstOnly) {
        self.state.lock().first_only = Some(how);
    }

    /// From now on only the first container of a job is spoken of.
    pub fn speak_of_first_containers_only(&self) {
        self.state.lock().first_container_only = true;
    }

    /// From now on this is the entry of a job, whatever it is.
    pub fn say_of(&self, uid: &str, entry: Value) {
        self.state.lock().entries.insert(uid.into(), entry);
    }

    /// From now on an answer to /status is given again for so long, whatever the question is.
    pub fn repeat_answers_for(&self, time: Duration) {
        self.state.lock().repeats_for = time;
    }

    /// Of how many pods a log was followed.
    pub fn followed_logs(&self) -> usize {
        let requests = self.requests("/getLogs");
        let followed = requests
            .iter()
            .filter(|request| request["Opts"]["Follow"] == true)
            .map(|request| text(&request["PodUID"]));
        followed.collect::<HashSet<_>>().len()
    }

    /// The bodies that a path was asked with.
    pub fn requests(&self, path: &str) -> Vec<Value> {
        let state = self.state.lock();
        state
            .requests
            .iter()
            .filter(|(to, _)| to == path)
            .map(|(_, body)| body.clone())
            .collect()
    }

    /// The trace contexts that a path was asked with.
    pub fn traces(&self, path: &str) -> Vec<Trace> {
        let state = self.state.lock();
        let asked = state.traces.iter().filter(|(to, _)| to == path);
        asked.map(|(_, trace)| trace.clone()).collect()
    }

    /// Waits until a path was asked so often.
    pub fn wait_for_requests(&self, path: &str, count: usize) -> Vec<Value> {
        wait_for(&format!("{count} requests for {path}"), || {
            Some(self.requests(path)).filter(|requests| requests.len() >= count)
        })
    }
}

fn handler(state: &Arc<Mutex<State>>) -> impl Fn(Request, Responder) + Clone {
    let state = state.clone();
    move |request, responder| handle(&state, &request, responder)
}

fn handle(state: &Mutex<State>, request: &Request, responder: Responder) {
    let path = request.path().to_owned();
    let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let fault = {
        let mut state = state.lock();
        state.requests.push((path.clone(), body.clone()));
        let header = |name: &str| request.header(name).map(str::to_owned);
        let trace = (header("traceparent"), header("tracestate"));
        state.traces.push((path.clone(), trace));
        let next = state.faults.get_mut(&path).and_then(VecDeque::pop_front);
        let fault = next.or_else(|| state.always.get(&path).cloned());
        let fault = fault.or_else(|| spoilt(&state, &path, &body));
        // With the record, under one lock: who has seen a request sees what it did.
        if matches!(
            fault,
            None | Some(Fault::Pass | Fault::DropAfter | Fault::DoneBut(..))
        ) {
            act(&mut state, &path, &body);
        }
        fault
    };
    // Whoever is gone needs no answer.
    let _ = match fault {
        Some(Fault::DropBefore) => return responder.drop_connection(),
        Some(Fault::Hang) => return responder.hang(),
        Some(Fault::Status(status, text) | Fault::DoneBut(status, text)) => {
            responder.text(status, text)
        }
        Some(Fault::Says(status, content_type, body)) => {
            responder.send(status, content_type, body.as_bytes())
        }
        Some(Fault::Answer(text)) => responder.text(200, text),
        Some(Fault::Floods(flood)) => flood.send(responder),
        Some(Fault::DropAfter) => answer(state, &path, &body, responder.cut_all()),
        None | Some(Fault::Pass) => answer(state, &path, &body, responder),
    };
}

/// What a question for states meets because of what it is about.
fn spoilt(state: &State, path: &str, body: &Value) -> Option<Fault> {
    let jobs = body.as_array().filter(|_| path == "/status")?;
    let mut uids = jobs.iter().map(|job| text(&job["metadata"]["uid"]));
    let spoilt = uids.find_map(|uid| state.spoilers.get(&uid).cloned());
    let is_too_much = state.bears.is_some_and(|most| jobs.len() > most);
    spoilt.or(is_too_much.then_some(Fault::Hang))
}

/// What a request changes.
fn act(state: &mut State, path: &str, body: &Value) {
    match path {
        "/create" if !body.is_null() => {
            let spec = &body["pod"]["spec"];
            let list = |key: &str| spec[key].as_array().cloned().unwrap_or_default();
            let containers = [list("initContainers"), list("containers")].concat();
            let job = Job {
                containers: containers.iter().map(|one| text(&one["name"])).collect(),
                states: HashMap::new(),
            };
            let job = match &state.begins_as {
                Some(begins_as) => job.with_all(begins_as),
                None => job,
            };
            let uid = text(&body["pod"]["metadata"]["uid"]);
            state.jobs.insert(uid, job);
        }
        "/delete" => {
            state.jobs.remove(&text(&body["metadata"]["uid"]));
        }
        _ => {}
    }
}

fn answer(
    state: &Mutex<State>,
    path: &str,
    body: &Value,
    responder: Responder,
) -> std::io::Result<()> {
    match path {
        "/create" if body.is_null() => responder.text(400, "this is no JSON"),
        "/create" => {
            let uid = text(&body["pod"]["metadata"]["uid"]);
            let jid = match state.lock().numbers_jobs {
                true => JOB_NUMBER.to_owned(),
                false => format!("jid-{uid}"),
            };
            let form = state.lock().create_form;
            form.answer(&uid, &jid, responder)
        }
        "/delete" => responder.text(200, "deleted"),
        "/status" => {
            let mut state = state.lock();
            let repeats_for = state.repeats_for;
            let answered = state.answered.clone();
            let repeated = answered.filter(|(at, _)| at.elapsed() < repeats_for);
            if let Some((_, statuses)) = repeated {
                drop(state);
                return responder.json(200, &statuses);
            }
            let spoiled = state.spoiled.clone();
            let spoiled = spoiled.filter(|(uid, _)| body.to_string().contains(uid));
            if let Some((_, words)) = spoiled {
                drop(state);
                return responder.text(500, &words);
            }
            let pods = match state.hides_jobs {
                true => Vec::new(),
                false => body.as_array().cloned().unwrap_or_default(),
            };
            let mut statuses: Vec<_> = pods.iter().filter_map(|pod| status(&state, pod)).collect();
            if let Some(how) = state.first_only {
                statuses.truncate(1);
                if how == FirstOnly::Remembers {
                    statuses = remembered(&mut state, &pods, &statuses);
                }
            }
            state.answered = Some((Instant::now(), statuses.clone()));
            drop(state);
            responder.json(200, &statuses)
        }
        "/getLogs" => logs(state, body, responder),
        _ => {
            let ping = state.lock().ping.clone();
            responder.text(200, ping.as_deref().unwrap_or("ok"))
        }
    }
}

/// What a server makes of its plugin's answer: what it heard last of each job.
fn remembered(state: &mut State, pods: &[Value], heard: &[Value]) -> Vec<Value> {
    for entry in heard {
        state.memory.insert(text(&entry["UID"]), entry.clone());
    }
    let uids = pods.iter().map(|pod| text(&pod["metadata"]["uid"]));
    uids.filter_map(|uid| state.memory.get(&uid).cloned())
        .collect()
}

fn status(state: &State, pod: &Value) -> Option<Value> {
    let uid = text(&pod["metadata"]["uid"]);
    let job = state.jobs.get(&uid)?;
    if let Some(entry) = state.entries.get(&uid) {
        return Some(entry.clone());
    }
    let used = &state.used;
    let named = pod["spec"]["containers"].as_array().cloned();
    let named: Vec<_> = named
        .iter()
        .flatten()
        .map(|one| text(&one["name"]))
        .collect();
    let containers: Vec<_> = job
        .containers
        .iter()
        .filter(|name| !state.as_slurm || named.contains(name))
        .take(if state.first_container_only {
            1
        } else {
            usize::MAX
        })
        .map(|name| {
            let state = job.states.get(name).unwrap_or(&JobState::Queued).json();
            json!({
                "name": name, "state": state, "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "allocatedResources": used.get(name.as_str()),
            })
        })
        .collect();
    // A plugin may leave it out; the SLURM plugin does not.
    let jid = match state.numbers_jobs {
        true => JOB_NUMBER,
        false => "",
    };
    Some(json!({
        "name": pod["metadata"]["name"], "UID": uid, "namespace": pod["metadata"]["namespace"],
        "JID": jid, "containers": containers, "initContainers": null,
    }))
}

/// A log as it is; a followed one with what is added to it, until its container has ended.
fn logs(state: &Mutex<State>, body: &Value, responder: Responder) -> std::io::Result<()> {
    use std::io::Write as _;
    let (uid, name) = (text(&body["PodUID"]), text(&body["ContainerName"]));
    let log = |state: &Mutex<State>| state.lock().logs.get(&name).cloned().unwrap_or_default();
    let job_log = state
        .lock()
        .job_logs
        .get(&name)
        .cloned()
        .unwrap_or_default();
    if body["Opts"]["Follow"] != json!(true) {
        return responder.send(200, "text/plain", &[job_log, log(state)].concat());
    }
    let limit = state.lock().break_logs_after.take();
    let mut body = responder.stream(200, "text/plain")?;
    body.write_all(&job_log)?;
    let mut sent = 0;
    loop {
        // A follower sees what the container adds, not what its job does.
        let log = log(state);
        let end = limit.map_or(log.len(), |limit| limit.min(log.len()));
        if sent < end {
            body.write_all(&log[sent..end])?;
            sent = end;
        }
        if limit.is_some_and(|limit| sent >= limit) {
            body.drop_connection();
            return Ok(());
        }
        let ended = match state.lock().jobs.get(&uid) {
            Some(job) => matches!(job.states.get(&name), Some(JobState::Ended(_))),
            None => true,
        };
        if ended || !body.pause(Duration::from_millis(10)) {
            return body.finish();
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
