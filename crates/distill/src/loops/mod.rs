//! Ways to measure what is distilled. One a file.

mod single_teacher_distill_val;

use occam_config::{Build, Registry};
use occam_train::loops::EvalLoop;

pub use single_teacher_distill_val::SingleTeacherDistillValLoop;

const TABLE: &[(&str, Build<dyn EvalLoop>)] =
    &[("SingleTeacherDistillValLoop", single_teacher_distill_val::build)];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn EvalLoop>("evaluation loop", TABLE);
}
