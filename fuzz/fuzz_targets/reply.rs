//! What an interLink server answers to /create and /pinglink, and with an error.
#![no_main]

use interlink_cri::interlink::properties::any_reply;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| any_reply(data));
