//! Why there is no such view.

use std::{io, path::PathBuf};

use super::amounts::BadAmount;
use crate::quantity;

/// Why a kubelet is not started with a view of another machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An amount that no node can have.
    #[error(transparent)]
    Amount(#[from] BadAmount),
    /// Less memory than is in use: the kubelet would evict pods at once.
    #[error(
        "{} of memory are too little: this machine uses {} by itself, and the kubelet would evict pods \
         to make room",
        quantity::memory(*.wanted).0,
        quantity::memory(*.used).0
    )]
    InUse {
        /// Bytes that the node is to have.
        wanted: u64,
        /// Bytes that are in use on this machine.
        used: u64,
    },
    /// A text of the kernel that is not what it was.
    #[error("{file} has no line {line}")]
    Kernel {
        /// Below `/proc`.
        file: &'static str,
        /// How the line should begin.
        line: &'static str,
    },
    /// CPUs or memory of this machine are given to pods by number.
    #[error(
        "the kubelet is told {policy} (by {by}), so it would pin pods to CPUs and memory of this \
         machine which are not there. Leave the policy at its default, `none`"
    )]
    Pins {
        /// The policy, as one writes it.
        policy: String,
        /// The flag or the file.
        by: String,
    },
    /// The kubelet is told to make cgroups for pods.
    #[error(
        "the kubelet is told to make cgroups for pods (by --{flag}), with CPUs which are not there, and the \
         kernel would refuse them. Leave the flag out: no pod runs on this machine"
    )]
    PodCgroups {
        /// The flag, without its dashes.
        flag: &'static str,
    },
    /// A configuration of the kubelet that cannot be looked at.
    #[error("cannot tell from the kubelet's configuration {path} whether it can run here: {why}")]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why it cannot be judged, for people.
        why: String,
    },
    /// Not enough rights.
    #[error(
        "mounts in a namespace of its own need CAP_SYS_ADMIN; start this as root, outside of containers \
         and user namespaces"
    )]
    NotAllowed,
    /// A kernel whose machine is not described by NUMA nodes.
    #[error(
        "this kernel has no {0}, from which a kubelet learns how large its machine is; offer `interlink.eu/cpu` \
         and `interlink.eu/memory` instead (docs/node.md)"
    )]
    NoNodes(&'static str),
    /// A step that failed.
    #[error("{what}")]
    Io {
        /// What was being done, as the subject of a message.
        what: String,
        /// What the system says to it.
        source: io::Error,
    },
}
