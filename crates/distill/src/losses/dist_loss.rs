//! Agreement of predictions in correlation, not in value: DIST (Huang et al., 2022, arXiv:2205.10536).

use occam_config::{Registry, Value};
use occam_engine::Tensor;
use occam_train::{Error, Result};
use serde::Deserialize;

use super::{DistillLoss, exactly};

/// Added to the product of the norms, as in the original.
const EPS: f64 = 1e-8;
/// Added below roots: the slope of a norm at 0 is none, and 1e-24 is nothing beside what `f32` tells apart.
const TINY: f64 = 1e-24;

/// `loss_weight · tau² · (inter_loss_weight · inter + intra_loss_weight · intra)`, where `inter = 1 − mean_b ρ(p_b, q_b)` over the
/// predictions of each sample and `intra = 1 − mean_c ρ(p_c, q_c)` over those of each class in the batch.
///
/// `p = softmax(T / tau)`, `q = softmax(S / tau)`, and `ρ` is Pearson's correlation: the cosine of what is left without the means.
///
/// | argument | shape | |
/// |---|---|---|
/// | `logits_S` | `[B, C]` | student logits `S` |
/// | `logits_T` | `[B, C]` | teacher logits `T`; no gradient flows to them unless `teacher_detach` is false |
///
/// Gives a scalar of shape `[1]`.
///
/// # Errors
/// The two shapes differ or are not `[B, C]`, or there is no element.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistLoss {
    /// Weight of the agreement within each sample; 1 by default.
    pub inter_loss_weight: f64,
    /// Weight of the agreement within each class; 1 by default.
    pub intra_loss_weight: f64,
    /// Temperature, above 0; 1 by default.
    pub tau: f64,
    /// Factor on the result; 1 by default.
    pub loss_weight: f64,
    /// Whether the teacher's logits are constants; true by default.
    pub teacher_detach: bool,
}

impl Default for DistLoss {
    fn default() -> Self {
        Self {
            inter_loss_weight: 1.0,
            intra_loss_weight: 1.0,
            tau: 1.0,
            loss_weight: 1.0,
            teacher_detach: true,
        }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn DistillLoss>, occam_config::Error> {
    let loss: DistLoss = value.parse()?;
    let refuse = |key: &str, message: &str| {
        let error = occam_config::Error::new(format!("DISTLoss: `{key}` must be {message}"));
        Err(error.at(value.get(key).unwrap_or(value)))
    };
    if !(loss.tau.is_finite() && loss.tau > 0.0) {
        return refuse("tau", "above 0");
    }
    for (key, weight) in [
        ("inter_loss_weight", loss.inter_loss_weight),
        ("intra_loss_weight", loss.intra_loss_weight),
        ("loss_weight", loss.loss_weight),
    ] {
        if !weight.is_finite() {
            return refuse(key, "finite");
        }
    }
    Ok(Box::new(loss))
}

/// `1 − mean ρ(a, b)` of what lies along `axis` of `[B, C]`.
fn disagreement(a: &Tensor, b: &Tensor, axis: usize) -> Result<Tensor> {
    let centred = |x: &Tensor| -> Result<Tensor> { Ok(x.sub(&x.mean_axis(axis)?)?) };
    let (a, b) = (centred(a)?, centred(b)?);
    let norm = |x: &Tensor| -> Result<Tensor> { Ok(x.mul(x)?.sum_axis(axis)?.shift(TINY)?.sqrt()?) };
    let both = a.mul(&b)?.sum_axis(axis)?;
    let cosine = both.div(&norm(&a)?.mul(&norm(&b)?)?.shift(EPS)?)?;
    Ok(cosine.mean()?.scale(-1.0)?.shift(1.0)?)
}

impl DistillLoss for DistLoss {
    fn args(&self) -> &'static [&'static str] {
        &["logits_S", "logits_T"]
    }

    fn forward(&self, args: &[Tensor]) -> Result<Tensor> {
        let [student, teacher] = exactly(args)?;
        if teacher.shape() != student.shape() || student.rank() != 2 || student.is_empty() {
            let message = format!("logits_S {student:?} and logits_T {teacher:?} must both be [B, C]");
            return Err(Error::Other(message));
        }
        let teacher = if self.teacher_detach { teacher.detach() } else { teacher.clone() };
        let p = teacher.scale(1.0 / self.tau)?.softmax(1)?;
        let q = student.scale(1.0 / self.tau)?.softmax(1)?;
        let inter = disagreement(&q, &p, 1)?.scale(self.inter_loss_weight)?;
        let intra = disagreement(&q, &p, 0)?.scale(self.intra_loss_weight)?;
        Ok(inter.add(&intra)?.scale(self.loss_weight * self.tau * self.tau)?)
    }
}

#[cfg(test)]
mod tests {
    use occam_engine::Device;
    use occam_testing::{Golden, assert_close, fill, values};

