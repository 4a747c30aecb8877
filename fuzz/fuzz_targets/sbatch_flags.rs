//! Flags for sbatch, in a pod's annotation.
#![no_main]

use interlink_cri::profile::properties::any_flags;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| any_flags(data));
