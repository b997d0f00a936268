//! What adds a regularizer's penalties to the gradients of a step.

use std::sync::Arc;

use occam_engine::Tensor;
use occam_graph::{Graph, Weights};
use occam_space::{Trace, TraceOptions, trace};
use occam_train::{Error, GradientMap, Model, Result};

use super::{Moment, Of, Regularizer};
use crate::importance::Subject;
use crate::shaped::failed;

/// A regularizer at work on a model that may become narrower.
pub(crate) struct Learner {
    regularizer: Box<dyn Regularizer>,
    /// The graph that was last seen, and its units.
    seen: Option<(Arc<Graph>, Arc<Trace>)>,
}

impl Learner {
    pub(crate) fn new(regularizer: Box<dyn Regularizer>) -> Self {
        Self { regularizer, seen: None }
    }

    pub(crate) fn regularizer(&self) -> &dyn Regularizer {
        &*self.regularizer
    }

    /// Forgets what is known of channels, since some are gone.
    pub(crate) fn narrowed(&mut self) {
        self.regularizer.narrowed();
    }

    /// The units of the model as it is.
    fn units(&mut self, graph: &Arc<Graph>) -> Result<Arc<Trace>> {
        match &self.seen {
            Some((seen, units)) if Arc::ptr_eq(seen, graph) => Ok(units.clone()),
            _ => {
                let units = Arc::new(trace(graph, &TraceOptions::default()).map_err(failed)?);
                self.seen = Some((graph.clone(), units.clone()));
                Ok(units)
            }
        }
    }

    /// Adds the penalties to the gradients of a step of `model`, whose parameters have `prefix` there. Parameters without a
    /// gradient get none.
    ///
    /// # Errors
    /// As [`Regularizer::penalties`].
    pub(crate) fn add(
        &mut self,
        model: &Model,
        prefix: &str,
        moment: &Moment<'_>,
        gradients: &mut GradientMap,
    ) -> Result<()> {
        let graph = model.graph().clone();
        let units = self.units(&graph)?;
        let weights = model.params.to_weights()?;
        let subject = Subject { graph: &graph, weights: &weights, trace: &units, seed: 0 };
        for penalty in self.regularizer.penalties(&subject, moment).map_err(failed)? {
            let name = &graph.value(penalty.value)?.name;
            let Some(param) = model.params.get(name) else { continue };
            let Some(gradient) = gradients.get_mut(&format!("{prefix}{name}")) else { continue };
            let mut shape = vec![1; param.tensor.rank()];
            if let Some(size) = shape.get_mut(penalty.axis) {
                *size = penalty.factors.len();
            }
            let factors = Tensor::from_f32(&shape, penalty.factors, model.device())?;
            let of = match penalty.of {
                Of::Value => param.tensor.clone(),
                Of::Sign => sign(&param.tensor)?,
            };
            *gradient = gradient.add(&of.mul(&factors)?)?;
        }
        Ok(())
    }

    /// What belongs into checkpoints.
    pub(crate) fn state(&self) -> Weights {
        self.regularizer.state()
    }

    /// Goes on from what [`Learner::state`] gave.
    pub(crate) fn load_state(&mut self, state: &Weights) -> Result<()> {
        self.regularizer.load_state(state).map_err(Error::Other)
    }
}

/// −1, 0 or 1 by element.
fn sign(tensor: &Tensor) -> Result<Tensor> {
    let zero = Tensor::full(&vec![1; tensor.rank()], 0.0, &tensor.device());
    Ok(tensor.at_least(&zero)?.sub(&tensor.scale(-1.0)?.at_least(&zero)?)?)
}
