//! Optimizers by name.

use occam_config::{Build, Error, Registry, Value};
use occam_engine::optim::{Adadelta, Adagrad, Adam, AdamW, Lamb, Lars, Maximize, Optimizer, RmsProp, Sgd};
use serde::de::DeserializeOwned;

const TABLE: &[(&str, Build<dyn Optimizer>)] = &[
    ("Adadelta", |value, _| torch::<Adadelta>(value, &["rho"])),
    ("Adagrad", |value, _| torch::<Adagrad>(value, &[])),
    ("Adam", |value, _| torch::<Adam>(value, &[])),
    ("AdamW", |value, _| torch::<AdamW>(value, &[])),
    ("LARS", |value, _| own::<Lars>(value, &[])),
    ("Lamb", |value, _| own::<Lamb>(value, &[])),
    ("RMSprop", |value, _| torch::<RmsProp>(value, &["alpha"])),
    ("SGD", |value, _| torch::<Sgd>(value, &[])),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.register_all::<dyn Optimizer>("optimizer", TABLE);
}

/// Arguments that are numbers of at least 0.
const NOT_NEGATIVE: &[&str] = &[
    "lr",
    "eps",
    "momentum",
    "weight_decay",
    "lr_decay",
    "initial_accumulator_value",
    "eta",
    "max_grad_norm",
];

/// Arguments of PyTorch's optimizers that say how, not what: they are accepted where they change nothing.
const FORMS: &[&str] = &["foreach", "fused", "capturable", "differentiable"];

/// An optimizer of PyTorch, with its arguments about form and direction.
fn torch<T: Optimizer + DeserializeOwned + 'static>(
    value: &Value,
    shares: &[&str],
) -> Result<Box<dyn Optimizer>, Error> {
    let mut own_keys = value.clone();
    let mut maximize = false;
    if let Some(dict) = own_keys.as_dict_mut() {
        for key in FORMS {
            let given = dict.remove(key);
            if let Some(given) = given.filter(|v| v.as_bool() == Some(true) && *key == "differentiable") {
                let message =
                    "`differentiable=True` is not supported: nothing learns through an optimizer's step";
                return Err(Error::new(message).at(&given));
            }
        }
        if let Some(given) = dict.remove("maximize") {
            let wanted = || Error::new("`maximize` must be True or False").at(&given);
            maximize = given.as_bool().ok_or_else(wanted)?;
        }
    }
    let built = own::<T>(&own_keys, shares)?;
    Ok(if maximize { Box::new(Maximize(built)) } else { built })
}

/// An optimizer whose arguments are all its own; `shares` are those that must be in `[0, 1]`.
fn own<T: Optimizer + DeserializeOwned + 'static>(
    value: &Value,
    shares: &[&str],
) -> Result<Box<dyn Optimizer>, Error> {
    let optimizer: T = value.parse()?;
    let number = |key: &str| value.get(key).and_then(Value::as_f64).map(|x| (key.to_owned(), x));
    let at = |key: &str, message: String| Err(Error::new(message).at(value.get(key).unwrap_or(value)));
    for (key, x) in NOT_NEGATIVE.iter().filter_map(|k| number(k)) {
        if !(x >= 0.0 && x.is_finite()) {
            return at(&key, format!("`{key}` must be at least 0, found {x}"));
        }
    }
    for (key, x) in shares.iter().filter_map(|k| number(k)) {
        if !(0.0..=1.0).contains(&x) {
            return at(&key, format!("`{key}` must be in [0, 1], found {x}"));
        }
    }
    let betas = value.get("betas").and_then(Value::as_list).unwrap_or_default();
    if betas.iter().filter_map(Value::as_f64).any(|b| !(0.0..1.0).contains(&b)) {
        return at("betas", "`betas` must be at least 0 and below 1".into());
    }
    if value.get("nesterov").and_then(Value::as_bool) == Some(true) {
        let of = |key: &str| number(key).map_or(0.0, |(_, x)| x);
        if of("momentum") <= 0.0 || of("dampening") != 0.0 {
            return at("nesterov", "nesterov needs a momentum and no dampening".into());
        }
    }
    Ok(Box::new(optimizer))
}
