//! interLink's SLURM plugin.
//!
//! What it needs of a pod, beyond what Kubernetes asks for:
//!
//! | habit | what is done about it | where |
//! |---|---|---|
//! | flags for sbatch stand in the annotation `slurm-job.vk.io/flags` | the site's partition, account and QoS are added there | [`outgoing`], [`flags`] |
//! | a named set of flags stands in `slurm-job.vk.io/flavor` | the site's flavour is written there | [`outgoing`] |
//! | no memory limit is taken for 1 MB; a limit counts more than `--mem` among the flags | `jobs.default_memory` becomes the limit, but not beside `--mem` | [`outgoing::default_memory`] |
//! | `defaultMode` is read without looking whether it is there; missing, it crashes the request | Kubernetes' default is written out | [`outgoing`] |
//! | `type` of a host path is read in the same way | Kubernetes' default, the empty text, is written out | [`outgoing`] |

pub mod flags;
pub mod outgoing;
