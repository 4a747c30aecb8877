//! Image references.
#![no_main]

use interlink_cri::convert::properties::image_ref;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| image_ref(data));
