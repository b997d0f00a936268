//! A model whose units become narrower while it is trained.

use std::sync::Arc;

use occam_graph::{Graph, Source, Weights};
use occam_space::{Kept, Selection, Trace, TraceOptions, Unit, kept, narrow, shrink, slice, spread, trace};
use occam_train::{Cuts, Model};

use crate::importance::Subject;
use crate::{Error, Scores};

/// The graph that a model had with all channels, its units, and how wide they are at present.
///
/// A model that has lost channels is that graph with the first channels of each unit: which of the original channels they
/// were is not kept, since nothing depends on it.
pub struct Shaped {
    graph: Arc<Graph>,
    trace: Trace,
    widths: Vec<usize>,
}

type Result<T, E = occam_train::Error> = std::result::Result<T, E>;

/// As an error of a training.
pub(crate) fn failed(error: impl Into<Error>) -> occam_train::Error {
    occam_train::Error::Other(error.into().to_string())
}

impl Shaped {
    /// Finds the units of `graph`, all at their full width.
    ///
    /// # Errors
    /// No channel of it can be pruned.
    pub fn new(graph: Arc<Graph>) -> Result<Self, Error> {
        let trace = trace(&graph, &TraceOptions::default())?;
        if trace.prunable().next().is_none() {
            let why = trace.units.iter().find_map(|u| Some(format!("`{}`: {}", u.name, u.kept_by.as_ref()?)));
            return Err(Error::Nothing(why.unwrap_or_else(|| "it has no layers with channels".into())));
        }
        let widths = trace.units.iter().map(|u| u.channels).collect();
        Ok(Self { graph, trace, widths })
    }

    /// The graph with all channels.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Its units.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The present width of each unit.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// The first `widths` channels of each unit.
    fn first(&self, widths: &[usize]) -> Result<Selection, Error> {
        let mut selection = Selection::all(&self.trace);
        for (i, (unit, &width)) in self.trace.units.iter().zip(widths).enumerate() {
            if width != unit.channels {
                selection.set_width(&self.trace, i, width)?;
            }
        }
        Ok(selection)
    }

    /// What a model at the present widths has of each parameter.
    fn present(&self) -> Result<Kept, Error> {
        Ok(kept(&self.graph, &self.trace, &self.first(&self.widths)?)?)
    }

    /// Goes to `widths` without a model, and gives the graph that a model has there.
    ///
    /// # Errors
    /// A unit has fewer channels than that, or must stay as it is.
    pub fn narrow(&mut self, widths: &[usize]) -> Result<Graph, Error> {
        let selection = self.first(widths)?;
        let graph = narrow(&self.graph, &self.trace, &selection)?;
        self.widths = widths.to_vec();
        Ok(graph)
    }

    /// What a model at the present widths has of `weights`, which are of all channels.
    ///
    /// # Errors
    /// They are of another model.
    pub fn part(&self, weights: &Weights) -> Result<Weights, Error> {
        let present = self.present()?;
        let mut part = Weights::new();
        for (_, value) in self.graph.params() {
            let missing = || occam_space::Error::Weights(value.name.clone());
            let array = weights.get(&value.name).ok_or_else(missing)?;
            let own = match present.get(&value.name) {
                Some(axes) => slice(array, axes)?,
                None => array.clone(),
            };
            part.insert(value.name.clone(), own);
        }
        Ok(part)
    }

    /// The weights of a model at the present widths with all channels, of which those that are gone are 0.
    ///
    /// # Errors
    /// They are of other widths.
    pub fn spread(&self, weights: &Weights) -> Result<Weights, Error> {
        let present = self.present()?;
        let mut full = weights.clone();
        for (name, axes) in &present {
            if let Some(array) = full.get_mut(name) {
                *array = spread(array, axes)?;
            }
        }
        Ok(full)
    }

    /// The graph at other widths, with `weights`, which are of the present ones; channels that a unit gains are 0.
    ///
    /// # Errors
    /// A unit has fewer channels than that, or the weights are of other widths.
    pub fn at(&self, widths: &[usize], weights: &Weights) -> Result<(Graph, Weights), Error> {
        let selection = self.first(widths)?;
        Ok(shrink(&self.graph, &self.spread(weights)?, &self.trace, &selection)?)
    }

