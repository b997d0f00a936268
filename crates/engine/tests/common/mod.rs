//! The device that tests run on.

use occam_engine::Device;

/// What `OCCAM_TEST_DEVICE` names, as `--device` does; the processor where it is not set. A device that is named and not
/// there fails the test.
pub fn device() -> Device {
    match std::env::var("OCCAM_TEST_DEVICE") {
        Ok(name) => name.parse().unwrap_or_else(|e| panic!("OCCAM_TEST_DEVICE: {e}")),
        Err(_) => Device::cpu(),
    }
}

/// A tolerance of the processor's, or that of a card if it is larger: there products may be of TF32, 11 bits.
pub fn tolerance(of_processor: f64) -> f64 {
    if device() == Device::cpu() { of_processor } else { of_processor.max(4e-3) }
}
