//! Subnet files: widths of channel units.
#![no_main]

use libfuzzer_sys::fuzz_target;
use occam_space::subnet;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(choices) = subnet::parse(text) {
        for choice in choices.values() {
            let _ = choice.width(64);
        }
    }
});
