//! Config files in their three languages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use occam_config::Loader;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let name = match first % 4 {
        0 => "c.yaml",
        1 => "c.json",
        _ => "c.py",
    };
    if let Ok(value) = Loader::new().load_str(name, text) {
        // What was read can be printed and read again.
        let printed = value.to_python();
        assert!(Loader::new().load_str("again.py", &printed).is_ok(), "{printed}");
    }
});
