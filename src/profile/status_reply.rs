//! Answers to /status, read entry by entry and field by field: what one plugin writes of one job must
//! not hide the others.
//!
//! An answer is a list of jobs, or one job, or `null`. Of a job its UID, its own id, the states of its
//! containers and what they used are read, and nothing else, so that no other field can be wrong. What is taken, beyond what
//! Kubernetes allows:
//!
//! | what comes | is |
//! |---|---|
//! | a number where a text belongs (the id of a job), a number as a text (`"1"`), as a fraction (`1.0`) | that text, that number |
//! | an exit code that is too large | the largest one there is: not 0 |
//! | no exit code | 0, as in every version of the API |
//! | a time without a zone (`datetime.utcnow().isoformat()` of Python) | UTC; a wrong one is kept between the start and now (`plan::observe`) |
//! | a number as a time | seconds since 1970 |
//! | any other time, Go's zero time, one before 1970 | no time |
//! | an amount of what was used that is none (`allocatedResources`) | not said |
//! | half a surrogate pair, bytes that are no UTF-8 | U+FFFD |
//!
//! An entry with anything else in these fields is unreadable, as a whole: its job is there, and waits. An
//! entry without a UID, `null` for one, may be about any job that is not mentioned; where as many entries
//! came as were asked for, about the one at its place. It says nothing, but it does not deny that job.
//!
//! Jobs that were not asked for are counted and not kept, and of a job not many more containers than it
//! has. So an answer takes a small part of its own bytes, whatever it holds.
//!
//! Of a thousand jobs that run, the next answer says what the last one said. An entry that is, byte for byte, the
//! one that the asker names (`AskedJob::told_before`) is not read again.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use jiff::{civil::DateTime, tz::TimeZone, Timestamp};

use crate::{
    json::{Error, Piece},
    model::{JobUid, Nanos, Used},
    quantity::{self, NotAQuantity},
    text,
};

/// So many containers more than were asked for may be spoken of, of each job: those that have ended, and
/// what the other side adds.
const MORE_CONTAINERS: usize = 64;

/// Most bytes of the word for why a container waits.
const MAX_WORD_BYTES: usize = 128;

/// The end of a termination message, as much as the kubelet reads.
const MAX_MESSAGE_BYTES: usize = 4096;

/// A job in a question to /status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedJob {
    /// Its UID.
    pub uid: JobUid,
    /// How many containers the question names.
    pub containers: usize,
    /// The entry about it in an earlier answer, where the same one would say nothing new.
    pub told_before: Option<EntryHash>,
}

/// An entry of an answer as it was written, hashed. It holds within one run of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryHash(u64);

impl EntryHash {
    fn of(entry: Piece<'_>) -> Self {
        let mut hasher = DefaultHasher::new();
        entry.bytes().hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What an answer to /status says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusReply {
    /// The jobs that were asked for, as far as they are mentioned.
    pub jobs: HashMap<JobUid, ToldJob>,
    /// The entries about these jobs.
    pub entries: HashMap<JobUid, EntryHash>,
    /// Jobs that were not asked for, but are shown.
    pub others: HashSet<JobUid>,
    /// What entries that name no job may be about.
    nameless: Nameless,
}

/// The jobs that entries without a UID may be about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Nameless {
    /// These: their places in the answer are those in the question.
    Some(HashSet<JobUid>),
    /// Any that is not mentioned.
    Any,
}

impl Default for Nameless {
    fn default() -> Self {
        Self::Some(HashSet::new())
    }
}

/// What is said of one job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ToldJob {
    /// Its status.
    Status(WireStatus),
    /// Something that cannot be understood, and why: printable, one line.
    Unreadable(String),
    /// What was said of it before: the entry is `AskedJob::told_before`.
    AsBefore,
}

