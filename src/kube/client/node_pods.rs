//! The list of a node's pods, which comes in parts.

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde::Deserialize;

use super::Client;
use crate::{
    bounded::Weighed,
    kube::{checked_name::subdomain, error::Error},
};

/// Pods that are asked for at once: 40 KiB each would still be an answer that is read.
const PAGE: usize = 100;
/// Parts of a list that are asked for: ten times what a node of Kubernetes may have.
const PAGES: usize = 50;
/// What the pods of a node may take, without what [`LISTED_WITHOUT`] leaves out.
const MAX_LISTED_BYTES: usize = 32 << 20;
/// What a list of pods is read without: what they ask for is wanted, and whether they have ended.
const LISTED_WITHOUT: &[&str] = &[
    "managedFields",
    "annotations",
    "labels",
    "env",
    "envFrom",
    "args",
    "command",
    "volumes",
    "volumeMounts",
    "tolerations",
    "affinity",
    "conditions",
    "containerStatuses",
    "initContainerStatuses",
];

/// A part of a list of pods.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PodPage {
    metadata: PageEnd,
    items: Vec<Pod>,
}

/// Where a part of a list ends.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PageEnd {
    /// What to ask the next part with; empty at the end.
    #[serde(rename = "continue")]
    rest: Option<String>,
}

impl Client {
    /// The specs of the pods that a node has and that have not ended, page by page.
    ///
    /// # Errors
    /// No answer, a refusal, or not a list of pods.
    pub fn live_pods_of(&self, node: &str) -> Result<Vec<PodSpec>, Error> {
        let node = subdomain("node", node)?;
        let too_much = |why: String| Error::Malformed {
            call: format!("reading pods of node {node}"),
            why,
        };
        let mut specs = Vec::new();
        let mut rest = String::new();
        let mut bytes = 0_usize;
        for _ in 0..PAGES {
            let path =
                format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}&limit={PAGE}{rest}");
            let page: Option<Weighed<PodPage>> =
                self.weighed("pods of node", node, path, LISTED_WITHOUT)?;
            let page = page.unwrap_or_default();
            bytes = bytes.saturating_add(page.bytes);
            if bytes > MAX_LISTED_BYTES {
                let why = format!("they would take more than {MAX_LISTED_BYTES} bytes of memory");
                return Err(too_much(why));
            }
            let page = page.object;
            let live = page.items.into_iter().filter(|pod| {
                let phase = pod
                    .status
                    .as_ref()
                    .and_then(|status| status.phase.as_deref());
                !matches!(phase, Some("Succeeded" | "Failed"))
            });
            specs.extend(live.filter_map(|pod| pod.spec));
            match page.metadata.rest {
                Some(token) if !token.is_empty() => {
                    rest = format!("&continue={}", in_query(&token));
                }
                _ => return Ok(specs),
            }
        }
        let most = PAGES * PAGE;
        Err(too_much(format!("the list does not end after {most} pods")))
    }
}

/// A value as it may stand in a URL's query.
fn in_query(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    text.bytes()
        .map(|byte| match plain(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
