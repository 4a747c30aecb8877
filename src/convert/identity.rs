//! Whose a pod's jobs are: the site's mapping, and what becomes of what the pod says itself.
//!
//! A plugin that runs as root makes `runAsUser` the user of the job, so whoever may write pods could be
//! anybody there. Where the site has a mapping, a user comes from there and from nowhere else: what a job's
//! pod says of users and groups is replaced ([`Mapping::apply`]), whatever way it came. A pod that cannot
//! run is refused as early as that is known: when its sandbox is made, when a container is created, or, as
//! only the API server knows a pod's service account, when its job is submitted.

use std::ops::RangeInclusive;

use k8s_openapi::api::core::v1::{Pod as JobsPod, PodSecurityContext, SecurityContext};

use super::{security, Settings};
use crate::{
    config::{
        identity::{id_range, is_within, user_faults, Identity, RunAsUser, Unmapped, User},
        pattern::Pattern,
    },
    kubelet::all_containers,
    proto::{LinuxContainerSecurityContext, LinuxSandboxSecurityContext},
};

/// Why a pod's jobs are nobody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The site does not know them.
    #[error(
        "the site has no user for namespace `{namespace}`{}; ask it for an entry (identity.users)",
        service_account.as_ref().map(|name| format!(" and service account `{name}`")).unwrap_or_default()
    )]
    Unmapped {
        /// The pod's namespace.
        namespace: String,
        /// The pod's service account, where the site asks for it.
        service_account: Option<String>,
    },
    /// Whose they are depends on the service account, which nobody tells.
    #[error(
        "the site's entries for namespace `{namespace}` ask for the service account, which only the API \
         server knows; set `kubernetes.kubeconfig`"
    )]
    NoSource {
        /// The pod's namespace.
        namespace: String,
    },
    /// The pod names somebody else.
    #[error("{field}: {id} is not {whose}; take it out of the pod{}", hint(.allowed))]
    Other {
        /// The field, as a pod's author writes it.
        field: &'static str,
        /// Its value.
        id: i64,
        /// Whom it may name.
        whose: &'static str,
        /// What it may be.
        allowed: Vec<u32>,
    },
    /// The pod names a user or group that no job may have.
    #[error("{field}: no job has {id} here (identity.never); take it out of the pod")]
    Never {
        /// The field, as a pod's author writes it.
        field: &'static str,
        /// Its value.
        id: i64,
    },
}

fn hint(allowed: &[u32]) -> String {
    let allowed: Vec<_> = allowed.iter().map(u32::to_string).collect();
    match allowed.as_slice() {
        [] => String::new(),
        _ => format!(", or write {}", allowed.join(" or ")),
    }
}

/// Whose a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Unix user on the other side.
    pub uid: u32,
    /// The user's group, where the site says it.
    pub gid: Option<u32>,
    /// Further groups.
    pub groups: Vec<u32>,
    /// What pays.
    pub account: Option<String>,
}

/// A pod's service account, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceAccount<'a> {
    /// The API server says so.
    Known(&'a str),
    /// Not asked yet.
    NotAsked,
    /// There is nobody to ask.
    NoSource,
}

/// What the site says of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// Its jobs are this user's.
    Owner(&'a Owner),
    /// No entry fits, and it is not refused for that.
    Unmapped,
    /// It depends on the service account.
    NotYet,
}

/// Users and groups that a pod names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `runAsUser`.
    pub user: Option<i64>,
    /// `runAsGroup`.
    pub group: Option<i64>,
    /// `supplementalGroups`, and `fsGroup` with them.
    pub groups: Vec<i64>,
}

impl Wishes {
    /// Those of a sandbox.
    pub fn of_sandbox(context: &LinuxSandboxSecurityContext) -> Self {
        Self {
            user: context.run_as_user.as_ref().map(|user| user.value),
            group: context.run_as_group.as_ref().map(|group| group.value),
            groups: context.supplemental_groups.clone(),
        }
    }

    /// Those of a container; not what the kubelet takes from our images.
    pub fn of_container(
        context: &LinuxContainerSecurityContext,
        sandbox: &LinuxSandboxSecurityContext,
        settings: &Settings,
    ) -> Self {
        Self {
            user: security::user(context, sandbox, settings),
            group: context.run_as_group.as_ref().map(|group| group.value),
            groups: context.supplemental_groups.clone(),
        }
    }

    fn of_pod(context: &PodSecurityContext) -> Self {
        let groups = context.supplemental_groups.iter().flatten().copied();
        Self {
            user: context.run_as_user,
            group: context.run_as_group,
            groups: groups.chain(context.fs_group).collect(),
        }
    }