/// The status of a job, as a plugin writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WireStatus {
    /// The plugin's own id of the job; often empty. One line.
    pub remote_id: String,
    /// The containers that are given a state, init containers first. A container without one is as good
    /// as not mentioned.
    pub containers: Vec<WireContainer>,
}

/// A container in the status of a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WireContainer {
    /// Its name over there.
    pub name: String,
    /// Its state.
    pub state: WireState,
}

/// The state of a container; the latest, where a plugin sets more than one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum WireState {
    /// `{}`.
    #[default]
    Nothing,
    /// `waiting`.
    Waiting {
        /// Why, in a word; one line, perhaps empty.
        reason: String,
        /// Why, in a sentence; one line, perhaps empty.
        message: String,
    },
    /// `running`.
    Running {
        /// `startedAt`.
        since: Option<Nanos>,
    },
    /// `terminated`.
    Ended(Box<WireEnd>),
}

/// `terminated`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WireEnd {
    /// `exitCode`.
    pub code: i32,
    /// `signal`.
    pub signal: Option<i32>,
    /// `reason`: one line, perhaps empty.
    pub reason: String,
    /// `message`: its end, at most as much as a kubelet reads.
    pub message: String,
    /// `startedAt`.
    pub started_at: Option<Nanos>,
    /// `finishedAt`.
    pub finished_at: Option<Nanos>,
    /// What `allocatedResources` says beside it, without the times.
    pub used: Used,
}

impl WireStatus {
    /// Whether a plugin that says this has the job.
    pub fn shows_a_job(&self) -> bool {
        let mut states = self.containers.iter().map(|container| &container.state);
        states.any(|state| *state != WireState::Nothing)
    }
}

impl StatusReply {
    /// Reads the answer to a question about these jobs.
    ///
    /// # Errors
    /// The body as a whole is no list of jobs; says why on one line.
    pub fn read(body: &[u8], asked: &[AskedJob]) -> Result<Self, String> {
        Self::of_body(body, asked).map_err(|error| text::one_line(&error.to_string()))
    }

    fn of_body(body: &[u8], asked: &[AskedJob]) -> Result<Self, Error> {
        let asked_jobs = AskedJobs::of(asked);
        let mut reply = Self::default();
        let body = Piece::of_body(body)?;
        if body.is_object() {
            return match Entry::of(body)?.uid()? {
                Some(_) => {
                    reply.take(body, &asked_jobs);
                    Ok(reply)
                }
                None => Err(Error::Syntax("an object that is no job".to_owned())),
            };
        }
        let mut entries = body.list()?;
        let mut nameless = HashSet::new();
        let (mut count, mut any) = (0, false);
        while let Some(entry) = entries.next_element()? {
            if !reply.take(entry, &asked_jobs) {
                any = true;
                nameless.extend(asked.get(count).map(|job| job.uid));
            }
            count += 1;
        }
        reply.nameless = match any && count != asked.len() {
            true => Nameless::Any,
            false => Nameless::Some(nameless),
        };
        Ok(reply)
    }

    /// The jobs of which the answer says that the plugin has them, whether they were asked for or not.
    pub fn shown(&self) -> HashSet<JobUid> {
        let shown = self.jobs.iter().filter(|(_, told)| match told {
            ToldJob::Status(status) => status.shows_a_job(),
            ToldJob::Unreadable(_) | ToldJob::AsBefore => true,
        });
        let shown = shown.map(|(uid, _)| *uid);
        shown.chain(self.others.iter().copied()).collect()
    }

    /// Whether the answer is about other jobs only than those that were asked for. Where a plugin may
    /// repeat its answers, it is one to another question, and says nothing of this one.
    pub fn is_about_others(&self) -> bool {
        self.jobs.is_empty() && !self.others.is_empty()
    }

    /// Whether the answer denies a job: it does not mention it, and nothing in it may be about it.
    pub fn denies(&self, job: JobUid) -> bool {
        let may_be_meant = match &self.nameless {
            Nameless::Some(jobs) => jobs.contains(&job),
            Nameless::Any => true,
        };
        !self.jobs.contains_key(&job) && !may_be_meant
    }

