//! A machine of another size, as a kubelet and all that it starts see it.
//!
//! A kubelet registers its node with the CPUs and the memory that cAdvisor finds on its machine, and
//! has no setting for them: behind a login node of two cores no pod of 64 can be scheduled. In a mount
//! namespace of its own a few files say something else, and the kubelet runs there. Nobody outside
//! sees it, and it ends with the last process of the namespace.
//!
//! ```text
//! amounts   how much the node is to offer, and what is refused
//! files     what the files say then (pure)
//! kubelet   what the kubelet's flags and files rule out (pure)
//! lasting   when a change of the cluster is worth a new start (pure)
//! enter     the namespace, the mounts, the kubelet in place of this process
//! ```
//!
//! What cAdvisor reads (`machine/machine.go`, `utils/sysinfo/sysinfo.go`): `MemTotal` of `/proc/meminfo`;
//! and for each `/sys/devices/system/node/node*` its `meminfo`, its `distance`, and its `cpu*` with
//! `topology/core_id` and `topology/physical_package_id`, of which those count that
//! `/sys/devices/system/cpu/online` names.

mod amounts;
mod enter;
mod error;
mod files;
mod kubelet;
mod lasting;

pub use self::{
    amounts::{Amounts, BadAmount, MAX_CPUS, MAX_MEMORY, MIN_MEMORY},
    enter::{enter, NODES},
    error::Error,
    kubelet::Kubelet,
    lasting::Lasting,
};
