//! Post-training quantization: calibration, then a measurement.

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::{Evaluator, Loader};
use occam_train::evaluate::{Metrics, evaluate};
use occam_train::loops::EvalLoop;
use occam_train::reporter::Reporter;
use occam_train::{Algorithm, Error, Result};
use serde::Deserialize;

use super::quantized;

fn steps() -> u64 {
    32
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    calibrate_dataloader: Value,
    #[serde(default = "steps")]
    calibrate_steps: u64,
    #[serde(default)]
    fp16: bool,
    #[serde(default)]
    only_val: bool,
}

/// What a config says of its calibration.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// The data.
    pub dataloader: Value,
    /// Batches.
    pub steps: u64,
    /// Whether there is none after all.
    pub only_val: bool,
}

impl Calibration {
    /// Reads `test_cfg`.
    ///
    /// # Errors
    /// It is no `PTQLoop`, or a key is unknown or of the wrong type.
    pub fn from_config(value: &Value) -> Result<Self, ConfigError> {
        if value.type_name().and_then(|n| n.rsplit('.').next()) != Some("PTQLoop") {
            return Err(
                ConfigError::new("`test_cfg` is no PTQLoop: nothing says what to calibrate with").at(value)
            );
        }
        let mut own = value.clone();
        if let Some(dict) = own.as_dict_mut() {
            for key in ["dataloader", "evaluator"] {
                dict.remove(key);
            }
        }
        parse(&own)
    }
}

fn parse(value: &Value) -> Result<Calibration, ConfigError> {
    let config: Config = value.parse()?;
    if config.fp16 {
        let error = ConfigError::new("`fp16=True` is not supported: models are measured in single precision");
        return Err(error.at(value.get("fp16").unwrap_or(value)).with_help("remove it"));
    }
    if config.calibrate_steps == 0 {
        let error = ConfigError::new("`calibrate_steps` must be at least 1");
        return Err(error.at(value.get("calibrate_steps").unwrap_or(value)));
    }
    Ok(Calibration {
        dataloader: config.calibrate_dataloader,
        steps: config.calibrate_steps,
        only_val: config.only_val,
    })
}

/// Measures a model that was calibrated.
///
/// | key | default | |
/// |---|---|---|
/// | `calibrate_dataloader` | | the data of the calibration |
/// | `calibrate_steps` | 32 | batches of it |
/// | `only_val` | False | whether there is no calibration: the checkpoint has grids |
/// | `fp16` | False | must be False |
///
/// `occam ptq` calibrates first ([`MMArchitectureQuant::calibrate`](crate::algorithms::MMArchitectureQuant::calibrate)), `occam
/// test` measures a checkpoint that has grids, as the original's `tools/ptq.py` and `tools/test.py`.
pub struct PTQLoop;

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn EvalLoop>, ConfigError> {
    parse(value)?;
    Ok(Box::new(PTQLoop))
}

impl EvalLoop for PTQLoop {
    fn run(
        &mut self,
        algorithm: &dyn Algorithm,
        loader: &Loader,
        evaluator: &mut Evaluator,
        stage: &str,
        reporter: &mut dyn Reporter,
    ) -> Result<Metrics> {
        let own = quantized(algorithm, "PTQLoop")?;
        if let Some(name) = own.unseen().first() {
            return Err(Error::Other(format!(
                "the model is not calibrated: `{name}` has no range; `occam ptq` calibrates"
            )));
        }
        evaluate(own.architecture(), loader, evaluator, stage, reporter)
    }
}
