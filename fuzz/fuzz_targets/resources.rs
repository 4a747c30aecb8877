//! A container's resources.
#![no_main]

use interlink_cri::convert::properties::resources;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| resources(data));
