//! Objects of the API server, requests to the local plugin and manifests, read within a bound.
#![no_main]

use interlink_cri::bounded::properties::any_object;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| any_object(data));
