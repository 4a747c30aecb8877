//! A remote log and its fetches, into a real file.
#![no_main]

use interlink_cri::logs::properties::any_fetches;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| any_fetches(data));
