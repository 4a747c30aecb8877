//! CRI calls in any order, against a real store.
#![no_main]

use interlink_cri::cri::properties::any_calls;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| any_calls(data));
