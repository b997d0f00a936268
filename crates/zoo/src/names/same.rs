//! Families whose backbone holds the classifier too, under torchvision's names; timm's, where it has the family, are the same.

use super::State;

/// `name` inside the backbone, where the first of its parts is one of the family's.
fn inside(name: &str, known: bool) -> Option<String> {
    known.then(|| format!("backbone.{name}"))
}

pub(super) fn alexnet(_: &State<'_>, name: &str, parts: &[&str]) -> Option<String> {
    inside(name, matches!(*parts, ["features" | "classifier", _, _]))
}

pub(super) fn googlenet(_: &State<'_>, name: &str, parts: &[&str]) -> Option<String> {
    let start = parts.first()?;
    let known = ["conv", "inception", "aux"].iter().any(|known| start.starts_with(known));
    inside(name, known || *start == "fc")
}

/// `AuxLogits`, where it is there, is the backbone's with `aux_logits=True`.
pub(super) fn inception_v3(_: &State<'_>, name: &str, parts: &[&str]) -> Option<String> {
    let start = parts.first()?;
    let known = start.starts_with("Conv2d_") || start.starts_with("Mixed_");
    inside(name, known || matches!(*start, "AuxLogits" | "fc"))
}

pub(super) fn squeezenet(_: &State<'_>, name: &str, parts: &[&str]) -> Option<String> {
    inside(name, matches!(*parts, ["features" | "classifier", ..]))
}
