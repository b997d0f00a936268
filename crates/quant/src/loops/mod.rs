//! Loops of quantization. One a file.

mod ptq;
mod qat_epoch_based;
mod qat_val;

pub use ptq::{Calibration, PTQLoop};
pub use qat_epoch_based::QATEpochBasedLoop;
pub use qat_val::QATValLoop;

use std::any::Any;

use occam_config::{Build, Registry};
use occam_train::loops::{EvalLoop, TrainLoop};
use occam_train::{Algorithm, Error};

use crate::algorithms::MMArchitectureQuant;

const TRAIN: &[(&str, Build<dyn TrainLoop>)] =
    &[("LSQEpochBasedLoop", qat_epoch_based::build_lsq), ("QATEpochBasedLoop", qat_epoch_based::build)];

const EVAL: &[(&str, Build<dyn EvalLoop>)] = &[("PTQLoop", ptq::build), ("QATValLoop", qat_val::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn TrainLoop>("train loop", TRAIN);
    registry.register_all::<dyn EvalLoop>("evaluation loop", EVAL);
}

/// The algorithm of a run as one that quantizes.
///
/// # Errors
/// It is another.
pub fn quantized<'a>(
    algorithm: &'a dyn Algorithm,
    loop_name: &str,
) -> Result<&'a MMArchitectureQuant, Error> {
    (algorithm as &dyn Any).downcast_ref().ok_or_else(|| refused(loop_name))
}

fn refused(loop_name: &str) -> Error {
    Error::Other(format!("{loop_name} is for models of the type MMArchitectureQuant"))
}

/// As [`quantized`], to be changed.
///
/// # Errors
/// It is another.
pub fn quantized_mut<'a>(
    algorithm: &'a mut dyn Algorithm,
    loop_name: &str,
) -> Result<&'a mut MMArchitectureQuant, Error> {
    (algorithm as &mut dyn Any).downcast_mut().ok_or_else(|| refused(loop_name))
}