    use super::*;

    fn tensor(name: &str, shape: &[usize]) -> Tensor {
        Tensor::from_array(&fill(name, shape, -3.0, 3.0), &Device::cpu()).unwrap()
    }

    fn elements(tensor: &Tensor) -> Vec<f64> {
        values(&tensor.to_array().unwrap())
    }

    /// Values and gradients from the original in float64: `tools/golden/dist_loss.py`.
    #[test]
    fn agrees_with_the_original() {
        let golden = Golden::load("dist_loss");
        let cases = golden.json("cases");
        let cases = cases.as_array().unwrap();
        assert_eq!(cases.len(), 6);
        for case in cases {
            let name = case["name"].as_str().unwrap();
            let mut config = Value::from_json(case);
            config
                .as_dict_mut()
                .unwrap()
                .retain(|key, _| !["name", "shape"].contains(&key.as_str().unwrap()));
            let loss = build(&config, &Registry::new()).unwrap();
            let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
            let tag = format!("{}x{}", shape[0], shape[1]);
            let leaf = |side: &str| tensor(&format!("preds_{side}.{tag}"), &shape).require_grad();
            let args = [leaf("S"), leaf("T")];
            let value = loss.forward(&args).unwrap();
            assert_close(name, &elements(&value), &golden.values(&format!("{name}.value")), 1e-5);
            let mut gradients = value.backward().unwrap();
            let student = elements(&gradients.take(&args[0]).unwrap());
            assert_close(name, &student, &golden.values(&format!("{name}.grad_S")), 1e-4);
            assert!(gradients.take(&args[1]).is_none(), "{name}: the teacher is a constant");
        }
    }

    #[test]
    fn what_agrees_up_to_scale_costs_nothing() {
        let logits = tensor("logits", &[5, 7]);
        let value = DistLoss::default().forward(&[logits.clone(), logits]).unwrap();
        let value = elements(&value)[0];
        assert!(value.abs() < 1e-4, "{value}");
    }

    #[test]
    fn constant_predictions_have_gradients() {
        let flat = Tensor::from_f32(&[2, 3], vec![1.0; 6], &Device::cpu()).unwrap().require_grad();
        let value = DistLoss::default().forward(&[flat.clone(), tensor("t", &[2, 3])]).unwrap();
        let gradient = value.backward().unwrap().take(&flat).unwrap();
        assert!(elements(&gradient).iter().all(|g| g.is_finite()));
    }

    #[test]
    fn misfits_are_errors() {
        let loss = DistLoss::default();
        let [a, b] = [tensor("a", &[2, 3]), tensor("b", &[2, 4])];
        let error = loss.forward(&[a.clone(), b]).unwrap_err().to_string();
        assert_eq!(error, "logits_S f32[2, 3] and logits_T f32[2, 4] must both be [B, C]");
        assert!(loss.forward(std::slice::from_ref(&a)).is_err());
        let error = |text: &str| {
            let config = occam_config::Loader::new().load_str("a.py", text).unwrap();
            format!("{:?}", build(config.get("x").unwrap(), &Registry::new()).err().unwrap())
        };
        assert_eq!(error("x = dict(tau=0)"), "a.py:1:14: DISTLoss: `tau` must be above 0");
        assert!(error("x = dict(temperature=2)").contains("known keys: inter_loss_weight"));
    }
}
