//! What a sample with any number of classes should be predicted as.

use crate::{DataSample, Error, Result};

/// What one class of a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Positive,
    Negative,
    /// Left out of the figures.
    Ignored,
}

/// What classes are that only have difficult objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difficult {
    Positive,
    Negative,
    Ignored,
}

impl Difficult {
    /// Outside VOC there are none: they are as all that is not named.
    pub(super) fn new(voc: bool, as_positive: Option<bool>) -> Self {
        match as_positive {
            None if voc => Self::Ignored,
            Some(true) => Self::Positive,
            None | Some(false) => Self::Negative,
        }
    }

    /// # Errors
    /// The argument is given outside VOC.
    pub(super) fn check(metric: &'static str, voc: bool, as_positive: Option<bool>) -> Result<()> {
        match as_positive.is_some() && !voc {
            true => {
                let detail = format!("`difficult_as_positive` is an argument of VOC{metric}");
                Err(Error::argument(metric, detail))
            }
            false => Ok(()),
        }
    }
}

/// The scores of a sample, and what each class should be: positive where `gt_score` is 1, or, without scores, where it is
/// among `gt_label`. As in the original, a score of -1 is ignored.
pub(super) fn targets<'a>(
    metric: &'static str,
    sample: &'a DataSample,
    difficult: Difficult,
) -> Result<(&'a [f32], Vec<Target>)> {
    let misfit = |detail: String| Error::Metric { metric, detail };
    let scores = sample
        .pred_score
        .as_deref()
        .ok_or_else(|| misfit(format!("sample {} has no predicted scores", sample.index)))?;
    let position = |label: &i64| {
        usize::try_from(*label).ok().filter(|&label| label < scores.len()).ok_or_else(|| {
            misfit(format!("sample {} has the label {label}, of {} classes", sample.index, scores.len()))
        })
    };
    let mut targets = match &sample.gt_score {
        Some(wanted) if wanted.len() == scores.len() => wanted
            .iter()
            .map(|&score| match score as i64 {
                1 => Target::Positive,
                -1 => Target::Ignored,
                _ => Target::Negative,
            })
            .collect(),
        Some(wanted) => {
            return Err(misfit(format!(
                "sample {} has scores of {} classes, {} were predicted",
                sample.index,
                wanted.len(),
                scores.len()
            )));
        }
        None => {
            let mut targets = vec![Target::Negative; scores.len()];
            for label in &sample.gt_label {
                targets[position(label)?] = Target::Positive;
            }
            targets
        }
    };
    for label in sample.gt_label_difficult.iter().filter(|label| !sample.gt_label.contains(label)) {
        match difficult {
            Difficult::Positive => targets[position(label)?] = Target::Positive,
            Difficult::Ignored => targets[position(label)?] = Target::Ignored,
            Difficult::Negative => {}
        }
    }
    Ok((scores, targets))
}