    /// Takes an entry; false when it names no job.
    fn take(&mut self, entry: Piece<'_>, asked: &AskedJobs) -> bool {
        let hash = EntryHash::of(entry);
        if let Some(uid) = asked.told_before.get(&hash) {
            self.jobs.insert(*uid, ToldJob::AsBefore);
            self.entries.insert(*uid, hash);
            return true;
        }
        let Ok(entry) = Entry::of(entry) else {
            return false;
        };
        let Ok(Some(uid)) = entry.uid() else {
            return false;
        };
        let containers = asked.containers.get(&uid).copied();
        let status = entry.status(containers.unwrap_or_default());
        if containers.is_some() {
            let told = status.map_or_else(
                |error| ToldJob::Unreadable(text::one_line(&error.to_string())),
                ToldJob::Status,
            );
            self.jobs.insert(uid, told);
            self.entries.insert(uid, hash);
        } else if status.as_ref().map_or(true, WireStatus::shows_a_job) {
            self.others.insert(uid);
        }
        true
    }
}

/// The jobs of a question, as an answer's entries look for them.
struct AskedJobs {
    containers: HashMap<JobUid, usize>,
    told_before: HashMap<EntryHash, JobUid>,
}

impl AskedJobs {
    fn of(jobs: &[AskedJob]) -> Self {
        let told_before = |job: &AskedJob| Some((job.told_before?, job.uid));
        Self {
            containers: jobs.iter().map(|job| (job.uid, job.containers)).collect(),
            told_before: jobs.iter().filter_map(told_before).collect(),
        }
    }
}

/// The fields of an entry that matter.
struct Entry<'a> {
    uid: Option<Piece<'a>>,
    remote_id: Option<Piece<'a>>,
    init_containers: Option<Piece<'a>>,
    containers: Option<Piece<'a>>,
}

impl<'a> Entry<'a> {
    fn of(piece: Piece<'a>) -> Result<Self, Error> {
        let [uid, remote_id, init_containers, containers] =
            fields(piece, ["UID", "JID", "initContainers", "containers"])?;
        Ok(Self {
            uid,
            remote_id,
            init_containers,
            containers,
        })
    }

    /// The job that it is about; none where that is no UID.
    fn uid(&self) -> Result<Option<JobUid>, Error> {
        let text = self.uid.map(Piece::text).transpose()?;
        Ok(text.and_then(|text| JobUid::parse(&text)))
    }

    fn status(&self, containers_asked: usize) -> Result<WireStatus, Error> {
        let mut status = WireStatus {
            remote_id: line(self.remote_id)?,
            containers: Vec::new(),
        };
        let most = containers_asked.saturating_add(MORE_CONTAINERS);
        for list in [self.init_containers, self.containers]
            .into_iter()
            .flatten()
        {
            let mut list = list.list()?;
            while let Some(piece) = list.next_element()? {
                let Some(container) = container(piece)? else {
                    continue;
                };
                if status.containers.len() >= most {
                    let why = format!("it speaks of more than {most} containers");
                    return Err(Error::Syntax(why));
                }
                status.containers.push(container);
            }
        }
        Ok(status)
    }
}

/// The fields of these names; the last, where there are more of one.
fn fields<'a, const N: usize>(
    piece: Piece<'a>,
    names: [&str; N],
) -> Result<[Option<Piece<'a>>; N], Error> {
    let mut found = [None; N];
    let mut fields = piece.object()?;
    while let Some((name, value)) = fields.next_field()? {
        if let Some(at) = names.iter().position(|wanted| *wanted == name) {
            found[at] = Some(value).filter(|value| !value.is_null());
        }
    }
    Ok(found)
}

