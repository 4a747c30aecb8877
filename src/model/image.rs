//! Images: references only, nothing is pulled here.

use serde::{Deserialize, Serialize};

use super::Nanos;

/// One image that was "pulled": known under its identity, with the references that lead to it. What comes
/// with the reference is not kept: a kubelet sends along the annotations of the pod that wants the image
/// (`PullImage` in pkg/kubelet/kuberuntime/kuberuntime_image.go), and an image is everybody's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The one identity in every API: `sha256:` and 64 hex digits; the true digest where the
    /// reference has one, else a hash of the normalised reference.
    pub id: String,
    /// Normalised `name:tag` references; none for an image pulled by digest.
    pub repo_tags: Vec<String>,
    /// Normalised `name@digest` references.
    pub repo_digests: Vec<String>,
    /// The reference as the user last wrote it: what the remote side gets.
    pub user_ref: String,
    /// When it was first pulled.
    pub pulled_at: Nanos,
}