    fn of_pod_container(context: &SecurityContext) -> Self {
        Self {
            user: context.run_as_user,
            group: context.run_as_group,
            groups: Vec::new(),
        }
    }
}

/// Whose jobs are, as the site has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    entries: Vec<Entry>,
    on_unmapped: Unmapped,
    run_as_user: RunAsUser,
    never: Vec<RangeInclusive<u32>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    namespace: Pattern,
    /// None fits all.
    service_account: Option<Pattern>,
    owner: Owner,
}

impl Entry {
    fn new(user: &User) -> Option<Self> {
        let service_account = user.service_account.as_deref();
        // One that fits everything needs nobody to ask.
        let service_account = service_account.filter(|pattern| *pattern != "*");
        Some(Self {
            namespace: Pattern::of_names(&user.namespace).ok()?,
            service_account: match service_account {
                Some(pattern) => Some(Pattern::of_names(pattern).ok()?),
                None => None,
            },
            owner: Owner {
                uid: user.uid,
                gid: user.gid,
                groups: user.groups.clone(),
                account: user.account.clone(),
            },
        })
    }
}

impl Mapping {
    /// The mapping of a configuration, with the entries of its file before its own.
    ///
    /// # Errors
    /// What is wrong with the entries.
    pub fn new(from: &Identity, of_file: &[User]) -> Result<Self, String> {
        let never: Vec<_> = from
            .never
            .iter()
            .filter_map(|text| id_range(text))
            .collect();
        let users: Vec<_> = of_file.iter().chain(&from.users).cloned().collect();
        let faults = user_faults(&users, &never);
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        Ok(Self {
            // Those that are none have been found.
            entries: users.iter().filter_map(Entry::new).collect(),
            on_unmapped: from.on_unmapped,
            run_as_user: from.run_as_user,
            never,
        })
    }

    /// What the site says of a pod: the first entry that fits counts.
    ///
    /// # Errors
    /// [`Refusal::Unmapped`], [`Refusal::NoSource`].
    pub fn decide(
        &self,
        namespace: &str,
        account: ServiceAccount<'_>,
    ) -> Result<Decision<'_>, Refusal> {
        let mut asked = false;
        for entry in self
            .entries
            .iter()
            .filter(|entry| entry.namespace.fits(namespace))
        {
            let Some(pattern) = &entry.service_account else {
                return Ok(Decision::Owner(&entry.owner));
            };
            asked = true;
            match account {
                ServiceAccount::Known(name) if pattern.fits(name) => {
                    return Ok(Decision::Owner(&entry.owner));
                }
                ServiceAccount::Known(_) => {}
                ServiceAccount::NotAsked => return Ok(Decision::NotYet),
                ServiceAccount::NoSource => {
                    return Err(Refusal::NoSource {
                        namespace: namespace.to_owned(),
                    });
                }
            }
        }
        match (self.on_unmapped, account) {
            (Unmapped::Ignore | Unmapped::Pass, _) => Ok(Decision::Unmapped),
            (Unmapped::Refuse, account) => Err(Refusal::Unmapped {
                namespace: namespace.to_owned(),
                service_account: match account {
                    ServiceAccount::Known(name) if asked => Some(name.to_owned()),
                    _ => None,
                },
            }),
        }
    }

    /// Whether a pod may name these users and groups.
    ///
    /// # Errors
    /// [`Refusal::Other`], [`Refusal::Never`].
    pub fn check(&self, decision: Decision<'_>, wishes: &Wishes) -> Result<(), Refusal> {
        match (decision, self.run_as_user, self.on_unmapped) {
            (Decision::NotYet, _, _)
            | (Decision::Owner(_), RunAsUser::Ignore, _)
            | (Decision::Unmapped, _, Unmapped::Ignore | Unmapped::Refuse) => Ok(()),
            (Decision::Owner(owner), RunAsUser::MustMatch, _) => check_match(owner, wishes),
            (Decision::Owner(_), RunAsUser::Pass, _) | (Decision::Unmapped, _, Unmapped::Pass) => {
                self.check_never(wishes)
            }
        }
    }

    fn check_never(&self, wishes: &Wishes) -> Result<(), Refusal> {
        for (field, id) in fields(wishes) {
            // Those that are no ids are nobody's.
            if u32::try_from(id).map_or(true, |id| is_within(id, &self.never)) {
                return Err(Refusal::Never { field, id });
            }
        }
        Ok(())
    }

    /// Makes a job's pod the site's: what it says of users and groups is checked again, and replaced.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn apply(&self, decision: Decision<'_>, pod: &mut JobsPod) -> Result<(), Refusal> {
        let Some(spec) = &mut pod.spec else {
            return Ok(());
        };
        let of_pod = spec.security_context.iter().map(Wishes::of_pod);
        let of_containers = all_containers(spec)
            .filter_map(|container| container.security_context.as_ref())
            .map(Wishes::of_pod_container);
        for wishes in of_pod.chain(of_containers) {
            self.check(decision, &wishes)?;
        }
        let (owner, has_its_way) = match decision {
            Decision::Owner(owner) => (Some(owner), self.run_as_user == RunAsUser::Pass),
            Decision::Unmapped if self.on_unmapped == Unmapped::Pass => return Ok(()),
            Decision::Unmapped | Decision::NotYet => (None, false),
        };
        let mut of_pod = spec.security_context.take().unwrap_or_default();
        set_pod(&mut of_pod, owner, has_its_way);
        let inits = spec.init_containers.iter_mut().flatten();
        for container in inits.chain(&mut spec.containers) {
            let mut context = container.security_context.take().unwrap_or_default();
            if has_its_way {
                context.run_as_user = context.run_as_user.or(of_pod.run_as_user);
                context.run_as_group = context.run_as_group.or(of_pod.run_as_group);
            } else {
                context.run_as_user = of_pod.run_as_user;
                context.run_as_group = of_pod.run_as_group;
            }
            container.security_context =
                Some(context).filter(|context| *context != SecurityContext::default());
        }
        spec.security_context =
            Some(of_pod).filter(|context| *context != PodSecurityContext::default());
        Ok(())
    }
}

