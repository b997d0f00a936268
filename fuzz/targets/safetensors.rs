//! safetensors files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use occam_io::safetensors::load_bytes;

fuzz_target!(|bytes: &[u8]| {
    let _ = load_bytes(bytes);
});
