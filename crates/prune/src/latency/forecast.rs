//! The time of a model at widths that were not measured.

use std::cell::RefCell;
use std::collections::HashMap;

use super::blocks::Blocks;
use super::fit::{Fit, pattern};
use super::table::Table;

/// By operator and pattern of sizes.
type Fits<'a> = HashMap<(&'a str, Vec<bool>), Option<Fit<'a>>>;

/// Predicts times from a table. The table does not change meanwhile, so what was computed once is kept.
pub struct Forecast<'a> {
    blocks: &'a Blocks,
    table: &'a Table,
    /// By block what sizes are multiples of.
    grains: Vec<Vec<usize>>,
    fits: RefCell<Fits<'a>>,
    known: RefCell<HashMap<(&'a str, Vec<usize>), f64>>,
}

impl<'a> Forecast<'a> {
    /// Prepares predictions where the widths of units are multiples of `steps`, or what they were in the model.
    pub fn new(blocks: &'a Blocks, table: &'a Table, steps: &[usize]) -> Self {
        let grains = blocks.all.iter().map(|b| b.grains(steps)).collect();
        Self { blocks, table, grains, fits: RefCell::default(), known: RefCell::default() }
    }

    /// Microseconds of the block at `index` where units have lost so many channels; 0 of a block that was never measured.
    pub fn block(&self, index: usize, gone: &[usize]) -> f64 {
        let (Some(block), Some(grains)) = (self.blocks.all.get(index), self.grains.get(index)) else {
            return 0.0;
        };
        let sizes = block.sizes(gone);
        if let Some(us) = self.table.get(&block.op, &sizes) {
            return us;
        }
        if let Some(&us) = self.known.borrow().get(&(block.op.as_str(), sizes.clone())) {
            return us;
        }
        let wanted = pattern(&sizes, grains);
        let mut fits = self.fits.borrow_mut();
        let fit = fits
            .entry((block.op.as_str(), wanted))
            .or_insert_with_key(|(op, wanted)| Fit::new(self.table.points(op)?, wanted, grains));
        let us = fit.as_ref().map_or(0.0, |f| f.at(&sizes));
        self.known.borrow_mut().insert((block.op.as_str(), sizes), us);
        us
    }

    /// Microseconds of every block.
    pub fn all(&self, gone: &[usize]) -> Vec<f64> {
        (0..self.blocks.all.len()).map(|b| self.block(b, gone)).collect()
    }

    /// Microseconds of the whole model at `widths`.
    pub fn total(&self, widths: &[usize]) -> f64 {
        self.all(&self.blocks.gone(widths)).iter().sum()
    }

    /// What is divided into blocks.
    pub fn blocks(&self) -> &'a Blocks {
        self.blocks
    }
}