    /// Makes units of `model` as narrow as `widths` says; units that are narrower already stay. `scores` says how much each
    /// channel matters; where it says nothing, the first ones stay. Says what parameters lost, under their names behind
    /// `prefix`.
    ///
    /// # Errors
    /// A unit must stay as it is, has no score, or a node cannot follow.
    pub fn prune(
        &mut self,
        model: &mut Model,
        prefix: &str,
        widths: &[usize],
        scores: impl FnOnce(&Subject<'_>) -> Result<Option<Scores>, Error>,
    ) -> Result<Cuts> {
        let widths: Vec<usize> = self.widths.iter().zip(widths).map(|(&a, &b)| a.min(b)).collect();
        if widths == self.widths {
            return Ok(Cuts::default());
        }
        let full = self.spread(&model.params.to_weights()?).map_err(failed)?;
        let subject = Subject { graph: &self.graph, weights: &full, trace: &self.trace, seed: 0 };
        let scores = scores(&subject).map_err(failed)?;
        let mut selection = Selection::all(&self.trace);
        for (i, (unit, (&width, &live))) in
            self.trace.units.iter().zip(widths.iter().zip(&self.widths)).enumerate()
        {
            if width < unit.channels {
                let own = scores.as_ref().and_then(|all| all.get(i)).map(Vec::as_slice);
                selection.set(&self.trace, i, best(unit, live, width, own)).map_err(failed)?;
            }
        }
        let (small, weights) = shrink(&self.graph, &full, &self.trace, &selection).map_err(failed)?;
        let cuts = self.cuts(prefix, &selection).map_err(failed)?;
        model.reshape(small, &weights)?;
        self.widths = widths;
        Ok(cuts)
    }

    /// What `selection` takes from parameters of the present widths.
    fn cuts(&self, prefix: &str, selection: &Selection) -> Result<Cuts, Error> {
        let before = self.present()?;
        let mut cuts = Cuts::default();
        for (name, axes) in kept(&self.graph, &self.trace, selection)? {
            let own = before.get(&name).map(Vec::as_slice).unwrap_or_default();
            for (axis, mask) in axes {
                let live = own.iter().find(|(a, _)| *a == axis).map(|(_, live)| live.as_slice());
                let is_live = |i: usize| live.and_then(|l| l.get(i)).copied().unwrap_or(true);
                let left = mask.iter().enumerate().filter(|(i, _)| is_live(*i)).map(|(_, &keep)| keep);
                let left: Vec<bool> = left.collect();
                if left.iter().any(|keep| !keep) {
                    let stay = left.iter().enumerate().filter(|(_, k)| **k).map(|(i, _)| i).collect();
                    cuts.add(&format!("{prefix}{name}"), axis, stay);
                }
            }
        }
        Ok(cuts)
    }

    /// Gives `model` the widths of `weights`, where these are weights of the graph at some widths.
    ///
    /// # Errors
    /// The device failed.
    pub fn adopt(&mut self, model: &mut Model, weights: &Weights) -> Result<()> {
        let widths = self.widths_in(weights);
        if widths == self.widths {
            return Ok(());
        }
        let Ok((graph, present)) = self.at(&widths, &model.params.to_weights()?) else { return Ok(()) };
        let fit = occam_graph::fit(&graph, weights)?;
        if fit.mismatched.is_empty() && !fit.matched.is_empty() {
            model.reshape(graph, &present)?;
            self.widths = widths;
        }
        Ok(())
    }

    /// How wide the units are in `weights`; those of which nothing can be told are as they are at present.
    pub fn widths_in(&self, weights: &Weights) -> Vec<usize> {
        let units = self.trace.units.iter().zip(&self.widths);
        units.map(|(unit, &width)| self.width_in(unit, weights).unwrap_or(width)).collect()
    }

    /// How wide a unit is in `weights`, by a parameter that has it alone on an axis.
    fn width_in(&self, unit: &Unit, weights: &Weights) -> Option<usize> {
        if unit.kept_by.is_some() {
            return None;
        }
        unit.members.iter().find_map(|member| {
            let value = self.graph.value(member.value).ok()?;
            let full = value.fact.known_shape()?;
            let alone = matches!(value.source, Source::Param(_))
                && full.get(member.axis) == Some(&member.elements.len());
            let array = weights.get(&value.name).filter(|a| alone && a.shape().len() == full.len())?;
            let size = array.shape().get(member.axis)?;
            let each = member.per_channel.max(1);
            let width = size / each;
            (size % each == 0 && (1..=unit.channels).contains(&width)).then_some(width)
        })
    }
}

/// Of the first `live` channels the `width` that matter most; among equals the first.
fn best(unit: &Unit, live: usize, width: usize, scores: Option<&[f64]>) -> Vec<bool> {
    let score = |c: usize| scores.and_then(|s| s.get(c)).copied().unwrap_or(0.0);
    let mut order: Vec<usize> = (0..live.min(unit.channels)).collect();
    order.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
    let mut keep = vec![false; unit.channels];
    for c in order.into_iter().take(width) {
        if let Some(k) = keep.get_mut(c) {
            *k = true;
        }
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_graph::ops::Flatten;
    use occam_graph::{Builder, DType, Dim, Fact};

    #[test]
    fn a_model_without_channels_to_prune_is_refused() {
        let mut builder = Builder::new();
        let fact = Fact::new(DType::F32, [Dim::symbol("N"), 3.into(), 8.into(), 8.into()]);
        let x = builder.input("input", fact).unwrap();
        let y = builder.op("flatten", Flatten { axis: 1 }, &[x]).unwrap();
        builder.output("output", y).unwrap();
        let error = Shaped::new(builder.finish().unwrap().into()).err().unwrap();
        assert!(error.to_string().contains("no channel of this model can be pruned"), "{error}");
    }
}
