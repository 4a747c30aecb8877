//! How the plugins of each profile speak: what they make of what they are asked, as
//! `src/profile/table.rs` has it of each. The local plugin does the work behind them.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::{json, Value};

use crate::{client::Answer, support::CreateForm};

/// How long an answer to /status is repeated by plugins that do so. The SLURM plugin does it for 10 s;
/// with a second `unsure_grace` can be short as well.
const REPEATS_FOR: Duration = Duration::from_secs(1);
/// How long a job of a gang is not shown: as if its last pod had come then.
const GANG_COMES_AFTER: Duration = Duration::from_millis(800);

/// What is done about a question for a pod that the plugin does not know.
#[derive(Clone, Copy, Debug)]
enum Unknown {
    LeftOut,
    /// The whole question is refused, in these words.
    Refused(u16, &'static str),
}

/// The pods of a question that are answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    All,
    /// The first one. A server in front may add what it was told before of the others.
    First {
        with_stale_rest: bool,
    },
}

/// The containers that are spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    All,
    /// Those that the question names under `spec.containers`.
    Named,
    /// No init containers.
    Mains,
}

/// The containers of a pod that are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    All,
    /// No init containers, and of the others one.
    First,
    Last,
}

/// What there is of logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    Followed,
    /// All of it each time, whatever is asked for.
    Whole,
    /// None; this is answered in its place.
    Missing(&'static str),
}

/// What jobs are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ids {
    Local,
    Words,
    Numbers,
}

/// How a plugin speaks.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Its profile.
    pub profile: &'static str,
    /// Whether `interlink.plugin` names it, or is `auto`.
    pub is_named: bool,
    /// Whether there is no interLink server in front of it.
    pub is_direct: bool,
    created: CreateForm,
    /// Every other job is accepted without an id, and shown later.
    has_gangs: bool,
    takes_lists: bool,
    unknown: Unknown,
    answered: Answered,
    spoken: Spoken,
    run: Run,
    pub logs: Logs,
    ids: Ids,
    repeats: bool,
    tells_times: bool,
    ping: Option<&'static str>,
}

pub const LOCAL: Habits = Habits {
    profile: "local",
    is_named: false,
    is_direct: false,
    created: CreateForm::Object,
    has_gangs: false,
    takes_lists: false,
    unknown: Unknown::LeftOut,
    answered: Answered::All,
    spoken: Spoken::All,
    run: Run::All,
    logs: Logs::Followed,
    ids: Ids::Local,
    repeats: false,
    tells_times: true,
    ping: None,
};

const NAMELESS: Habits = Habits {
    ids: Ids::Words,
    ..LOCAL
};

