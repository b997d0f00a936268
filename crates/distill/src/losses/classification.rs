//! Losses of classification, usable in distillation.

use occam_engine::Tensor;
use occam_train::Result;
use occam_zoo::ClsLoss;

use super::{DistillLoss, exactly};

/// A loss of classification, such as `mmcls.CrossEntropyLoss`, under its own argument names.
///
/// | argument | shape | |
/// |---|---|---|
/// | `cls_score` | `[B, C]` | logits |
/// | `label` | `[B]` | class indices; labels are `data_idx=1` of `ModuleInputs` at `head.loss_module` or at the root |
pub(super) struct Classification(pub Box<dyn ClsLoss>);

impl DistillLoss for Classification {
    fn args(&self) -> &'static [&'static str] {
        &["cls_score", "label"]
    }

    fn forward(&self, args: &[Tensor]) -> Result<Tensor> {
        let [score, label] = exactly(args)?;
        Ok(self.0.forward(score, label, None)?)
    }
}

#[cfg(test)]
mod tests {
    use occam_config::{Loader, Registry};
    use occam_engine::Device;

    use crate::losses::build;

    fn registry() -> Registry {
        let mut registry = Registry::new();
        occam_zoo::register(&mut registry);
        crate::register(&mut registry);
        registry
    }

    #[test]
    fn cross_entropy_is_found_by_its_scope() {
        let config =
            Loader::new().load_str("a.py", "x = dict(type='mmcls.CrossEntropyLoss', loss_weight=2.0)");
        let loss = build(config.unwrap().get("x").unwrap(), &registry()).unwrap();
        assert_eq!(loss.args(), ["cls_score", "label"]);
        let cpu = Device::cpu();
        let score = occam_engine::Tensor::full(&[3, 4], 0.5, &cpu);
        let label = occam_engine::Tensor::from_i64(&[3], vec![0, 3, 1], &cpu).unwrap();
        let value = loss.forward(&[score, label]).unwrap().item().unwrap();
        assert!((value - 2.0 * 4f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn without_its_scope_it_is_suggested() {
        let config = Loader::new().load_str("a.py", "x = dict(type='CrossEntropyLoss')").unwrap();
        let error = build(config.get("x").unwrap(), &registry()).err().unwrap();
        assert_eq!(error.to_string(), "a.py:1:15: unknown distillation loss \"CrossEntropyLoss\"");
        assert!(error.help().unwrap().contains("\"mmcls.CrossEntropyLoss\""));
    }
}
