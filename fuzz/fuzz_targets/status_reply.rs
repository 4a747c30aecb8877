//! What an interLink server answers to /status.
#![no_main]

use interlink_cri::worker::properties::any_status;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| any_status(data));
