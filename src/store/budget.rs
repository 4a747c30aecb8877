//! How much the CRI configurations of pods may take. The disk has them as long as the pod has a record, and memory
//! while a job is made of them; a CRI call may bring 16 MiB.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    config::policy::Limits,
    model::{Container, Pod, ENTRY_BYTES},
};

/// More than may be kept, with the figure and the setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OverBudget(String);

/// What is kept, and how much may be.
#[derive(Debug, Default)]
pub struct Budget {
    limits: Limits,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    total: u64,
    by_namespace: HashMap<String, u64>,
}

impl Used {
    fn of_namespace(&self, namespace: &str) -> u64 {
        self.by_namespace.get(namespace).copied().unwrap_or(0)
    }

    fn add(&mut self, namespace: &str, bytes: u64) {
        self.total += bytes;
        *self.by_namespace.entry(namespace.to_owned()).or_default() += bytes;
    }

    fn subtract(&mut self, namespace: &str, bytes: u64) {
        self.total = self.total.saturating_sub(bytes);
        if let Some(used) = self.by_namespace.get_mut(namespace) {
            *used = used.saturating_sub(bytes);
            if *used == 0 {
                self.by_namespace.remove(namespace);
            }
        }
    }
}

/// The difference that a change of a pod makes. What it takes is given back when this goes, unless the
/// change is kept; what it gives is given when it is kept.
#[must_use]
#[derive(Debug)]
pub struct Reserved<'a> {
    budget: &'a Budget,
    namespace: String,
    taken: u64,
    given: u64,
}

impl Reserved<'_> {
    /// The change has been made.
    pub fn keep(mut self) {
        self.taken = 0;
        let mut used = self.budget.used.lock();
        used.subtract(&self.namespace, self.given);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.taken > 0 {
            let mut used = self.budget.used.lock();
            used.subtract(&self.namespace, self.taken);
        }
    }
}

impl Budget {
    /// With these pods, which are kept whether there is room for them or not.
    pub fn new<'a>(limits: Limits, pods: impl Iterator<Item = &'a Pod>) -> Self {
        let mut used = Used::default();
        for pod in pods {
            used.add(&pod.sandbox.namespace, pod_weight(pod));
        }
        Self {
            limits,
            used: Mutex::new(used),
        }
    }

    /// How many images are remembered.
    pub fn max_images(&self) -> usize {
        self.limits.max_images
    }

    /// With other limits.
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Whether a container of a pod may have a configuration that counts so much.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub fn check_container(&self, pod: &Pod, name: &str, bytes: u64) -> Result<(), OverBudget> {
        let most = self.limits.max_container_bytes;
        let what = || format!("container `{name}` would take {bytes} bytes");
        within(pod, bytes, most, "max_container_bytes", what)
    }

    /// Takes what a pod has more than before, or notes what it has less. A new pod has no `before`, one
    /// that is forgotten no `after`.
    ///
    /// # Errors
    /// [`OverBudget`]; a change that takes nothing meets none.
    pub fn reserve(
        &self,
        before: Option<&Pod>,
        after: Option<&Pod>,
    ) -> Result<Reserved<'_>, OverBudget> {
        self.difference(before, after, true)
    }

    /// The same for a change that is made, whether there is room for it or not.
    pub fn note(&self, before: &Pod, after: Option<&Pod>) -> Reserved<'_> {
        match self.difference(Some(before), after, false) {
            Ok(reserved) => reserved,
            Err(_) => self.nothing(),
        }
    }

    fn nothing(&self) -> Reserved<'_> {
        Reserved {
            budget: self,
            namespace: String::new(),
            taken: 0,
            given: 0,
        }
    }

    fn difference(
        &self,
        before: Option<&Pod>,
        after: Option<&Pod>,
        is_checked: bool,
    ) -> Result<Reserved<'_>, OverBudget> {
        let Some(pod) = after.or(before) else {
            return Ok(self.nothing());
        };
        if before
            .zip(after)
            .is_some_and(|(one, other)| is_same(one, other))
        {
            return Ok(self.nothing());
        }
        let [old, new] = [before, after].map(|pod| pod.map_or(0, pod_weight));
        let namespace = &pod.sandbox.namespace;
        let (taken, given) = (new.saturating_sub(old), old.saturating_sub(new));
        let mut used = self.used.lock();
        if is_checked && taken > 0 {
            self.check(before, pod, new)?;
            self.check_all(&used, pod, taken)?;
        }
        used.add(namespace, taken);
        Ok(Reserved {
            budget: self,
            namespace: namespace.to_string(),
            taken,
            given,
        })
    }

    /// What the pod and each of its new containers have.
    fn check(&self, before: Option<&Pod>, pod: &Pod, bytes: u64) -> Result<(), OverBudget> {
        let known = |container: &Container| {
            let old = before.and_then(|before| before.container(&container.id));
            old.is_some_and(|old| std::ptr::eq(&*old.container, container))
        };
        for entry in &pod.containers {
            let container = &entry.container;
            if !known(container) {
                self.check_container(pod, &container.name, container_weight(container))?;
            }
        }
        let what = || format!("its sandbox and containers would take {bytes} bytes");
        within(pod, bytes, self.limits.max_pod_bytes, "max_pod_bytes", what)
    }

    /// What all pods have. What they have now changes from one try to the next, so it is not said.
    fn check_all(&self, used: &Used, pod: &Pod, taken: u64) -> Result<(), OverBudget> {
        let namespace = &pod.sandbox.namespace;
        let (bytes, most) = (
            used.of_namespace(namespace),
            self.limits.max_namespace_bytes,
        );
        let what = || format!("the pods of namespace `{namespace}` on this node would take more");
        within(pod, bytes + taken, most, "max_namespace_bytes", what)?;
        let (bytes, most) = (used.total, self.limits.max_total_bytes);
        let what = || "all pods of this node would take more".to_owned();
        within(pod, bytes + taken, most, "max_total_bytes", what)
    }
}

