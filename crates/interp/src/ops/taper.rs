//! Window functions of signal processing.

use std::f64::consts::TAU;

use occam_graph::{Array, DType};

use super::unary::one;
use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::numbers::from_f64;
use crate::view::count;

pub(super) const TABLE: &[Eval] = &[
    Eval::new("HannWindow", |c| window(c, [0.5, 0.5, 0.0])),
    Eval::new("HammingWindow", |c| window(c, [25.0 / 46.0, 21.0 / 46.0, 0.0])),
    Eval::new("BlackmanWindow", |c| window(c, [0.42, 0.5, 0.08])),
];

/// The longest window.
const MOST: usize = 1 << 28;

/// `a - b cos(2πi / n) + c cos(4πi / n)`; `n` is the length, or one less where the window is not periodic.
fn window(c: &Operands<'_>, [a, b, d]: [f64; 3]) -> Result<Vec<Array>> {
    let length = match c.int(0)?.map(usize::try_from) {
        Some(Ok(n)) if n <= MOST => n,
        other => return refuse(format!("takes a length of 0 to {MOST}, found {other:?}")),
    };
    let periodic = c.op.int("periodic")?.unwrap_or(1) != 0;
    let steps = if periodic { length } else { length.saturating_sub(1) }.max(1) as f64;
    let values: Vec<f64> = (0..count(&[length])?)
        .map(|i| {
            let angle = TAU * i as f64 / steps;
            a - b * angle.cos() + d * (2.0 * angle).cos()
        })
        .collect();
    one(from_f64(c.op.dtype("output_datatype")?.unwrap_or(DType::F32), &[length], &values))
}
