//! Kullback-Leibler divergence between softened predictions (Hinton et al., 2015, arXiv:1503.02531).

use occam_config::{Registry, Value};
use occam_engine::Tensor;
use occam_train::{Error, Result};
use serde::Deserialize;

use super::{DistillLoss, exactly};

/// How the divergences of single elements become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// They do not.
    None,
    /// Their sum over the batch size `B`: the divergence of a sample, averaged.
    #[default]
    BatchMean,
    /// Their sum.
    Sum,
    /// Their mean over all elements, classes included: `C` times less than the divergence where the shape is
    /// `[B, C]`.
    Mean,
}

/// `loss_weight · tau² · KL(softmax(T / tau) ‖ softmax(S / tau))` over dimension 1 (Hinton et al., 2015,
/// arXiv:1503.02531).
///
/// Element by element that is `p · (log p − log q)` with `p = softmax(T / tau)` and `q = softmax(S / tau)`.
///
/// | argument | shape | |
/// |---|---|---|
/// | `preds_S` | `[B, C, ..]` | student logits `S` |
/// | `preds_T` | `[B, C, ..]` | teacher logits `T`; no gradient flows to them unless `teacher_detach` is false |
///
/// Gives a scalar of shape `[1]`, or `[B, C, ..]` for [`Reduction::None`]. Under [`Reduction::BatchMean`] only `B`
/// divides: positions beyond the classes add up.
///
/// # Errors
/// The two shapes differ, have no dimension 1, or the batch is empty.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KlDivergence {
    /// Temperature, above 0; 1 by default.
    pub tau: f64,
    /// How the elements are reduced; `batchmean` by default.
    pub reduction: Reduction,
    /// Factor on the result; 1 by default.
    pub loss_weight: f64,
    /// Whether the teacher's logits are constants; true by default.
    pub teacher_detach: bool,
}

impl Default for KlDivergence {
    fn default() -> Self {
        Self { tau: 1.0, reduction: Reduction::default(), loss_weight: 1.0, teacher_detach: true }
    }
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn DistillLoss>, occam_config::Error> {
    let loss: KlDivergence = value.parse()?;
    let refuse = |key: &str, message: &str| {
        let error = occam_config::Error::new(format!("KLDivergence: `{key}` must be {message}"));
        Err(error.at(value.get(key).unwrap_or(value)))
    };
    if !(loss.tau.is_finite() && loss.tau > 0.0) {
        return refuse("tau", "above 0");
    }
    if !loss.loss_weight.is_finite() {
        return refuse("loss_weight", "finite");
    }
    Ok(Box::new(loss))
}

impl DistillLoss for KlDivergence {
    fn args(&self) -> &'static [&'static str] {
        &["preds_S", "preds_T"]
    }

