//! Steps that every recipe can use. One a file.

mod evaluate;
mod export;
mod train;

use occam_config::{Build, Registry};

use super::RecipeStep;

const TABLE: &[(&str, Build<dyn RecipeStep>)] =
    &[("Evaluate", evaluate::build), ("Export", export::build), ("Train", train::build)];

pub(super) fn register(registry: &mut Registry) {
    registry.register_all::<dyn RecipeStep>("recipe step", TABLE);
}