fn within(
    pod: &Pod,
    bytes: u64,
    most: u64,
    setting: &'static str,
    what: impl FnOnce() -> String,
) -> Result<(), OverBudget> {
    if bytes <= most {
        return Ok(());
    }
    Err(OverBudget(format!(
        "pod `{}`: {}, and `limits.{setting}` allows {most} bytes, of which each variable, argument, \
         mount, label and annotation counts {ENTRY_BYTES} beside its text",
        pod.full_name(),
        what(),
    )))
}

/// What a pod's configurations count.
fn pod_weight(pod: &Pod) -> u64 {
    let sandbox = &pod.sandbox;
    let own = sandbox.config.weight() + sandbox.labels.weight() + sandbox.annotations.weight();
    let containers = pod.containers.iter();
    let containers = containers.map(|entry| container_weight(&entry.container));
    own + containers.sum::<u64>()
}

/// What a container's configuration counts.
fn container_weight(container: &Container) -> u64 {
    container.config.weight() + container.labels.weight() + container.annotations.weight()
}

/// Whether two states of a pod have the same configurations, told without reading them: states share what
/// has not changed.
fn is_same(one: &Pod, other: &Pod) -> bool {
    Arc::ptr_eq(&one.sandbox, &other.sandbox) && records(one).eq(records(other))
}