    fn forward(&self, args: &[Tensor]) -> Result<Tensor> {
        let [student, teacher] = exactly(args)?;
        let shape = student.shape();
        if teacher.shape() != shape {
            let message = format!("preds_S {student:?} and preds_T {teacher:?} must be of one shape");
            return Err(Error::Other(message));
        }
        if student.is_empty() {
            return Err(Error::Other(format!("preds_S {student:?} has no element")));
        }
        let teacher = if self.teacher_detach { teacher.detach() } else { teacher.clone() };
        let log_p = teacher.scale(1.0 / self.tau)?.log_softmax(1)?;
        let log_q = student.scale(1.0 / self.tau)?.log_softmax(1)?;
        let terms = log_p.exp()?.mul(&log_p.sub(&log_q)?)?;
        let factor = self.loss_weight * self.tau * self.tau;
        let batch = shape.first().copied().unwrap_or(1);
        Ok(match self.reduction {
            Reduction::None => terms.scale(factor)?,
            Reduction::Sum => terms.sum()?.scale(factor)?,
            Reduction::BatchMean => terms.sum()?.scale(factor / batch as f64)?,
            Reduction::Mean => terms.sum()?.scale(factor / terms.len() as f64)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use occam_engine::Device;
    use occam_testing::{Golden, assert_close, fill, values};
    use serde_json::Value as Json;

    use super::*;

    fn shape(case: &Json) -> Vec<usize> {
        case["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect()
    }

    fn tensor(name: &str, shape: &[usize], high: f64) -> Tensor {
        Tensor::from_array(&fill(name, shape, -high, high), &Device::cpu()).unwrap()
    }

    fn elements(tensor: &Tensor) -> Vec<f64> {
        values(&tensor.to_array().unwrap())
    }

    /// Values and gradients from PyTorch in float64: `tools/golden/distill_losses.py`.
    #[test]
    fn agrees_with_pytorch() {
        let golden = Golden::load("kl_divergence");
        let cases = golden.json("cases");
        let cases = cases.as_array().unwrap();
        assert_eq!(cases.len(), 16);
        for (case, detach) in cases.iter().flat_map(|case| [(case, false), (case, true)]) {
            let name = case["name"].as_str().unwrap();
            let mut config = Value::from_json(case);
            let dict = config.as_dict_mut().unwrap();
            dict.retain(|key, _| !["name", "shape"].contains(&key.as_str().unwrap()));
            dict.insert("teacher_detach", Value::from(detach));
            let loss = build(&config, &Registry::new()).unwrap();

            let shape = shape(case);
            let tag = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
            let leaf = |side: &str| tensor(&format!("preds_{side}.{tag}"), &shape, 3.0).require_grad();
            let args = [leaf("S"), leaf("T")];
            let value = loss.forward(&args).unwrap();
            assert_close(name, &elements(&value), &golden.values(&format!("{name}.value")), 1e-6);
            let scalar = if value.len() == 1 {
                value
            } else {
                value.mul(&tensor(&format!("upstream.{tag}"), &shape, 1.0)).unwrap().sum().unwrap()
            };
            let mut gradients = scalar.backward().unwrap();
            let student = elements(&gradients.take(&args[0]).unwrap());
            assert_close(name, &student, &golden.values(&format!("{name}.grad_S")), 2e-6);
            let teacher = gradients.take(&args[1]);
            assert_eq!(teacher.is_none(), detach, "{name}");
            if let Some(teacher) = teacher {
                assert_close(name, &elements(&teacher), &golden.values(&format!("{name}.grad_T")), 2e-6);
            }
        }
    }

    #[test]
    fn is_zero_for_equal_predictions() {
        let logits = tensor("logits", &[3, 7], 5.0);
        for reduction in [Reduction::None, Reduction::BatchMean, Reduction::Sum, Reduction::Mean] {
            let loss = KlDivergence { tau: 2.5, reduction, ..KlDivergence::default() };
            let value = loss.forward(&[logits.clone(), logits.clone()]).unwrap();
            assert!(elements(&value).iter().all(|&v| v == 0.0), "{reduction:?}");
        }
    }

    #[test]
    fn stays_finite_where_probabilities_vanish() {
        let cpu = Device::cpu();
        let student = Tensor::from_f32(&[1, 2], vec![0.0, 300.0], &cpu).unwrap();
        let teacher = Tensor::from_f32(&[1, 2], vec![300.0, 0.0], &cpu).unwrap();
        let value = KlDivergence::default().forward(&[student, teacher]).unwrap().item().unwrap();
        assert_eq!(value, 300.0);
    }

    #[test]
    fn misfits_are_errors() {
        let loss = KlDivergence::default();
        let [a, b] = [tensor("a", &[2, 3], 1.0), tensor("b", &[2, 1], 1.0)];
        let error = loss.forward(&[a.clone(), b]).unwrap_err().to_string();
        assert_eq!(error, "preds_S f32[2, 3] and preds_T f32[2, 1] must be of one shape");
        assert!(loss.forward(std::slice::from_ref(&a)).is_err());
        let flat = tensor("flat", &[4], 1.0);
        assert!(loss.forward(&[flat.clone(), flat]).is_err());
        let empty = tensor("empty", &[0, 3], 1.0);
        assert!(loss.forward(&[empty.clone(), empty]).is_err());
    }

    #[test]
    fn configs_are_checked() {
        let error = |text: &str| {
            let config = occam_config::Loader::new().load_str("a.py", text).unwrap();
            format!("{:?}", build(config.get("x").unwrap(), &Registry::new()).err().unwrap())
        };
        assert_eq!(error("x = dict(tau=0)"), "a.py:1:14: KLDivergence: `tau` must be above 0");
        assert_eq!(
            error("x = dict(reduction='batch_mean')"),
            "a.py:1:20: unknown value \"batch_mean\"\n\
             help: did you mean \"batchmean\"? known values: none, batchmean, sum, mean"
        );
        assert!(error("x = dict(temperature=2)").contains("known keys: tau, reduction"));
    }
}
