//! Whether more or less of a figure is better.

use occam_config::Error;
use serde::Deserialize;

/// Which figures are the better ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Rule {
    Greater,
    Less,
}

/// mmengine's parts of names of figures that should be large.
pub(super) const GREATER: &[&str] =
    &["acc", "top", "AR@", "auc", "precision", "mAP", "mDice", "mIoU", "mAcc", "aAcc"];
/// mmengine's parts of names of figures that should be small.
pub(super) const LESS: &[&str] = &["loss"];

impl Rule {
    /// The rule for a figure of that name: one of `greater` or `less` is it, or part of it, in any case.
    ///
    /// # Errors
    /// None is.
    pub fn of<S: AsRef<str>>(name: &str, greater: &[S], less: &[S]) -> Result<Self, Error> {
        let name_lower = name.to_lowercase();
        let is = |keys: &[S]| keys.iter().any(|k| k.as_ref().to_lowercase() == name_lower);
        let has = |keys: &[S]| keys.iter().any(|k| name_lower.contains(&k.as_ref().to_lowercase()));
        match (is(greater), is(less), has(greater), has(less)) {
            (true, ..) => Ok(Rule::Greater),
            (_, true, ..) => Ok(Rule::Less),
            (_, _, true, _) => Ok(Rule::Greater),
            (_, _, _, true) => Ok(Rule::Less),
            _ => Err(Error::new(format!("nobody can tell whether `{name}` should be large or small"))
                .with_help("set `rule='greater'` or `rule='less'`")),
        }
    }

    /// Whether `a` is better than `b`.
    pub fn better(self, a: f64, b: f64) -> bool {
        match self {
            Rule::Greater => a > b,
            Rule::Less => a < b,
        }
    }

    /// What every figure is better than.
    pub fn worst(self) -> f64 {
        match self {
            Rule::Greater => f64::NEG_INFINITY,
            Rule::Less => f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_by_names() {
        let rule = |name: &str| Rule::of(name, GREATER, LESS).ok();
        assert_eq!(rule("accuracy/top1"), Some(Rule::Greater));
        assert_eq!(rule("coco/bbox_mAP"), Some(Rule::Greater));
        assert_eq!(rule("loss"), Some(Rule::Less));
        assert_eq!(rule("val_LOSS"), Some(Rule::Less));
        assert_eq!(rule("stoploss"), Some(Rule::Greater));
        assert_eq!(rule("error"), None);
    }
}
