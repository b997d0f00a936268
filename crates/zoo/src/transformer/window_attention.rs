//! Attention within windows of a map (Liu et al., 2021, arXiv:2103.14030).

use occam_graph::ops::{
    AdaptivePad, Binary, Concat, DropUnit, Flatten, MatMul, Scale, Slice, Softmax, Transpose, Unflatten,
};
use occam_graph::{Array, Role, ValueId};

use super::{features, linear};
use crate::error::refuse;
use crate::{Init, Net, Result};

/// mmcls' `ShiftWindowMSA` with its `WindowMSA`: a map, zero-padded to whole windows and rolled by `shift`, is cut into square
/// windows, in each of which every place attends to every other. A learned bias for every distance is added to the scores.
///
/// Windows of a rolled map that hold places from both of its ends get −100 added to the scores between these; the numbers,
/// which follow from the sizes, are the constant `attn_mask`.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowAttention {
    pub heads: usize,
    /// Rows and columns of the map.
    pub places: [usize; 2],
    /// Side of the windows.
    pub window: usize,
    /// Rows and columns by which the map is rolled, below `window`.
    pub shift: usize,
    /// Probability that a training example skips the attention.
    pub drop_path: f64,
}

fn transposed(net: &mut Net, name: &str, x: ValueId, perm: &[usize]) -> Result<ValueId> {
    Ok(net.op(name, Transpose { perm: perm.to_vec() }, &[x])?)
}

fn split(net: &mut Net, name: &str, x: ValueId, axis: usize, sizes: &[usize]) -> Result<ValueId> {
    Ok(net.op(name, Unflatten { axis, sizes: sizes.to_vec() }, &[x])?)
}

/// Moves what lies from `start` on along `axis`, which has `size` elements, to the front.
fn rolled(net: &mut Net, name: &str, x: ValueId, axis: usize, start: usize, size: usize) -> Result<ValueId> {
    let tail = net.op(&format!("{name}.tail"), Slice { axis, start, end: size }, &[x])?;
    let head = net.op(&format!("{name}.head"), Slice { axis, start: 0, end: start }, &[x])?;
    Ok(net.op(name, Concat { axis }, &[tail, head])?)
}

/// Tokens `[N, L, C]` as a map `[N, C, H, W]`.
pub(super) fn map_of(net: &mut Net, x: ValueId, places: [usize; 2]) -> Result<ValueId> {
    let y = transposed(net, "channels", x, &[0, 2, 1])?;
    split(net, "map", y, 2, &places)
}

impl WindowAttention {
    /// Adds the module `attn`: tokens `[N, L, C]` to tokens.
    pub fn build(&self, net: &mut Net, x: ValueId) -> Result<ValueId> {
        let width = features(net, x)?;
        if self.heads == 0 || !width.is_multiple_of(self.heads) {
            return refuse(format!("embed_dims={width} cannot be split into num_heads={}", self.heads));
        }
        let side = self.window;
        let padded = self.places.map(|size| size.next_multiple_of(side));
        let [rows, columns] = padded.map(|size| size / side);
        net.layer("attn", &[x], |net| {
            let mut y = map_of(net, x, self.places)?;
            if padded != self.places {
                let pad =
                    AdaptivePad { kernel: [side; 2], stride: [side; 2], dilation: [1, 1], corner: true };
                y = net.op("pad", pad, &[y])?;
            }
            if self.shift > 0 {
                y = rolled(net, "rolled_rows", y, 2, self.shift, padded[0])?;
                y = rolled(net, "rolled_columns", y, 3, self.shift, padded[1])?;
            }
            let y = split(net, "rows", y, 2, &[rows, side])?;
            let y = split(net, "columns", y, 4, &[columns, side])?;
            let y = transposed(net, "by_window", y, &[0, 1, 2, 4, 3, 5])?;
            let y = net.op("places", Flatten { axis: 2 }, &[y])?;
            let y = split(net, "windows", y, 2, &[rows * columns, side * side])?;
            let y = transposed(net, "tokens", y, &[0, 2, 3, 1])?;
            let y = self.attend(net, y, width, [rows, columns])?;
            let y = transposed(net, "mixed.channels", y, &[0, 3, 1, 2])?;
            let y = net.op("mixed.places", Flatten { axis: 2 }, &[y])?;
            let y = split(net, "mixed.by_window", y, 2, &[rows, columns, side, side])?;
            let y = transposed(net, "mixed.rows", y, &[0, 1, 2, 4, 3, 5])?;
            let y = net.op("mixed.joined", Flatten { axis: 2 }, &[y])?;
            let mut y = split(net, "mixed.map", y, 2, &padded)?;
            if self.shift > 0 {
                y = rolled(net, "back_rows", y, 2, padded[0] - self.shift, padded[0])?;
                y = rolled(net, "back_columns", y, 3, padded[1] - self.shift, padded[1])?;
            }
            for (axis, (&size, all)) in self.places.iter().zip(padded).enumerate() {
                if size != all {
                    let cut = Slice { axis: axis + 2, start: 0, end: size };
                    y = net.op(&format!("cut.{axis}"), cut, &[y])?;
                }
            }
            let y = net.op("flat", Flatten { axis: 2 }, &[y])?;
            let y = transposed(net, "out", y, &[0, 2, 1])?;
            net.dropout("drop", y, self.drop_path, DropUnit::Sample)
        })
    }

