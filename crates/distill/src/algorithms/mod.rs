//! Algorithms: how student and teacher are trained. One a file.

mod single_teacher_distill;

pub use single_teacher_distill::SingleTeacherDistill;
pub(crate) use single_teacher_distill::TEACHER;

use occam_config::{Build, Registry};
use occam_train::AlgorithmConfig;

const TABLE: &[(&str, Build<dyn AlgorithmConfig>)] =
    &[("SingleTeacherDistill", single_teacher_distill::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn AlgorithmConfig>("algorithm", TABLE);
}
