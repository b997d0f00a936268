//! Accuracy first: layers that rounding hurts most stay in floats or get more bits, until what is lost is little enough.

use std::collections::HashSet;

use occam_engine::{Device, Tensor};

use crate::analyze::{Analyzer, Distance, Which};
use crate::backends::Wishes;
use crate::ptq::{Calibrated, Options, Quantized};
use crate::{Error, Result};

/// How much the outputs suffer from one layer alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensitivity {
    /// The layer's node.
    pub layer: String,
    /// SQNR of the outputs in dB, where its weight and what it reads are rounded and nothing else.
    pub sqnr: f64,
    /// Percent of the inputs that get another class.
    pub changed: f64,
}

/// The sensitivity of each layer of `model`, the most sensitive first: outputs of the float model on `batches` against those
/// with one layer rounded. Values without classes count as one row a sample.
///
/// # Errors
/// The inputs do not fit.
pub fn sensitivity(
    model: &Quantized,
    batches: &[Vec<Tensor>],
    device: &Device,
    mut told: impl FnMut(usize, usize),
) -> Result<Vec<Sensitivity>> {
    let analyzer = Analyzer::new(model, device)?;
    let mut float = Vec::new();
    for batch in batches {
        float.push(first(analyzer.run(batch, &Which::None)?)?);
    }
    let layers = analyzer.layers()?;
    let count = layers.len();
    let mut list = Vec::new();
    for (i, (layer, nodes)) in layers.into_iter().enumerate() {
        told(i, count);
        let mut distance = Distance::default();
        for (batch, (wanted, columns)) in batches.iter().zip(&float) {
            let (found, _) = first(analyzer.run(batch, &Which::Only(nodes.clone()))?)?;
            distance.add(wanted, &found, *columns);
        }
        list.push(Sensitivity { layer, sqnr: distance.sqnr(), changed: 100.0 - distance.same() });
    }
    list.sort_by(|a, b| a.sqnr.total_cmp(&b.sqnr));
    Ok(list)
}

/// The elements of the first output, and how many there are a sample.
fn first(outputs: Vec<Tensor>) -> Result<(Vec<f32>, usize)> {
    let tensor = outputs.first().ok_or_else(|| Error::Other("the model gives nothing".into()))?;
    let rows = tensor.shape().first().copied().unwrap_or(1).max(1);
    let data = tensor.to_f32()?;
    let columns = data.len() / rows;
    Ok((data, columns))
}

/// What was done to keep a model's quality.
#[derive(Debug)]
pub struct Kept {
    /// The model.
    pub quantized: Quantized,
    /// What is wished for to get it.
    pub wishes: Wishes,
    /// Layers that stay in floats, the most sensitive first.
    pub floats: Vec<String>,
    /// The score with everything rounded.
    pub all: f64,
    /// The score of the result.
    pub score: f64,
    /// How many models were scored.
    pub scored: usize,
}

/// Leaves so few of the most sensitive layers in floats that the score is at least `wanted`: by bisection over their number,
/// as if a layer more never made it worse.
///
/// `score` tells how good a model is; larger is better.
///
/// # Errors
/// No number of layers is enough, or a model cannot be made or scored.
pub fn keep<E: From<Error>>(
    calibrated: &Calibrated,
    options: &Options,
    order: &[Sensitivity],
    wanted: f64,
    mut score: impl FnMut(&Quantized) -> std::result::Result<f64, E>,
) -> std::result::Result<Kept, E> {
    let all_rounded = calibrated.quantize(options)?;
    let all = score(&all_rounded)?;
    let mut scored = 1;
    let by_name = |count: usize| -> Result<(Quantized, Wishes, Vec<String>)> {
        let names: Vec<String> = order.iter().take(count).map(|s| s.layer.clone()).collect();
        let set: HashSet<&str> = names.iter().map(String::as_str).collect();
        let mut wishes = calibrated.wishes.clone();
        for (id, node) in calibrated.graph.nodes() {
            if set.contains(node.name.as_str()) {
                wishes.floats.push((id, "its rounding costs too much accuracy".into()));
            }
        }
        Ok((calibrated.quantize_by(&wishes, options)?, wishes, names))
    };
    if all >= wanted {
        let wishes = calibrated.wishes.clone();
        return Ok(Kept { quantized: all_rounded, wishes, floats: Vec::new(), all, score: all, scored });
    }
    // The least number that is known to be too small, and the least that is known to do.
    let (mut low, mut high) = (0usize, None);
    let mut step = 1usize;
    let most = order.len().saturating_sub(1);
    while low < most && high.as_ref().is_none_or(|(n, ..): &(usize, _, _, _, _)| n - low > 1) {
        let next = match &high {
            None => (low + step).min(most),
            Some((n, ..)) => low + (n - low) / 2,
        };
        let (quantized, wishes, names) = by_name(next)?;
        let reached = score(&quantized)?;
        scored += 1;
        if reached >= wanted {
            high = Some((next, quantized, wishes, names, reached));
        } else {
            low = next;
            step *= 2;
        }
    }
    match high {
        Some((_, quantized, wishes, floats, score)) => {
            Ok(Kept { quantized, wishes, floats, all, score, scored })
        }
        None => Err(Error::Dropped { wanted, all, layers: order.len() }.into()),
    }
}
