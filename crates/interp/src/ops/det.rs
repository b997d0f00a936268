//! Determinants.

use super::Eval;
use super::unary::{floats, one};
use crate::error::refuse;
use crate::numbers::{from_f64, to_f64};
use crate::view::count;

pub(super) const TABLE: &[Eval] = &[Eval::new("Det", |c| {
    let x = c.array(0)?;
    if !x.dtype().is_float() {
        return floats(x);
    }
    let [batch @ .., rows, columns] = x.shape() else {
        return refuse(format!("takes matrices, found {x:?}"));
    };
    if rows != columns {
        return refuse(format!("takes square matrices, found {x:?}"));
    }
    let all = to_f64(x);
    let found: Vec<f64> = match rows * columns {
        // The determinant of a matrix without elements.
        0 => vec![1.0; count(batch)?],
        area => all.chunks(area).map(|m| determinant(m, *rows)).collect(),
    };
    one(from_f64(x.dtype(), batch, &found))
})];

/// By elimination, with the largest element of a column as its pivot.
fn determinant(matrix: &[f64], size: usize) -> f64 {
    let mut rows: Vec<Vec<f64>> = matrix.chunks(size).map(<[f64]>::to_vec).collect();
    let at = |row: &[f64], i: usize| row.get(i).copied().unwrap_or(0.0);
    let mut result = 1.0;
    for column in 0..size {
        let best = (0..rows.len()).max_by(|&i, &j| {
            let size = |k: usize| rows.get(k).map_or(0.0, |r| at(r, column).abs());
            size(i).total_cmp(&size(j))
        });
        let Some(best) = best else { break };
        // A row that is taken out from the place `best` passes as many others.
        if best % 2 == 1 {
            result = -result;
        }
        let pivot = rows.remove(best);
        let head = at(&pivot, column);
        result *= head;
        if head == 0.0 {
            return 0.0;
        }
        for row in &mut rows {
            let factor = at(row, column) / head;
            row.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
        }
    }
    result
}