    /// The module `w_msa`, from and to `[N, windows, places, C]`.
    fn attend(
        &self,
        net: &mut Net,
        x: ValueId,
        width: usize,
        [rows, columns]: [usize; 2],
    ) -> Result<ValueId> {
        let each = width / self.heads.max(1);
        let mask = match self.shift {
            0 => None,
            shift => {
                let mask = window_mask([rows, columns], self.window, shift)?;
                Some(net.constant("attn_mask", mask)?)
            }
        };
        net.layer("w_msa", &[x], |net| {
            let qkv = linear(net, "qkv", x, width.saturating_mul(3), true)?;
            let mut parts = Vec::new();
            for (i, name) in ["q", "k", "v"].into_iter().enumerate() {
                let start = width.saturating_mul(i);
                let y = net.op(name, Slice { axis: 3, start, end: start.saturating_add(width) }, &[qkv])?;
                let y = split(net, &format!("{name}.split"), y, 3, &[self.heads, each])?;
                parts.push(transposed(net, &format!("{name}.heads"), y, &[0, 1, 3, 2, 4])?);
            }
            let &[q, k, v] = parts.as_slice() else { return refuse("attention has three parts") };
            let q = net.op("scaled", Scale { factor: 1.0 / (each as f64).sqrt() }, &[q])?;
            let scores = net.op("scores", MatMul { transpose_b: true }, &[q, k])?;
            let bias = self.position_bias(net)?;
            let mut scores = net.op("biased", Binary::Add, &[scores, bias])?;
            if let Some(mask) = mask {
                scores = net.op("masked", Binary::Add, &[scores, mask])?;
            }
            let shares = net.op("softmax", Softmax { axis: 4 }, &[scores])?;
            let y = net.op("mixed", MatMul { transpose_b: false }, &[shares, v])?;
            let y = transposed(net, "tokens", y, &[0, 1, 3, 2, 4])?;
            let y = net.op("joined", Flatten { axis: 3 }, &[y])?;
            linear(net, "proj", y, width, true)
        })
    }

    /// The bias of every place toward every place, `[heads, places, places]`: row `(y_q − y_k + w − 1) · (2w − 1) +
    /// x_q − x_k + w − 1` of the table. For one row of keys these are `w` rows of the table, for one column as many columns.
    fn position_bias(&self, net: &mut Net) -> Result<ValueId> {
        let side = self.window;
        let span = 2 * side - 1;
        let init = Init::TruncNormal { mean: 0.0, std: 0.02, bounds: [-2.0, 2.0] };
        let name = "relative_position_bias_table";
        let table = net.parameter(name, &[span * span, self.heads], Role::Weight, init)?;
        let table = split(net, "bias.table", table, 0, &[span, span])?;
        let mut by_row = Vec::new();
        for key in 0..side {
            let (start, end) = (side - 1 - key, span - key);
            let rows = net.op(&format!("bias.rows.{key}"), Slice { axis: 0, start, end }, &[table])?;
            by_row.push(split(net, &format!("bias.row.{key}"), rows, 0, &[1, side])?);
        }
        // Rows of keys and of queries, columns of the table, heads.
        let table = net.op("bias.by_row", Concat { axis: 0 }, &by_row)?;
        let mut by_column = Vec::new();
        for key in 0..side {
            let (start, end) = (side - 1 - key, span - key);
            let columns = net.op(&format!("bias.columns.{key}"), Slice { axis: 2, start, end }, &[table])?;
            by_column.push(split(net, &format!("bias.column.{key}"), columns, 0, &[side, 1])?);
        }
        // Rows and columns of keys, rows and columns of queries, heads.
        let bias = net.op("bias.by_column", Concat { axis: 1 }, &by_column)?;
        let bias = transposed(net, "bias.heads", bias, &[4, 2, 3, 0, 1])?;
        let bias = net.op("bias.flat", Flatten { axis: 1 }, &[bias])?;
        split(net, "bias", bias, 1, &[side * side, side * side])
    }
}

/// What is added to the scores in windows of so many rows and columns, `[windows, 1, L, L]` with `L` places each, of a map that
/// was rolled by `shift`: −100 between places of which one was at the other end of the map, else 0.
///
/// # Errors
/// There is no memory for it.
fn window_mask([rows, columns]: [usize; 2], side: usize, shift: usize) -> Result<Array> {
    // The last windows alone hold places of both ends: the last `shift` of their places.
    let moved = |window: usize, count: usize, place: usize| window + 1 == count && place + shift >= side;
    let places = side.saturating_mul(side);
    let windows = rows.saturating_mul(columns);
    let mut data: Vec<f32> = Vec::new();
    let count = windows.saturating_mul(places).saturating_mul(places);
    if data.try_reserve_exact(count).is_err() {
        return refuse(format!("window_size={side}: there is no memory for the mask of {windows} windows"));
    }
    for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
        let part = |place: usize| (moved(row, rows, place / side), moved(column, columns, place % side));
        for a in 0..places {
            data.extend((0..places).map(|b| if part(a) == part(b) { 0.0 } else { -100.0 }));
        }
    }
    Ok(Array::from_f32([windows, 1, places, places], data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two windows of 2x2 side by side, rolled by 1: in the first the second row is from the other end, in the second the
    /// second column too.
    #[test]
    fn masks_part_the_ends_of_a_map() {
        let mask = window_mask([1, 2], 2, 1).unwrap();
        let zeros: Vec<bool> = mask.as_f32().unwrap().iter().map(|&v| v == 0.0).collect();
        let rows = |window: usize| zeros.chunks(4).skip(4 * window).take(4).map(<[bool]>::to_vec);
        let apart = [[true, true, false, false], [true, true, false, false]];
        assert!(rows(0).take(2).eq(apart.map(|r| r.to_vec())));
        assert!(rows(1).enumerate().all(|(i, row)| (0..4).all(|j| row[j] == (i == j))));
    }
}
