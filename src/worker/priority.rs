//! Which worker takes which duties, and which first.
//!
//! What ends something comes first: cancellations, then the rests of logs, of which the ends of containers wait,
//! then submissions. A plugin that takes minutes for each submission, or a server that sends logs slowly, has
//! some of the workers wait, never all.

use std::time::Instant;

use crossbeam_channel::{never, select_biased, unbounded, Receiver, Sender};

use crate::{model::SandboxId, plan::owed::Duty};

/// A duty on its way to a worker.
#[derive(Debug)]
pub struct Task {
    /// The pod sandbox that it is owed to.
    pub sandbox: SandboxId,
    /// What to do for it.
    pub duty: Duty,
    /// Since when it waits for a worker.
    pub since: Instant,
}

/// What duties have in common that wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A cancellation, or something that calls nobody.
    Stop,
    /// Something that fetches logs, or asks about one job.
    Question,
    /// Something on the way to a submission that calls the API server or the plugin.
    Submission,
}

impl Kind {
    fn of(duty: &Duty) -> Self {
        match duty {
            Duty::Cancel(_) | Duty::AbandonLog(_) | Duty::CloseJob(_) => Self::Stop,
            Duty::CompleteLog(_) | Duty::ProveExit(_) | Duty::AskForJob(_) => Self::Question,
            Duty::ReadApiPod(_) | Duty::Submit(_) => Self::Submission,
        }
    }
}

/// The dispatcher's end: it holds at most one duty of each pod.
pub struct Tasks {
    stops: Sender<Task>,
    questions: Sender<Task>,
    submissions: Sender<Task>,
}

/// A worker's end.
pub struct Work {
    stops: Receiver<Task>,
    questions: Receiver<Task>,
    submissions: Receiver<Task>,
}

/// The queues between the dispatcher and so many workers.
pub fn queues(workers: usize) -> (Tasks, Vec<Work>) {
    let (stops, stopping) = unbounded();
    let (questions, asking) = unbounded();
    let (submissions, submitting) = unbounded();
    let work = (0..workers).map(|number| Work {
        stops: stopping.clone(),
        // The second worker asks nothing where there are more, the first one submits nothing.
        questions: match number == 1 && workers > 2 {
            true => never(),
            false => asking.clone(),
        },
        submissions: match number == 0 && workers > 1 {
            true => never(),
            false => submitting.clone(),
        },
    });
    let work = work.collect();
    let tasks = Tasks {
        stops,
        questions,
        submissions,
    };
    (tasks, work)
}

impl Tasks {
    /// Hands out a duty. Without workers the daemon is about to end; the duty is on disk.
    pub fn send(&self, task: Task) {
        let queue = match Kind::of(&task.duty) {
            Kind::Stop => &self.stops,
            Kind::Question => &self.questions,
            Kind::Submission => &self.submissions,
        };
        let _ = queue.send(task);
    }
}

impl Work {
    /// The next duty, the most urgent first; none when the dispatcher has ended.
    pub fn next(&self) -> Option<Task> {
        select_biased! {
            recv(self.stops) -> task => task.ok(),
            recv(self.questions) -> task => task.ok(),
            recv(self.submissions) -> task => task.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContainerId;

    fn sent(tasks: &Tasks) {
        for duty in [
            Duty::Submit(0),
            Duty::CompleteLog(ContainerId::from("c")),
            Duty::Cancel(0),
        ] {
            let sandbox = SandboxId::from("s");
            let since = Instant::now();
            tasks.send(Task {
                sandbox,
                duty,
                since,
            });
        }
    }

    fn taken(work: &Work) -> Option<Kind> {
        work.next().map(|task| Kind::of(&task.duty))
    }

    #[test]
    fn what_ends_something_comes_first() {
        let (tasks, work) = queues(1);
        sent(&tasks);
        let all: Vec<_> = (0..3).map(|_| taken(&work[0])).collect();
        assert_eq!(
            all,
            [
                Some(Kind::Stop),
                Some(Kind::Question),
                Some(Kind::Submission)
            ]
        );
        drop(tasks);
        assert_eq!(taken(&work[0]), None);
    }

    #[test]
    fn nothing_but_stops_takes_all_workers() {
        for (workers, free_of) in [
            (2, &[(0, Kind::Submission)][..]),
            (4, &[(0, Kind::Submission), (1, Kind::Question)]),
        ] {
            let (tasks, work) = queues(workers);
            sent(&tasks);
            for (number, kind) in free_of {
                let first = &work[*number];
                let queue = match kind {
                    Kind::Submission => &first.submissions,
                    _ => &first.questions,
                };
                assert!(queue.try_recv().is_err(), "{workers} {kind:?}");
            }
            let last = &work[workers - 1];
            let all: Vec<_> = (0..3).map(|_| taken(last)).collect();
            assert!(all.contains(&Some(Kind::Submission)), "{all:?}");
        }
    }
}
