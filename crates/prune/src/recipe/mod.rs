//! Steps of recipes. One a file.

mod prune;

use occam_config::{Build, Registry};
use occam_train::recipe::RecipeStep;

const TABLE: &[(&str, Build<dyn RecipeStep>)] = &[("Prune", prune::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn RecipeStep>("recipe step", TABLE);
}
