//! Configuration files, and environment variables.
#![no_main]

use interlink_cri::config::properties::any_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| any_file(data));
