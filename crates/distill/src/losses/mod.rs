//! Losses between what a student and a teacher computed. One a file.

mod classification;
mod dist_loss;
mod kl_divergence;

pub use dist_loss::DistLoss;
pub use kl_divergence::{KlDivergence, Reduction};

use occam_config::{Build, Registry, Value};
use occam_engine::Tensor;
use occam_train::{Error, Result};
use occam_zoo::ClsLoss;

use classification::Classification;

/// A loss whose arguments are wired to records by name.
pub trait DistillLoss: Send + Sync {
    /// Names of the arguments, all of which are needed.
    fn args(&self) -> &'static [&'static str];

    /// The loss of `args`, in the order of [`DistillLoss::args`]. What is no scalar is averaged by the caller.
    ///
    /// # Errors
    /// The number, types or shapes of the arguments do not fit.
    fn forward(&self, args: &[Tensor]) -> Result<Tensor>;
}

const TABLE: &[(&str, Build<dyn DistillLoss>)] =
    &[("DISTLoss", dist_loss::build), ("KLDivergence", kl_divergence::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn DistillLoss>("distillation loss", TABLE);
}

/// Scopes whose losses are those of classification, and not this crate's of the same name.
const CLASSIFICATION: [&str; 2] = ["mmcls", "mmpretrain"];

/// The loss that a config names: one of this crate's, or, with its scope, one of classification:
/// `dict(type='mmcls.CrossEntropyLoss')`.
pub(crate) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn DistillLoss>, occam_config::Error> {
    let name = value.get("type").and_then(Value::as_str).unwrap_or_default();
    if let Some((scope, name)) = name.split_once('.')
        && CLASSIFICATION.contains(&scope)
        && registry.names::<dyn ClsLoss>().contains(&name)
    {
        return Ok(Box::new(Classification(registry.build::<dyn ClsLoss>(value)?)));
    }
    registry.build::<dyn DistillLoss>(value).map_err(|error| {
        let unknown = !registry.names::<dyn DistillLoss>().contains(&name);
        if unknown && registry.names::<dyn ClsLoss>().contains(&name) {
            return error.with_help(format!("did you mean \"mmcls.{name}\", the loss of classification?"));
        }
        error
    })
}

/// Exactly `N` arguments.
fn exactly<const N: usize>(args: &[Tensor]) -> Result<&[Tensor; N]> {
    args.try_into().map_err(|_| Error::Other(format!("{N} arguments wanted, {} given", args.len())))
}
