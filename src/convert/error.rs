//! Why a CRI message cannot become a remote pod.

use crate::{config::pattern::BadPattern, quantity::NotAQuantity};

/// What is wrong with a request, or what a remote job cannot give.
///
/// A text names the field, volume or variable and tells what to do; the caller says which call,
/// container and pod it was about. Texts are stable: the kubelet deduplicates events by them.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// A text that is no image reference.
    #[error("image reference `{text}`: {fault}")]
    ImageRef {
        /// The reference, cut when it is very long.
        text: String,
        fault: &'static str,
    },
    /// A text that is no amount.
    #[error(transparent)]
    Quantity(#[from] NotAQuantity),
    /// A pod annotation that means something to us, with a value that it cannot have.
    #[error("annotation `{key}`: {fault}")]
    Annotation {
        key: String,
        /// What is wrong, or what to write.
        fault: &'static str,
    },
    /// A pod annotation that names images, with what is no reference in it.
    #[error("annotation `{key}`: {fault}")]
    ImageAnnotation {
        /// Its key.
        key: String,
        /// What is wrong with which reference.
        fault: Box<Self>,
    },
    /// A pattern in the configuration that is none.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// An environment variable that cannot be passed on.
    #[error("environment variable `{name}`: {fault}")]
    Env {
        /// Its name, as far as that is text.
        name: String,
        fault: &'static str,
    },
    /// A mount that contradicts itself or points nowhere.
    #[error("mount at `{container_path}`: {fault}")]
    Mount {
        /// Where it was to appear in the container.
        container_path: String,
        fault: String,
    },
    /// Any other field with a value that it cannot have.
    #[error("{field}: {fault}")]
    Field {
        /// The field, as the CRI spells it.
        field: &'static str,
        /// What is wrong with its value.
        fault: String,
    },
    /// A volume that a remote job cannot have, where the settings say to refuse such ones.
    #[error(
        "{volume} {reason}; take it out of the pod, or set `pods.unsupported_volumes = \"skip\"` \
         to run the container without it"
    )]
    UnsupportedVolume {
        /// The volume as people know it: "volume `data`".
        volume: String,
        /// What it is, and why it cannot be part of a remote job.
        reason: String,
    },
    /// A demand that the site does not allow.
    #[error(
        "{field} is not allowed here; take it out of the pod, or set `{key}` to `drop` or `pass`"
    )]
    Forbidden {
        /// The field, as a pod's author writes it.
        field: &'static str,
        /// The key of the configuration that forbids it.
        key: &'static str,
    },
    /// Something else that a remote job cannot have.
    #[error("{field}: {reason}")]
    Unsupported {
        /// The field, as the CRI spells it.
        field: &'static str,
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// Two containers of one job would have one name over there.
    #[error("the job carries two containers with the name `{name}`")]
    DuplicateContainer { name: String },
    /// A job none of whose containers is still to run.
    #[error("none of the job's containers is left to run")]
    NoContainers,
    /// A stored configuration that cannot be read back.
    #[error("the stored configuration of {what} is damaged; remove it and let it be made anew")]
    Decode {
        /// Which one.
        what: String,
        #[source]
        source: protobuf::Error,
    },
    /// A configuration that is on disk and was not read from there: a fault of this program, and none of the
    /// job.
    #[error("the stored configuration of {what} was not read from the disk")]
    NotLoaded {
        /// Which one.
        what: String,
    },
}

impl Error {
    /// Whether the request is sound, but asks for what cannot be given here
    /// (FAILED_PRECONDITION); every other one is wrong in itself (INVALID_ARGUMENT).
    pub fn is_precondition(&self) -> bool {
        match self {
            Self::UnsupportedVolume { .. }
            | Self::Forbidden { .. }
            | Self::Unsupported { .. }
            | Self::DuplicateContainer { .. }
            | Self::NoContainers
            | Self::Decode { .. }
            | Self::NotLoaded { .. } => true,
            Self::ImageRef { .. }
            | Self::Annotation { .. }
            | Self::ImageAnnotation { .. }
            | Self::Pattern(_)
            | Self::Quantity(_)
            | Self::Env { .. }
            | Self::Mount { .. }
            | Self::Field { .. } => false,
        }
    }
}
