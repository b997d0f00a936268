//! IDX files, as MNIST has them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use occam_data::idx::Idx;

fuzz_target!(|bytes: &[u8]| {
    let _ = Idx::<1>::parse(bytes.to_vec());
    let _ = Idx::<3>::parse(bytes.to_vec());
});