/// Where the records of a pod's containers are.
fn records(pod: &Pod) -> impl Iterator<Item = *const Container> + '_ {
    pod.containers
        .iter()
        .map(|entry| Arc::as_ptr(&entry.container))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ContainerId, CriConfig, Nanos, Sandbox};

    fn limits() -> Limits {
        Limits {
            max_container_bytes: 400,
            max_pod_bytes: 1000,
            max_namespace_bytes: 1500,
            max_total_bytes: 2000,
            ..Limits::default()
        }
    }

    /// What cannot be read counts its bytes.
    fn bytes(count: usize) -> CriConfig {
        CriConfig::new(vec![0xff; count].into(), [].into())
    }

    fn pod(namespace: &str, count: usize) -> Pod {
        Pod::new(Sandbox {
            id: "s".into(),
            name: "web".to_owned(),
            namespace: namespace.into(),
            uid: "u".to_owned(),
            attempt: 0,
            labels: Default::default(),
            annotations: Default::default(),
            runtime_handler: Default::default(),
            log_directory: String::new(),
            created_at: Nanos(1),
            ip: None,
            is_uid_taken: false,
            config: bytes(count),
        })
    }

    fn with(pod: &Pod, name: &str, count: usize) -> Pod {
        let mut pod = pod.clone();
        pod.add_container(Container {
            id: ContainerId::from(name),
            sandbox_id: pod.sandbox.id.clone(),
            name: name.into(),
            attempt: 0,
            image: Default::default(),
            image_id: Default::default(),
            labels: Default::default(),
            annotations: Default::default(),
            log_path: String::new(),
            created_at: Nanos(1),
            config: bytes(count),
        });
        pod
    }

    fn refusal(reserved: Result<Reserved<'_>, OverBudget>) -> String {
        reserved
            .map(|_| ())
            .map_err(|error| error.to_string())
            .expect_err("refused")
    }

    #[test]
    fn each_budget_is_kept_and_named() {
        let budget = Budget::default().with_limits(limits());
        let empty = pod("lab", 100);
        budget.reserve(None, Some(&empty)).expect("room").keep();
        let large = with(&empty, "large", 401);
        let text = refusal(budget.reserve(Some(&empty), Some(&large)));
        let want = "pod `lab/web`: container `large` would take 401 bytes, and \
                    `limits.max_container_bytes` allows 400 bytes";
        assert!(text.starts_with(want), "{text}");
        let two = with(&with(&empty, "a", 400), "b", 400);
        budget
            .reserve(Some(&empty), Some(&two))
            .expect("room")
            .keep();
        let text = refusal(budget.reserve(Some(&two), Some(&with(&two, "c", 200))));
        assert!(
            text.contains("would take 1100 bytes, and `limits.max_pod_bytes` allows 1000"),
            "{text}"
        );
        let text = refusal(budget.reserve(None, Some(&pod("lab", 601))));
        assert!(
            text.contains("namespace `lab`") && text.contains("allows 1500"),
            "{text}"
        );
        let other = pod("other", 1000);
        budget.reserve(None, Some(&other)).expect("room").keep();
        let text = refusal(budget.reserve(None, Some(&pod("third", 101))));
        assert!(
            text.contains("`limits.max_total_bytes` allows 2000"),
            "{text}"
        );
        // What was refused took nothing, and what is gone gives its room back.
        budget
            .reserve(Some(&two), None)
            .expect("it takes nothing")
            .keep();
        budget
            .reserve(None, Some(&pod("third", 1000)))
            .expect("room")
            .keep();
        assert_eq!(budget.used.lock().total, 2000);
        assert_eq!(budget.used.lock().by_namespace.get("lab"), None);
    }

    #[test]
    fn a_change_that_the_disk_refused_gives_back_what_it_took() {
        let budget = Budget::default().with_limits(limits());
        let one = pod("lab", 900);
        drop(budget.reserve(None, Some(&one)).expect("room"));
        assert_eq!(budget.used.lock().total, 0);
        budget.reserve(None, Some(&one)).expect("room").keep();
        drop(budget.reserve(Some(&one), None).expect("it takes nothing"));
        assert_eq!(budget.used.lock().total, 900, "what was not removed stays");
    }

    #[test]
    fn pods_from_the_disk_are_kept_and_shrink_whatever_the_limits_are() {
        let large = with(&pod("lab", 3000), "a", 3000);
        let budget = Budget::new(limits(), [&large].into_iter());
        assert_eq!(budget.used.lock().total, 6000);
        let smaller = pod("lab", 3000);
        budget
            .reserve(Some(&large), Some(&smaller))
            .expect("less")
            .keep();
        assert_eq!(budget.used.lock().total, 3000);
        budget.note(&smaller, None).keep();
        assert_eq!(budget.used.lock().total, 0);
    }
}
