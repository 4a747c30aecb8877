//! Amounts of memory.
#![no_main]

use interlink_cri::convert::properties::quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| quantity(data));
