//! Second moments of what layers read.

use occam_graph::ops::Conv;

use super::matrix::{View, product_f64};
use crate::Result;
use crate::passes::{Eye, Layer};

/// Rows that are gathered before they are multiplied.
const ROWS: usize = 512;

/// `H = 2/N Σ x xᵀ` of the columns that a layer multiplies with its weights, for every group: pixels under the window of a
/// convolution (in the order of its weights, zeros where it reaches beyond the image), tokens of a linear layer.
///
/// `N` is the number of images or tokens' batches, as the original counts: each batch weighs by its size.
#[derive(Debug)]
pub(crate) struct Hessian {
    conv: Option<Conv>,
    kernel: [usize; 2],
    /// Columns of a group.
    pub(crate) columns: usize,
    groups: usize,
    /// By group, row-major.
    sums: Vec<Vec<f64>>,
    count: usize,
}

impl Hessian {
    pub(crate) fn of(layer: &Layer) -> Self {
        let kernel = [2, 3].map(|i| layer.shape.get(i).copied().unwrap_or(1));
        let (columns, groups) = (layer.row(), layer.groups());
        let sums = vec![vec![0.0; columns * columns]; groups];
        Self { conv: layer.conv, kernel, columns, groups, sums, count: 0 }
    }

    /// Of group `g`, row-major.
    pub(crate) fn of_group(&self, g: usize) -> Vec<f64> {
        let factor = 2.0 / self.count.max(1) as f64;
        self.sums.get(g).map(|s| s.iter().map(|x| x * factor).collect()).unwrap_or_default()
    }

    /// How many images were seen.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn add(&mut self, group: usize, rows: &[f64]) {
        let (k, n) = (self.columns, rows.len() / self.columns.max(1));
        if let (Some(sum), Some(x)) = (self.sums.get_mut(group), View::new(rows, n, k, k)) {
            product_f64(x.t(), x, sum, k, [1.0, 1.0]);
        }
    }
}

impl Eye for Hessian {
    fn see(&mut self, x: &[f32], shape: &[usize]) -> Result<()> {
        self.count += shape.first().copied().unwrap_or(0);
        let mut rows: Vec<f64> = Vec::with_capacity(ROWS * self.columns);
        let Some(conv) = self.conv else {
            for part in x.chunks(ROWS * self.columns.max(1)) {
                rows.clear();
                rows.extend(part.iter().map(|&v| f64::from(v)));
                self.add(0, &rows);
            }
            return Ok(());
        };
        let window = Window::new(&conv, self.kernel, shape);
        for group in 0..self.groups {
            for at in 0..window.count() {
                window.gather(x, group, at, &mut |v| rows.push(f64::from(v)));
                if rows.len() >= ROWS * self.columns {
                    self.add(group, &rows);
                    rows.clear();
                }
            }
            self.add(group, &rows);
            rows.clear();
        }
        Ok(())
    }
}

/// The positions of a convolution's window over a batch of images.
pub(crate) struct Window {
    conv: Conv,
    kernel: [usize; 2],
    images: usize,
    channels: usize,
    size: [usize; 2],
    out: [usize; 2],
}

impl Window {
    pub(crate) fn new(conv: &Conv, kernel: [usize; 2], shape: &[usize]) -> Self {
        let at = |i: usize| shape.get(i).copied().unwrap_or(0);
        let out = [0, 1].map(|i| {
            let (before, after) = conv.padding.get(i).copied().unwrap_or_default();
            let stride = conv.stride.get(i).copied().unwrap_or(1);
            let dilation = conv.dilation.get(i).copied().unwrap_or(1);
            let k = kernel.get(i).copied().unwrap_or(1);
            let reach = dilation * k.saturating_sub(1) + 1;
            (at(2 + i) + before + after).checked_sub(reach).map_or(0, |room| room / stride.max(1) + 1)
        });
        Self { conv: *conv, kernel, images: at(0), channels: at(1), size: [at(2), at(3)], out }
    }

    /// Positions of an image.
    pub(crate) fn per_image(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Positions of all images, those of the first image first.
    pub(crate) fn count(&self) -> usize {
        self.images * self.per_image()
    }

    /// Gives the pixels of a group's channels under the window at position `at`, in the order of the weights.
    pub(crate) fn gather(&self, x: &[f32], group: usize, at: usize, give: &mut impl FnMut(f32)) {
        let (per_image, [h, w]) = (self.per_image().max(1), self.size);
        let (image, place) = (at / per_image, at % per_image);
        let [oy, ox] = [place / self.out[1].max(1), place % self.out[1].max(1)];
        let Conv { stride, padding, dilation, groups } = self.conv;
        let channels = self.channels / groups.max(1);
        for c in 0..channels {
            let plane = (image * self.channels + group * channels + c) * h * w;
            for ky in 0..self.kernel[0] {
                let y = (oy * stride[0] + ky * dilation[0]).checked_sub(padding[0].0).filter(|&y| y < h);
                for kx in 0..self.kernel[1] {
                    let column = (ox * stride[1] + kx * dilation[1]).checked_sub(padding[1].0);
                    let found = y.zip(column.filter(|&x| x < w)).and_then(|(y, c)| x.get(plane + y * w + c));
                    give(found.copied().unwrap_or(0.0));
                }
            }
        }
    }
}