/// Writes an owner into a pod's context; nobody where the plugin is to choose. `fsGroup` is what volumes
/// belong to, and stays if it is one of the owner's groups.
fn set_pod(context: &mut PodSecurityContext, owner: Option<&Owner>, has_its_way: bool) {
    let uid = owner.map(|owner| i64::from(owner.uid));
    let gid = owner.and_then(|owner| owner.gid).map(i64::from);
    let groups = owner.map(|owner| owner.groups.iter().copied().map(i64::from).collect());
    let groups = groups.filter(|groups: &Vec<_>| !groups.is_empty());
    if has_its_way {
        // The owner's groups are nothing to another user.
        if context.run_as_user.is_none_or(|user| Some(user) == uid) {
            context.run_as_user = uid;
            context.run_as_group = context.run_as_group.or(gid);
            context.supplemental_groups = context.supplemental_groups.take().or(groups);
        }
        return;
    }
    context.run_as_user = uid;
    context.run_as_group = gid;
    context.supplemental_groups = groups;
    let keeps = |group: &i64| owner.is_some_and(|owner| has_group(owner, *group));
    context.fs_group = context.fs_group.filter(keeps);
    if context.fs_group.is_none() {
        context.fs_group_change_policy = None;
    }
}

fn has_group(owner: &Owner, group: i64) -> bool {
    let mut groups = owner.gid.iter().chain(&owner.groups);
    groups.any(|own| i64::from(*own) == group)
}

fn check_match(owner: &Owner, wishes: &Wishes) -> Result<(), Refusal> {
    for (field, id) in fields(wishes) {
        let (is_own, whose, allowed) = match field {
            USER => (
                id == i64::from(owner.uid),
                "the site's user",
                vec![owner.uid],
            ),
            GROUP => {
                let gid = owner.gid.map(i64::from);
                (
                    gid == Some(id),
                    "the site's group",
                    owner.gid.into_iter().collect(),
                )
            }
            _ => {
                let groups = owner.gid.into_iter().chain(owner.groups.iter().copied());
                (
                    has_group(owner, id),
                    "a group of the site's",
                    groups.collect(),
                )
            }
        };
        if !is_own {
            return Err(Refusal::Other {
                field,
                id,
                whose,
                allowed,
            });
        }
    }
    Ok(())
}

const USER: &str = "securityContext.runAsUser";
const GROUP: &str = "securityContext.runAsGroup";
const GROUPS: &str = "securityContext.supplementalGroups or fsGroup";

fn fields(wishes: &Wishes) -> impl Iterator<Item = (&'static str, i64)> + '_ {
    let user = wishes.user.map(|id| (USER, id));
    let group = wishes.group.map(|id| (GROUP, id));
    let groups = wishes.groups.iter().map(|id| (GROUPS, *id));
    user.into_iter().chain(group).chain(groups)
}

#[cfg(test)]
mod tests;