/// Of all the profiles. HTCondor's job ids are numbers, too; with those of others it is asked more often.
const ALL: [Habits; 8] = [
    LOCAL,
    Habits {
        profile: "kubernetes",
        spoken: Spoken::Mains,
        logs: Logs::Whole,
        ..NAMELESS
    },
    Habits {
        profile: "docker",
        unknown: Unknown::Refused(
            404,
            "DIND container with UUID  not found. Maybe it was deleted or never existed.",
        ),
        logs: Logs::Whole,
        tells_times: false,
        ..NAMELESS
    },
    Habits {
        profile: "htcondor",
        created: CreateForm::Wrapped201,
        unknown: Unknown::Refused(
            500,
            r#"{"error": "Internal error: list index out of range"}"#,
        ),
        answered: Answered::First {
            with_stale_rest: true,
        },
        run: Run::Last,
        logs: Logs::Missing("NOT IMPLEMENTED"),
        ping: Some(r#"{"message": "HTCondor sidecar is alive", "status": "healthy"}"#),
        ..NAMELESS
    },
    Habits {
        profile: "unicore",
        created: CreateForm::JobIdInList,
        takes_lists: true,
        answered: Answered::First {
            with_stale_rest: false,
        },
        run: Run::First,
        logs: Logs::Missing("NOT IMPLEMENTED"),
        ..NAMELESS
    },
    Habits {
        profile: "sdk",
        created: CreateForm::List,
        has_gangs: true,
        takes_lists: true,
        unknown: Unknown::Refused(404, r#"{"detail":"No containers found for UUID"}"#),
        answered: Answered::First {
            with_stale_rest: true,
        },
        spoken: Spoken::Mains,
        run: Run::First,
        logs: Logs::Whole,
        tells_times: false,
        ..NAMELESS
    },
    Habits {
        profile: "nats",
        takes_lists: true,
        logs: Logs::Whole,
        ..NAMELESS
    },
    SLURM,
];

const SLURM: Habits = Habits {
    profile: "slurm",
    spoken: Spoken::Named,
    ids: Ids::Numbers,
    repeats: true,
    ..LOCAL
};

impl Habits {
    /// The plugin of a campaign: half of them are named, and of those half are spoken to without a
    /// server. `which` counts through the profiles; a short campaign leaves out SLURM, which is asked
    /// every 10 s only.
    pub fn draw(which: u64, is_short: bool, rng: &mut Rng) -> Self {
        let wanted = std::env::var("CHAOS_PLUGIN").ok();
        let count = ALL.len() - usize::from(is_short);
        let which = usize::try_from(which % count as u64).unwrap_or_default();
        let named = |name: String| ALL.iter().find(|habits| habits.profile == name);
        let mut habits = match wanted {
            Some(name) => *named(name).expect("CHAOS_PLUGIN is a profile"),
            None => ALL[which],
        };
        habits.is_named = rng.bool();
        habits.is_direct = habits.is_named && rng.bool();
        if !habits.is_named {
            habits.be_bearable();
        }
        if habits.is_direct && habits.created == CreateForm::Wrapped201 {
            habits.created = CreateForm::Plain201;
        }
        if habits.is_direct && habits.answered != Answered::All {
            habits.answered = Answered::First {
                with_stale_rest: false,
            };
        }
        habits
    }

    /// What nobody can tell from what a plugin says has to be configured: where `interlink.plugin` is
    /// `auto`, it runs all containers.
    fn be_bearable(&mut self) {
        self.run = Run::All;
        if self.spoken == Spoken::Mains {
            // A failed init container would not be heard of.
            self.spoken = Spoken::All;
        }
    }

    /// The settings that the daemon needs for it, below `[interlink]`.
    pub fn settings(&self) -> String {
        match self.is_named {
            true => format!("plugin = '{}'\ndirect = {}\n", self.profile, self.is_direct),
            false => String::new(),
        }
    }

    /// Whether nothing can be said of what is in logs: before the plugin is recognised, what it says in
    /// the place of a log may pass for one.
    pub fn are_logs_doubtful(&self) -> bool {
        !self.is_named && matches!(self.logs, Logs::Missing(_))
    }

    /// Whether a job that is a whole pod hides that an init container has failed.
    pub fn are_inits_silent(&self) -> bool {
        self.spoken != Spoken::All
    }

    pub fn ping(&self) -> Option<&'static str> {
        self.ping
    }

    /// The request for a pod, as the plugin takes it; none where it is not in the form that it takes.
    pub fn taken(&self, body: &Value) -> Option<Value> {
        let mut request = match (self.is_direct && self.takes_lists, body) {
            (true, Value::Array(list)) => list.first()?.clone(),
            (false, Value::Object(_)) => body.clone(),
            _ => return None,
        };
        if self.run != Run::All {
            let spec = request["pod"]["spec"].as_object_mut()?;
            spec.remove("initContainers");
            let containers = spec.get_mut("containers")?.as_array_mut()?;
            let keep = match self.run {
                Run::Last => containers.pop()?,
                _ => containers.swap_remove(0),
            };
            *containers = vec![keep];
        }
        Some(request)
    }

    /// The answer to a submission that the local plugin has answered.
    pub fn created(&self, answer: Answer) -> Answer {
        let told = answer.json();
        let uid = text(&told["PodUID"]);
        let form = match self.has_gangs && is_of_a_gang(&uid) {
            true => CreateForm::EmptyId,
            false => self.created,
        };
        let (status, body) = form.say(&uid, &self.id(&text(&told["PodJID"])));
        Answer {
            status,
            body: body.into_bytes(),
            is_whole: true,
        }
    }

    /// The job's id, made from that of the local plugin.
    fn id(&self, local: &str) -> String {
        let digits = local.trim_start_matches("local-");
        match self.ids {
            Ids::Local => local.to_owned(),
            Ids::Words => format!("job-{digits}"),
            Ids::Numbers => {
                let number = u64::from_str_radix(digits, 16).unwrap_or_default();
                number.to_string()
            }
        }
    }
}

impl fmt::Display for Habits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = match self.is_named {
            true => self.profile,
            false => "auto",
        };
        let server = match self.is_direct {
            true => "no server",
            false => "a server",
        };
        let profile = self.profile;
        write!(
            f,
            "a plugin like `{profile}` behind {server}, interlink.plugin = \"{set}\""
        )
    }
}

