//! A pod with its ConfigMaps and Secrets, made into what a kubelet would send.
#![no_main]

use interlink_cri::kubelet::properties::any_pod;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| any_pod(data));
