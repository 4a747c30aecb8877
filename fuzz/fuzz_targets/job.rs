//! A pod and its containers, made into a job.
#![no_main]

use interlink_cri::convert::properties::any_job;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| any_job(data));