/// What is remembered of answers, by the plugin or by a server in front of it.
#[derive(Default)]
pub struct Memory {
    /// The last answer, where it is repeated.
    last: Option<(Instant, Value)>,
    /// What was told last of each job.
    told: HashMap<String, Value>,
    /// When jobs of gangs were accepted.
    accepted: HashMap<String, Instant>,
}

impl Memory {
    /// A job was accepted.
    pub fn accept(&mut self, uid: &str) {
        self.accepted.insert(uid.to_owned(), Instant::now());
    }

    /// A job was deleted.
    pub fn forget(&mut self, uid: &str) {
        self.told.remove(uid);
        self.accepted.remove(uid);
    }

    /// The answer that is given again, if one is.
    pub fn repeated(&self, habits: &Habits) -> Option<Value> {
        let (at, answer) = self.last.as_ref().filter(|_| habits.repeats)?;
        (at.elapsed() < REPEATS_FOR).then(|| answer.clone())
    }

    /// What the plugin asks itself: the question, or its beginning.
    pub fn asked(habits: &Habits, question: &Value) -> Value {
        match (habits.answered, question) {
            (Answered::First { .. }, Value::Array(pods)) => pods.iter().take(1).cloned().collect(),
            _ => question.clone(),
        }
    }

    /// The answer to a question, made from that of the local plugin.
    pub fn answer(
        &mut self,
        habits: &Habits,
        question: &Value,
        mut jobs: Vec<Value>,
    ) -> (u16, Value) {
        jobs.retain(|job| {
            let uid = text(&job["UID"]);
            let waits = habits.has_gangs && is_of_a_gang(&uid);
            let since = self.accepted.get(&uid).filter(|_| waits);
            since.is_none_or(|at| at.elapsed() >= GANG_COMES_AFTER)
        });
        let asked = Self::asked(habits, question);
        let is_shown = |uid: &str| jobs.iter().any(|job| job["UID"] == uid);
        if let Unknown::Refused(status, words) = habits.unknown {
            if uids(&asked).any(|uid| !is_shown(&uid)) {
                return (status, Value::String(words.to_owned()));
            }
        }
        for job in &mut jobs {
            habits.tell(question, job);
            self.told.insert(text(&job["UID"]), job.clone());
        }
        if let Answered::First {
            with_stale_rest: true,
        } = habits.answered
        {
            let rest = uids(question).skip(1);
            jobs.extend(rest.filter_map(|uid| self.told.get(&uid).cloned()));
        }
        let answer = Value::Array(jobs);
        self.last = Some((Instant::now(), answer.clone()));
        (200, answer)
    }
}

impl Habits {
    /// What is said of a job.
    fn tell(&self, question: &Value, job: &mut Value) {
        job["JID"] = json!(self.id(&text(&job["JID"])));
        if self.spoken != Spoken::All {
            let inits = job["initContainers"].take();
            let mains = job["containers"].take();
            let mut containers = mains.as_array().cloned().unwrap_or_default();
            if self.spoken == Spoken::Named {
                containers.splice(0..0, inits.as_array().cloned().unwrap_or_default());
                let pods = question.as_array().into_iter().flatten();
                let mut pods = pods.filter(|pod| pod["metadata"]["uid"] == job["UID"]);
                let named = pods
                    .next()
                    .and_then(|pod| pod["spec"]["containers"].as_array());
                containers.retain(|container| {
                    let mut named = named.into_iter().flatten();
                    named.any(|other| other["name"] == container["name"])
                });
            }
            job["containers"] = Value::Array(containers);
        }
        if !self.tells_times {
            for kind in ["containers", "initContainers"] {
                for container in job[kind].as_array_mut().into_iter().flatten() {
                    if let Some(end) = container["state"]["terminated"].as_object_mut() {
                        end.remove("startedAt");
                        end.remove("finishedAt");
                    }
                }
            }
        }
    }
}

fn uids(question: &Value) -> impl Iterator<Item = String> + '_ {
    let pods = question.as_array().into_iter().flatten();
    pods.map(|pod| text(&pod["metadata"]["uid"]))
}

/// Every other job, by its UID.
fn is_of_a_gang(uid: &str) -> bool {
    uid.bytes().last().is_some_and(|byte| byte % 2 == 0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
