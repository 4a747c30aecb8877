//! Records in the state file.
#![no_main]

use interlink_cri::store::properties::any_records;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| any_records(data));
