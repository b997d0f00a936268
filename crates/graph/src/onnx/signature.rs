//! Which attributes and inputs operators have.
//!
//! An attribute that an operator does not have in its version would be passed over in silence, and the model compute
//! something else than its maker meant: `Clip` of version 13 with the attributes of version 6 does not clip at all.

use super::Onnx;
use super::schemas::SIGNATURES;
use crate::{Error, Result};

/// What an operator of ONNX's own set has from a version on.
pub(super) struct Signature {
    name: &'static str,
    since: i64,
    /// The most inputs; [`ANY`] where there is no limit.
    inputs: u8,
    /// Names of attributes, separated by spaces.
    attributes: &'static str,
}

/// As many inputs as one likes.
const ANY: u8 = u8::MAX;

impl Signature {
    pub(super) const fn new(name: &'static str, since: i64, inputs: u8, attributes: &'static str) -> Self {
        Self { name, since, inputs, attributes }
    }
}

/// The signature of an operator in a version; that of its first one for older versions.
fn signature(name: &str, version: i64) -> Option<&'static Signature> {
    let first = SIGNATURES.partition_point(|s| s.name < name);
    let all = SIGNATURES.get(first..)?;
    let own = all.get(..all.partition_point(|s| s.name == name))?;
    own.iter().rev().find(|s| s.since <= version).or_else(|| own.first())
}

/// Refuses attributes and inputs that an operator of ONNX's own set does not have in its version.
///
/// # Errors
/// It has one, which is named.
pub(super) fn check(op: &Onnx) -> Result<()> {
    let own = op.domain.is_empty() || op.domain == "ai.onnx";
    let Some(known) = signature(&op.op_type, op.version).filter(|_| own) else { return Ok(()) };
    let has = |name: &str| known.attributes.split(' ').any(|a| a == name);
    let what = format!("version {} of the operator set", op.version);
    if let Some(name) = op.attributes.keys().find(|name| !has(name)) {
        let all = match known.attributes {
            "" => "it has none".to_owned(),
            all => format!("it has {}", all.replace(' ', ", ")),
        };
        return Err(Error::Op(format!("has no attribute `{name}` in {what}: {all}")));
    }
    let inputs = op.inputs.len() - op.captures().min(op.inputs.len());
    let given = op.inputs.iter().take(inputs).rposition(|&g| g).map_or(0, |i| i + 1);
    if known.inputs != ANY && given > known.inputs.into() {
        return Err(Error::Op(format!("has {} inputs in {what}, {given} given", known.inputs)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Attribute, defs};
    use super::*;

    #[test]
    fn the_table_is_sorted_and_whole() {
        let order = |s: &Signature| (s.name, s.since);
        assert!(SIGNATURES.is_sorted_by(|a, b| order(a) < order(b)));
        for def in defs().filter(|d| d.domain.is_empty()) {
            assert!(signature(def.name, 21).is_some() || UNLISTED.contains(&def.name), "{}", def.name);
        }
    }

    /// What files have in ONNX's own set, though ONNX does not define it.
    const UNLISTED: &[&str] = &["SimplifiedLayerNormalization"];

    #[test]
    fn what_an_operator_does_not_have_is_refused() {
        let clip = |version: i64| Onnx::new("Clip", version, 1).with("min", Attribute::Float(0.0));
        assert!(check(&clip(6)).is_ok());
        let error = check(&clip(13)).unwrap_err().to_string();
        assert_eq!(error, "has no attribute `min` in version 13 of the operator set: it has none");
        let bounds = |version: i64| Onnx::new("Clip", version, 3);
        assert!(check(&bounds(11)).is_ok());
        let error = check(&bounds(10)).unwrap_err().to_string();
        assert_eq!(error, "has 1 inputs in version 10 of the operator set, 3 given");
        let pool = Onnx::new("MaxPool", 12, 1).with("ceil_mod", Attribute::Int(1));
        assert!(check(&pool).unwrap_err().to_string().contains("it has auto_pad, ceil_mode, dilations"));
        assert!(check(&Onnx::new("Relu", 14, 2)).is_err());
        assert!(check(&Onnx::new("Concat", 13, 40).with("axis", Attribute::Int(0))).is_ok());
        let foreign = Onnx { domain: "com.example".into(), ..pool };
        assert!(check(&foreign).is_ok());
    }
}
