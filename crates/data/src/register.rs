//! This crate's components, by name.

use occam_config::Registry;

use crate::{datasets, metrics, preprocess, samplers, transforms};

/// Makes the components of this crate known: the kinds "dataset", "transform", "sampler", "metric" and "data
/// preprocessor".
pub fn register(registry: &mut Registry) {
    datasets::register(registry);
    transforms::register(registry);
    preprocess::register(registry);
    samplers::register(registry);
    metrics::register(registry);
}
