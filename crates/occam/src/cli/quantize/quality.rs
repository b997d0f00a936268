//! How good the quantized model is, and what is done to keep it so.

use occam_engine::{Device, Tensor};
use occam_quant::analyze::{Analyzer, Rounding, Which, argmax};
use occam_quant::mixed::{Kept, keep, sensitivity};
use occam_quant::ptq::{Calibrated, Options, Quantized};

use super::{BATCH, Bar, fixed_batch};
use crate::cli::prune::data::Images;
use crate::diagnostic::Failure;

/// Images that the error of each value is measured on.
const LOOKED_AT: usize = 16;

/// What the model may lose.
#[derive(clap::Args)]
#[command(next_help_heading = "Accuracy")]
pub struct QualityArgs {
    /// Leave as many layers in floats as are needed to lose no more than so many points of accuracy, the most sensitive first;
    /// where images have no classes, of agreement with the float model
    #[arg(long, value_name = "POINTS", value_parser = parse_points)]
    max_drop: Option<f64>,
    /// Training images that --max-drop is measured on, drawn apart from those that ranges are observed on
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "max_drop")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    score_images: u32,
}

fn parse_points(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x >= 0.0 && x.is_finite() => Ok(x),
        _ => Err("points of accuracy are wanted, such as 0.5".into()),
    }
}

/// Batches with their classes, where they have some.
struct Scored {
    batches: Vec<Vec<Tensor>>,
    labels: Option<Vec<i64>>,
}

impl Scored {
    fn of(images: &Images, batch: usize, count: usize, fixed: bool) -> Result<Self, Failure> {
        let loader = images.drawn(count, batch, images.seed().wrapping_add(1))?;
        let device = Device::cpu();
        let (mut batches, mut labels) = (Vec::new(), Vec::new());
        for batch_of in loader.epoch(0, 0) {
            let found = batch_of?;
            if fixed && found.len() != batch {
                continue;
            }
            labels.extend(found.samples.iter().filter_map(|s| s.gt_label.first().copied()));
            batches.push(vec![Tensor::from_array(&found.inputs, &device)?]);
        }
        let labelled = images.labelled() && images.outputs().is_some();
        Ok(Self { batches, labels: labelled.then_some(labels) })
    }

    /// Percent of the images that get their class, or the float model's.
    fn score(&self, model: &Quantized, float: Option<&[usize]>) -> Result<f64, Failure> {
        let found = self.classes(model, &Which::All)?;
        let wanted: Vec<usize> = match (&self.labels, float) {
            (Some(labels), _) => labels.iter().map(|&l| usize::try_from(l).unwrap_or(usize::MAX)).collect(),
            (None, Some(float)) => float.to_vec(),
            (None, None) => Vec::new(),
        };
        Ok(percent(&found, &wanted))
    }

    fn classes(&self, model: &Quantized, which: &Which) -> Result<Vec<usize>, Failure> {
        let analyzer = Analyzer::new(model, &Device::cpu())?;
        let mut list = Vec::new();
        for batch in &self.batches {
            let outputs = analyzer.run(batch, which)?;
            let Some(first) = outputs.first() else { continue };
            let rows = first.shape().first().copied().unwrap_or(1).max(1);
            let data = first.to_f32()?;
            list.extend(data.chunks_exact((data.len() / rows).max(1)).map(argmax));
        }
        Ok(list)
    }
}

fn percent(found: &[usize], wanted: &[usize]) -> f64 {
    let same = found.iter().zip(wanted).filter(|(a, b)| a == b).count();
    100.0 * same as f64 / wanted.len().max(1) as f64
}

impl QualityArgs {
    /// The model that keeps the wanted quality; none where none is asked for.
    ///
    /// # Errors
    /// There are no images, or no choice of layers keeps it.
    pub(super) fn keep(
        &self,
        calibrated: &Calibrated,
        options: &Options,
        images: Option<&Images>,
        bar: &mut Bar,
    ) -> Result<Option<Kept>, Failure> {
        let Some(drop) = self.max_drop else { return Ok(None) };
        let Some(images) = images else {
            return Err(Failure::new("--max-drop is measured on images, and none are given")
                .with_help("give some with --data DIR"));
        };
        let fixed = fixed_batch(&calibrated.graph);
        let batch = fixed.unwrap_or(BATCH);
        let scored = Scored::of(images, batch, self.score_images as usize, fixed.is_some())?;
        let all = calibrated.quantize(options)?;
        let float = scored.classes(&all, &Which::None)?;
        let base = match &scored.labels {
            Some(labels) => {
                let labels: Vec<usize> =
                    labels.iter().map(|&l| usize::try_from(l).unwrap_or(usize::MAX)).collect();
                percent(&float, &labels)
            }
            None => 100.0,
        };
        let few = scored.batches.len().min(64usize.div_ceil(batch));
        let order = sensitivity(
            &all,
            scored.batches.get(..few).unwrap_or_default(),
            &Device::cpu(),
            |done, total| bar.at("layers", done, total),
        )?;
        let kept = keep(calibrated, options, &order, base - drop, |model| {
            bar.at("models", 0, 1);
            scored.score(model, Some(&float))
        });
        match kept {
            Ok(kept) => Ok(Some(kept)),
            Err(failure) => Err(failure.with_help(
                "allow a larger --max-drop, give activations or weights more bits, or calibrate on more images",
            )),
        }
    }
}

/// What rounding does to each value, where that is wanted.
///
/// # Errors
/// The model cannot be run.
pub(super) fn roundings(
    model: &Quantized,
    images: Option<&Images>,
    wanted: bool,
) -> Result<Option<Vec<Rounding>>, Failure> {
    if !wanted {
        return Ok(None);
    }
    let analyzer = Analyzer::new(model, &Device::cpu())?;
    let device = Device::cpu();
    let mut batches = Vec::new();
    if let Some(images) = images {
        let fixed = fixed_batch(&model.graph);
        let batch = fixed.unwrap_or(BATCH);
        for found in images.sample_by(LOOKED_AT.max(batch), batch)?.epoch(0, 0) {
            let found = found?;
            if fixed.is_none_or(|n| n == found.len()) {
                batches.push(Ok::<_, Failure>(vec![Tensor::from_array(&found.inputs, &device)?]));
            }
        }
    }
    Ok(Some(analyzer.roundings(batches)?))
}
