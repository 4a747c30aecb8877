//! Whose jobs are, as the site has it now. The rules are pure and lie in `convert::identity` and
//! `profile::Restrictions`; this room keeps what they need at hand: the entries of the configuration, and
//! those of the file beside it, which is read again when it changes (`users_file`).
//!
//! A site without entries decides nothing, and everything here says yes.

mod users_file;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod as JobsPod;

use self::users_file::UsersFile;
use crate::{
    config::{identity::Identity, pattern::BadPattern, Config},
    convert::{
        identity::{self, Decision, Mapping, Owner, ServiceAccount, Wishes},
        Settings,
    },
    model::StringMap,
    net,
    plan::limits::NamespaceLimits,
    profile::{self, Author, Restrictions},
    proto::{LinuxContainerSecurityContext, LinuxSandboxSecurityContext},
};

/// Why a pod's jobs cannot be submitted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod would be somebody else's, or nobody's.
    #[error(transparent)]
    Refused(#[from] identity::Refusal),
    /// One of its annotations is not allowed.
    #[error(transparent)]
    Annotation(#[from] profile::Refusal),
    /// The file with the users is of no use.
    #[error("the site's users are not known")]
    File(#[from] net::Error),
    /// The API server has not said what the pod's service account is.
    #[error(
        "whose jobs these are depends on the pod's service account, and the API server has not said it"
    )]
    NoServiceAccount,
}

impl Error {
    /// Whether the same may go well later, without a change of the pod.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::File(_) | Self::NoServiceAccount)
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// A pattern is none.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// An entry is one that no job may have.
    #[error("{0}")]
    Entry(String),
}

/// Whose jobs are.
#[derive(Debug, Default)]
pub struct SiteUsers(Option<Mapped>);

#[derive(Debug)]
struct Mapped {
    mapping: Source,
    restrictions: Restrictions,
    /// Whether the API server can be asked for service accounts.
    has_source: bool,
    limits: NamespaceLimits,
}

#[derive(Debug)]
enum Source {
    Fixed(Arc<Mapping>),
    File(Box<UsersFile>),
}

impl Mapped {
    fn mapping(&self) -> Result<Arc<Mapping>, Error> {
        match &self.mapping {
            Source::Fixed(mapping) => Ok(mapping.clone()),
            Source::File(file) => Ok(file.mapping()?),
        }
    }

    /// A service account before the API server was asked.
    fn not_asked(&self) -> ServiceAccount<'static> {
        match self.has_source {
            true => ServiceAccount::NotAsked,
            false => ServiceAccount::NoSource,
        }
    }
}

/// A pod, as far as it matters whose its jobs are.
#[derive(Clone, Copy, Debug)]
pub struct PodFacts<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its own annotations.
    pub annotations: &'a StringMap,
}

impl SiteUsers {
    /// What the configuration says.
    ///
    /// # Errors
    /// Entries or patterns that cannot be used. The file is not looked at yet: it may come later.
    pub fn new(config: &Config) -> Result<Self, BadSettings> {
        let settings: &Identity = &config.identity;
        if !settings.is_mapped() {
            return Ok(Self(None));
        }
        let fixed = Mapping::new(settings, &[]).map_err(BadSettings::Entry)?;
        Ok(Self(Some(Mapped {
            mapping: match &settings.users_file {
                Some(path) => Source::File(Box::new(UsersFile::new(path, settings))),
                None => Source::Fixed(Arc::new(fixed)),
            },
            restrictions: Restrictions::new(settings)?,
            has_source: config.kubernetes.kubeconfig.is_some(),
            limits: NamespaceLimits::new(&config.limits),
        })))
    }

    /// Whether the site decides whose jobs are.
    pub fn is_mapped(&self) -> bool {
        self.0.is_some()
    }

    /// Looks at a new sandbox. What depends on the service account is left for later.
    ///
    /// # Errors
    /// The pod would be somebody else's, or nobody's, or has annotations that are not allowed.
    pub fn check_sandbox(
        &self,
        pod: PodFacts<'_>,
        context: &LinuxSandboxSecurityContext,
        settings: &Settings,
    ) -> Result<(), Error> {
        let Some(site) = &self.0 else {
            return Ok(());
        };
        let mapping = site.mapping()?;
        let decision = mapping.decide(pod.namespace, site.not_asked())?;
        mapping.check(decision, &Wishes::of_sandbox(context))?;
        site.check_annotations(pod, decision, settings)
    }

    /// Looks at a new container.
    ///
    /// # Errors
    /// It would be somebody else's, or nobody's.
    pub fn check_container(
        &self,
        namespace: &str,
        context: &LinuxContainerSecurityContext,
        sandbox: &LinuxSandboxSecurityContext,
        settings: &Settings,
    ) -> Result<(), Error> {
        let Some(site) = &self.0 else {
            return Ok(());
        };
        let mapping = site.mapping()?;
        let decision = mapping.decide(namespace, site.not_asked())?;
        let wishes = Wishes::of_container(context, sandbox, settings);
        Ok(mapping.check(decision, &wishes)?)
    }

    /// Whose a pod's jobs are; nobody's as far as that is not known, or the site says nothing of it.
    pub fn owner(&self, namespace: &str, service_account: Option<&str>) -> Option<Owner> {
        let site = self.0.as_ref()?;
        let mapping = site.mapping().ok()?;
        let account = service_account.map_or(site.not_asked(), ServiceAccount::Known);
        match mapping.decide(namespace, account).ok()? {
            Decision::Owner(owner) => Some(owner.clone()),
            Decision::Unmapped | Decision::NotYet => None,
        }
    }

    /// Makes a job's pod the site's, and tells whose it is; nobody's where the site says nothing of it.
    /// `service_account` is what the API server says, as far as it was asked.
    ///
    /// # Errors
    /// The job would be somebody else's, or nobody's.
    pub fn apply(
        &self,
        pod: PodFacts<'_>,
        service_account: Option<&str>,
        settings: &Settings,
        job: &mut JobsPod,
    ) -> Result<Option<Owner>, Error> {
        let Some(site) = &self.0 else {
            return Ok(None);
        };
        let mapping = site.mapping()?;
        let account = service_account.map_or(site.not_asked(), ServiceAccount::Known);
        let decision = mapping.decide(pod.namespace, account)?;
        site.check_annotations(pod, decision, settings)?;
        if decision == Decision::NotYet {
            return Err(Error::NoServiceAccount);
        }
        mapping.apply(decision, job)?;
        let Decision::Owner(owner) = decision else {
            return Ok(None);
        };
        if let Some(account) = &owner.account {
            profile::set_account(&mut job.metadata, account);
        }
        Ok(Some(owner.clone()))
    }
}

impl Mapped {
    fn check_annotations(
        &self,
        pod: PodFacts<'_>,
        decision: Decision<'_>,
        settings: &Settings,
    ) -> Result<(), Error> {
        let author = Author {
            namespace: pod.namespace,
            account: match decision {
                Decision::Owner(owner) => owner.account.as_deref(),
                Decision::Unmapped | Decision::NotYet => None,
            },
            is_limited: self
                .limits
                .of(pod.namespace)
                .is_some_and(|limit| limit.is_of_resources()),
        };
        // One that is not sent does no harm.
        let sent = pod.annotations.iter();
        let sent = sent.filter(|(key, _)| settings.metadata.sends_annotation(key));
        Ok(self.restrictions.check(&author, sent)?)
    }
}

#[cfg(test)]
mod tests;