fn container(piece: Piece<'_>) -> Result<Option<WireContainer>, Error> {
    let [name, state, resources] = fields(piece, ["name", "state", "allocatedResources"])?;
    let Some(state) = state else {
        return Ok(None);
    };
    let mut state = self::state(state)?;
    if let (WireState::Ended(end), Some(resources)) = (&mut state, resources) {
        end.used = used(resources);
    }
    Ok(Some(WireContainer {
        name: line(name)?,
        state,
    }))
}

/// What a container used. It decides nothing, so what cannot be read is as good as not said.
fn used(resources: Piece<'_>) -> Used {
    let keys = [Used::CPU_KEY, Used::MEMORY_KEY];
    let Ok([cpu, memory]) = fields(resources, keys) else {
        return Used::default();
    };
    let amount = |piece: Option<Piece<'_>>, parse: fn(&str) -> Result<u64, NotAQuantity>| {
        parse(&piece?.text().ok()?).ok()
    };
    Used {
        // Thousandths of a second are read as those of a core are.
        cpu_millis: amount(cpu, quantity::parse_cpu),
        memory_bytes: amount(memory, quantity::parse_memory),
        ran_millis: None,
    }
}

fn state(piece: Piece<'_>) -> Result<WireState, Error> {
    let [waiting, running, terminated] = fields(piece, ["waiting", "running", "terminated"])?;
    if let Some(terminated) = terminated {
        return Ok(WireState::Ended(Box::new(end(terminated)?)));
    }
    if let Some(running) = running {
        let [started_at] = fields(running, ["startedAt"])?;
        let since = time(started_at);
        return Ok(WireState::Running { since });
    }
    let Some(waiting) = waiting else {
        return Ok(WireState::Nothing);
    };
    let [reason, message] = fields(waiting, ["reason", "message"])?;
    Ok(WireState::Waiting {
        reason: text::one_line_of(&line(reason)?, MAX_WORD_BYTES),
        message: line(message)?,
    })
}

fn end(piece: Piece<'_>) -> Result<WireEnd, Error> {
    let [code, signal, reason, message, started_at, finished_at] = fields(
        piece,
        [
            "exitCode",
            "signal",
            "reason",
            "message",
            "startedAt",
            "finishedAt",
        ],
    )?;
    let number = |piece: Option<Piece<'_>>| {
        let number = piece.map(Piece::whole_number).transpose();
        number.map(Option::flatten)
    };
    let message = message.map(Piece::text).transpose()?.unwrap_or_default();
    Ok(WireEnd {
        code: number(code)?.unwrap_or_default(),
        signal: number(signal)?,
        reason: line(reason)?,
        message: text::end(&message, MAX_MESSAGE_BYTES).to_owned(),
        started_at: time(started_at),
        finished_at: time(finished_at),
        used: Used::default(),
    })
}

/// The text of a field as one line; empty where there is none.
fn line(piece: Option<Piece<'_>>) -> Result<String, Error> {
    let text = piece.map(Piece::text).transpose()?;
    Ok(text::one_line(&text.unwrap_or_default()))
}

/// A time that is one; the table stands at the top of this file.
fn time(piece: Option<Piece<'_>>) -> Option<Nanos> {
    /// The beginning of the year 5138; what is larger is not in seconds.
    const MAX_SECONDS: f64 = 1e11;
    let text = piece?.text().ok()?;
    let text = text.trim();
    let time = match text.parse::<f64>() {
        Ok(seconds) => {
            let seconds = Some(seconds).filter(|it| (0.0..MAX_SECONDS).contains(it))?;
            Timestamp::from_millisecond((seconds * 1e3) as i64).ok()?
        }
        Err(_) => text.parse().ok().or_else(|| without_zone(text))?,
    };
    Some(Nanos::from(time)).filter(|nanos| nanos.0 > 0)
}

fn without_zone(text: &str) -> Option<Timestamp> {
    let time: DateTime = text.parse().ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests;
