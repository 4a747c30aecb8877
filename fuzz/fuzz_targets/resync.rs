//! Which bytes of a remote log are new.
#![no_main]

use interlink_cri::plan::properties::resync;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| resync(data));
