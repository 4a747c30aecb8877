//! The calls to the API server: what is read here, object by object; the others have files of their own.

mod node_pods;
mod transport;
mod writes;

use std::{path::Path, sync::Arc};

use k8s_openapi::api::core::v1::{
    ConfigMap, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret,
};
use serde::de::DeserializeOwned;
use ureq::http::Method;

pub use self::transport::Limits;

use self::transport::{Outgoing, Transport};
use super::{
    checked_name::{namespace, subdomain},
    error::Error,
};
use crate::bounded::{self, Budget, Held, InFlight, Weighed};

/// Who has set which field is often more than all the rest, and nobody here wants to know.
const WITHOUT: &[&str] = &["managedFields"];

/// Talks to one API server. Blocking, and shared by all threads: no lock is held while a call
/// waits. Each call has the same effect twice as once, so `transport` may make it once more.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    /// For the answers that are being read.
    room: Arc<InFlight>,
}

impl Client {
    /// Reads nothing yet: a daemon may start before its kubelet has credentials.
    pub fn new(kubeconfig: &Path, limits: Limits) -> Self {
        Self {
            transport: Transport::new(kubeconfig, limits),
            room: InFlight::new(usize::MAX),
        }
    }

    /// Takes room for the answers that are being read here.
    #[must_use]
    pub fn with_room(self, room: Arc<InFlight>) -> Self {
        Self { room, ..self }
    }

    /// Whether the kubeconfig and its files can be used now. Connects to nothing.
    ///
    /// # Errors
    /// What is wrong with them, as every call would say.
    pub fn check(&self) -> Result<(), Error> {
        self.transport.check()
    }

    /// Reads a pod, and says what it takes; `None` when there is none of this name.
    ///
    /// Like all objects it comes without `metadata.managedFields`, which can be larger than all the rest.
    ///
    /// # Errors
    /// No answer, a refusal, or not a pod.
    pub fn pod(&self, in_namespace: &str, name: &str) -> Result<Option<Weighed<Pod>>, Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("pod", name)?;
        let path = format!("/api/v1/namespaces/{place}/pods/{name}");
        self.weighed("pod", &format!("{place}/{name}"), path, WITHOUT)
    }

    /// Reads a ConfigMap; `None` when there is none of this name. A node may read those that its
    /// own pods name.
    ///
    /// # Errors
    /// No answer, a refusal, or not a ConfigMap.
    pub fn config_map(&self, in_namespace: &str, name: &str) -> Result<Option<ConfigMap>, Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("ConfigMap", name)?;
        let path = format!("/api/v1/namespaces/{place}/configmaps/{name}");
        self.read("ConfigMap", &format!("{place}/{name}"), path)
    }

    /// Reads a Secret; `None` when there is none of this name. A node may read those that its own
    /// pods name.
    ///
    /// # Errors
    /// No answer, a refusal, or not a Secret.
    pub fn secret(&self, in_namespace: &str, name: &str) -> Result<Option<Secret>, Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("Secret", name)?;
        let path = format!("/api/v1/namespaces/{place}/secrets/{name}");
        self.read("Secret", &format!("{place}/{name}"), path)
    }

    /// Reads a claim; `None` when there is none of this name. A node may read those that its own
    /// pods name.
    ///
    /// # Errors
    /// No answer, a refusal, or not a claim.
    pub fn claim(
        &self,
        in_namespace: &str,
        name: &str,
    ) -> Result<Option<PersistentVolumeClaim>, Error> {
        let place = namespace(in_namespace)?;
        let name = subdomain("claim", name)?;
        let path = format!("/api/v1/namespaces/{place}/persistentvolumeclaims/{name}");
        self.read("claim", &format!("{place}/{name}"), path)
    }

    /// Reads a persistent volume; `None` when there is none of this name. A node may read those
    /// that claims of its own pods are bound to.
    ///
    /// # Errors
    /// No answer, a refusal, or not a persistent volume.
    pub fn persistent_volume(&self, name: &str) -> Result<Option<PersistentVolume>, Error> {
        let name = subdomain("persistent volume", name)?;
        let path = format!("/api/v1/persistentvolumes/{name}");
        self.read("persistent volume", name, path)
    }

    /// Reads a node; `None` when there is none of this name. A node may read itself.
    ///
    /// # Errors
    /// No answer, a refusal, or not a node.
    pub fn node(&self, name: &str) -> Result<Option<Node>, Error> {
        let name = subdomain("node", name)?;
        self.read("node", name, format!("/api/v1/nodes/{name}"))
    }

    fn read<T: DeserializeOwned>(
        &self,
        kind: &str,
        name: &str,
        path: String,
    ) -> Result<Option<T>, Error> {
        let found = self.weighed(kind, name, path, WITHOUT)?;
        Ok(found.map(|found| found.object))
    }

    /// Reads an object without fields of some names, and says what it takes.
    fn weighed<T: DeserializeOwned>(
        &self,
        kind: &str,
        name: &str,
        path: String,
        without: &'static [&'static str],
    ) -> Result<Option<Weighed<T>>, Error> {
        let out = Outgoing {
            call: format!("reading {kind} {name}"),
            method: Method::GET,
            path,
            body: None,
        };
        let body = match self.transport.call(&out) {
            Err(error) if error.is_not_found() => return Ok(None),
            other => other?,
        };
        // Until it is read it may take so much.
        let _held = self.hold(&out.call, 4 * body.len())?;
        let budget = Budget::for_text(body.len()).without(without);
        let why = match bounded::from_json_within(&body, &budget) {
            Ok(object) => return Ok(Some(object)),
            // The error's own text may quote the answer.
            Err(bounded::Error::Json(error)) => format!(
                "the answer is not a {kind}, from line {} column {} on",
                error.line(),
                error.column()
            ),
            Err(error @ bounded::Error::TooMuch { .. }) => format!("the answer: {error}"),
        };
        let call = out.call;
        Err(Error::Malformed { call, why })
    }

    fn hold(&self, call: &str, bytes: usize) -> Result<Held, Error> {
        self.room.hold(bytes).map_err(|why| Error::NoRoom {
            call: call.to_owned(),
            why,
        })
    }
}
