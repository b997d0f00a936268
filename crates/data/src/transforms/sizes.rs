//! Arguments of transforms that change sizes.

use crate::resize::{Interpolation, ResizeBackend, resize};
use crate::{Error, Image, Result};

/// Resizes with an error that names the transform.
pub(super) fn resized(
    component: &'static str,
    image: &Image,
    [height, width]: [usize; 2],
    interpolation: Interpolation,
    backend: ResizeBackend,
) -> Result<Image> {
    backend.check(component, interpolation)?;
    resize(image, height, width, interpolation, backend).map_err(|error| match error {
        Error::Image(detail) => Error::argument(component, detail),
        error => error,
    })
}

/// Refuses a size of 0.
pub(super) fn positive(component: &'static str, name: &str, sizes: &[usize]) -> Result<()> {
    match sizes.contains(&0) {
        true => Err(Error::argument(component, format!("`{name}` must be above 0"))),
        false => Ok(()),
    }
}

/// Refuses a range that is no range of finite numbers.
pub(super) fn ordered(
    component: &'static str,
    name: &str,
    (low, high): (f64, f64),
    least: f64,
) -> Result<()> {
    if low.is_finite() && high.is_finite() && least <= low && low <= high {
        return Ok(());
    }
    let detail = format!("`{name}` is ({low}, {high}), it must be a range (min, max) from {least} on");
    Err(Error::argument(component, detail))
}

/// Refuses what is no probability.
pub(super) fn probability(component: &'static str, name: &str, value: f64) -> Result<()> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(()),
        false => Err(Error::argument(component, format!("`{name}` is {value}, it must be from 0 to 1"))),
    }
}
