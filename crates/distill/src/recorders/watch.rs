//! What a run is asked for, and what it gave.

use std::collections::HashMap;

use occam_data::{Batch, DataSample};
use occam_engine::{Device, Mode, Outputs, Request, Tensor};
use occam_graph::ValueId;
use occam_train::{Error, Result};
use occam_zoo::Sites;

use super::record::{of_site, pick};
use super::{Record, Selection, Slot};

/// What of a model is looked at in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watch {
    taps: Vec<ValueId>,
    sites: Vec<String>,
    labels: bool,
}

impl Watch {
    /// Looks at one more value.
    pub fn add(&mut self, selection: &Selection) {
        match selection {
            Selection::Known(Slot::Labels) => self.labels = true,
            Selection::Known(Slot::Value(v)) if !self.taps.contains(v) => self.taps.push(*v),
            Selection::Site { path, .. } if !self.sites.contains(path) => self.sites.push(path.clone()),
            _ => {}
        }
    }

    /// A run in `mode` that returns the values of the graph.
    pub fn request(&self, mode: Mode) -> Request {
        Request { taps: self.taps.clone(), ..Request::new(mode) }
    }

    /// Notes the calls outside the graph, while the loss is computed.
    pub fn sites(&self) -> Sites {
        Sites::watching(self.sites.iter().map(String::as_str))
    }

    /// Whether the loss must be computed, since calls in it are looked at.
    pub fn needs_loss(&self) -> bool {
        !self.sites.is_empty()
    }

    /// Gathers what a run gave.
    ///
    /// # Errors
    /// Labels are looked at, and a sample has not exactly one.
    pub fn gather(
        &self,
        outputs: &mut Outputs,
        sites: Sites,
        batch: &Batch,
        device: &Device,
    ) -> Result<Observed> {
        let labels = if self.labels { Some(labels(&batch.samples, device)?) } else { None };
        Ok(Observed { taps: std::mem::take(&mut outputs.taps), sites, labels })
    }
}

/// Class indices of a batch: `i64 [B]`.
fn labels(samples: &[DataSample], device: &Device) -> Result<Tensor> {
    let labels: Result<Vec<i64>> = samples
        .iter()
        .map(|sample| match sample.gt_label.as_slice() {
            [label] => Ok(*label),
            other => Err(Error::Other(format!(
                "sample {} has {} labels, but one is recorded as `data_idx=1` of the model's inputs",
                sample.index,
                other.len()
            ))),
        })
        .collect();
    Ok(Tensor::from_i64(&[samples.len()], labels?, device)?)
}

/// What was looked at in one run.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    taps: HashMap<ValueId, Tensor>,
    sites: Sites,
    labels: Option<Tensor>,
}

impl Observed {
    /// The same values, of which no gradient flows back.
    #[must_use]
    pub fn detached(self) -> Self {
        let taps = self.taps.into_iter().map(|(v, tensor)| (v, tensor.detach())).collect();
        Self { taps, sites: self.sites.detached(), labels: self.labels }
    }

    /// The value that was chosen.
    ///
    /// # Errors
    /// It was not watched, or calls outside the graph have no such record or item.
    pub fn get(&self, selection: &Selection) -> Result<Tensor> {
        let unwatched = || Error::Other("a value was not watched".into());
        match selection {
            Selection::Known(Slot::Value(v)) => self.taps.get(v).cloned().ok_or_else(unwatched),
            Selection::Known(Slot::Labels) => self.labels.clone().ok_or_else(unwatched),
            Selection::Site { path, part, record_idx, data_idx } => {
                let calls = self.sites.calls(path).ok_or_else(unwatched)?;
                let records: Vec<Record<Tensor>> = calls.iter().map(|call| of_site(call, *part)).collect();
                let value = pick(&records, *record_idx, *data_idx);
                Ok(value.map_err(|e| e.with_context(format!("in the calls of {path:?}")))?.clone())
            }
        }
    }
}
