//! Rounding column by column, each error made up for by the columns after it (Frantar et al., 2022, arXiv:2210.17323), and
//! zeros chosen the same way (Frantar and Alistarh, 2023, arXiv:2301.00774).

use occam_graph::ops::FakeQuant;
use occam_graph::{Graph, Op, Patch, Weights, matches};

use super::cholesky::inverse_factor;
use super::hessian::Hessian;
use super::matrix::{View, product_f64};
use super::quantizer::{GridRule, Grids};
use crate::passes::{Batches, Layer, Report, watch};
use crate::{Error, QParams, Result};

/// Which weights become 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sparsity {
    /// This part of them, wherever they are, in every block of columns.
    Part(f64),
    /// `zeros` of each `of` that lie side by side along the inputs: the original's `prunen` and `prunem`.
    Runs {
        /// How many become 0.
        zeros: usize,
        /// Length of a run.
        of: usize,
    },
}

/// Zeros, with or without integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sparse {
    /// Which weights become 0.
    pub sparsity: Sparsity,
    /// Whether what stays is rounded, too.
    pub rounded: bool,
}

/// How [`gptq`] works; the defaults are the original's.
#[derive(Debug, Clone, PartialEq)]
pub struct Gptq {
    /// The grids.
    pub rule: GridRule,
    /// Columns that share a grid of their own in each row; all of them where none.
    pub groupsize: Option<usize>,
    /// Whether the columns that matter most come first.
    pub actorder: bool,
    /// What is added to the diagonal of the second moments, as a part of its mean.
    pub percdamp: f64,
    /// Columns that are computed together.
    pub blocksize: usize,
    /// Zeros; none where every weight is only rounded.
    pub sparse: Option<Sparse>,
    /// Names of layers, with `*`, that stay as they are: the original's `skipped_layers`.
    pub skipped_layers: Vec<String>,
    /// Bytes that second moments take at a time: layers whose moments do not fit get a run of the data of their own.
    pub memory: usize,
}

impl Default for Gptq {
    fn default() -> Self {
        Self {
            rule: GridRule::per_row(),
            groupsize: None,
            actorder: false,
            percdamp: 0.01,
            blocksize: 128,
            sparse: None,
            skipped_layers: Vec::new(),
            memory: 512 << 20,
        }
    }
}

/// What became of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct GptqLayer {
    /// Its node.
    pub name: String,
    /// Grids of the rows: of all outputs, for each group of columns in turn. Empty where nothing was rounded.
    pub grids: Vec<Grids>,
    /// By column the index of its grid.
    pub g_idx: Vec<usize>,
    /// Mean of `(W x − Ŵ x)²` over outputs and columns of data, of rounding to nearest and of what was done.
    pub errors: [f64; 2],
    /// The part of its weights that is 0.
    pub zeros: f64,
}

/// A matrix that was rounded.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounded {
    /// Its elements, row-major.
    pub w: Vec<f64>,
    /// Grids in the order in which they were found, each of all rows.
    pub grids: Vec<Grids>,
    /// By column the index of its grid.
    pub g_idx: Vec<usize>,
}

/// Rounds a matrix of `rows` rows whose columns are multiplied with data of second moments `h` (row-major, as many rows and
/// columns as the matrix has columns).
///
/// Columns without data become 0. `d = percdamp · mean(diag h)` is added to the diagonal, ten times as much until the matrix is
/// positive definite. With `U` the upper Cholesky factor of `h⁻¹`, from the first column on `e = (w − q(w)) / U_ii` and
/// `w_j −= e · U_ij` of all `j` after `i`. For zeros the score is `w² / U_ii²`.
///
/// # Errors
/// Sizes do not fit, an element is not finite, or the moments cannot be made positive definite.
pub fn quantize_matrix(w: &[f64], rows: usize, h: &[f64], options: &Gptq) -> Result<Rounded> {
    let columns = w.len() / rows.max(1);
    if rows == 0 || columns == 0 || w.len() != rows * columns || h.len() != columns * columns {
        let message = format!("moments of {} elements do not fit {rows} rows of {columns}", h.len());
        return Err(Error::Shape(message));
    }
    if w.iter().chain(h).any(|x| !x.is_finite()) {
        return Err(Error::NotFinite { name: "a weight or its second moments".into(), what: "NaN".into() });
    }
    let diagonal: Vec<f64> = h.iter().step_by(columns + 1).copied().collect();
    let mut order: Vec<usize> = (0..columns).collect();
    if options.actorder {
        order.sort_by(|&a, &b| {
            let of = |i: usize| diagonal.get(i).copied().filter(|d| *d != 0.0).unwrap_or(1.0);
            of(b).total_cmp(&of(a)).then(a.cmp(&b))
        });
    }
    let at = |v: &[f64], i: usize| v.get(i).copied().unwrap_or(0.0);
    let dead = |i: usize| at(&diagonal, i) == 0.0;
    let mut moved: Vec<f64> = Vec::with_capacity(w.len());
    for row in w.chunks(columns) {
        moved.extend(order.iter().map(|&i| if dead(i) { 0.0 } else { at(row, i) }));
    }
    let mut moments: Vec<f64> = Vec::with_capacity(h.len());
    for &i in &order {
        let row = h.get(i * columns..(i + 1) * columns).unwrap_or_default();
        moments.extend(order.iter().map(|&j| if i == j && dead(i) { 1.0 } else { at(row, j) }));
    }
    let mean = moments.iter().step_by(columns + 1).sum::<f64>() / columns as f64;
    let mut damp = options.percdamp * mean;
    let mut u = None;
    for _ in 0..8 {
        let mut damped = moments.clone();
        damped.iter_mut().step_by(columns + 1).for_each(|d| *d += damp);
        u = inverse_factor(damped, columns);
        if u.is_some() {
            break;
        }
        damp = (damp * 10.0).max(1e-6 * mean);
    }
    let u = u.ok_or_else(|| Error::Other("its second moments are not positive definite".into()))?;
    drop(moments);
    let mut walk = Walk { rows, columns, w: moved, u, grids: Vec::new(), of_column: Vec::new(), options };
    walk.run()?;
    let mut out = vec![0.0; w.len()];
    let mut g_idx = vec![0; columns];
    for (from, &to) in order.iter().enumerate() {
        for (out, row) in out.chunks_mut(columns).zip(walk.w.chunks(columns)) {
            if let (Some(o), Some(&x)) = (out.get_mut(to), row.get(from)) {
                *o = x;
            }
        }
        if let (Some(g), Some(&of)) = (g_idx.get_mut(to), walk.of_column.get(from)) {
            *g = of;
        }
    }
    Ok(Rounded { w: out, grids: walk.grids, g_idx })
}

struct Walk<'a> {
    rows: usize,
    columns: usize,
    w: Vec<f64>,
    u: Vec<f64>,
    grids: Vec<Grids>,
    of_column: Vec<usize>,
    options: &'a Gptq,
}

impl Walk<'_> {
    /// Columns `from..to` of all rows, side by side.
    fn part(&self, from: usize, to: usize) -> Vec<f64> {
        self.w.chunks(self.columns).flat_map(|row| row.get(from..to).unwrap_or_default()).copied().collect()
    }

    fn run(&mut self) -> Result<()> {
        let rounded = self.options.sparse.is_none_or(|s| s.rounded);
        let group = self.options.groupsize.unwrap_or(self.columns).clamp(1, self.columns);
        if rounded && self.options.groupsize.is_none() {
            let all = self.part(0, self.columns);
            self.grids.push(Grids::find(&self.options.rule, &all, self.rows)?);
        }
        let block = self.options.blocksize.max(1);
        for from in (0..self.columns).step_by(block) {
            let to = (from + block).min(self.columns);
            let mut mask = self.mask_of_block(from, to);
            let width = to - from;
            let mut errors = vec![0.0; self.rows * width];
            for i in from..to {
                if rounded && self.options.groupsize.is_some() && i.is_multiple_of(group) {
                    let own = self.part(i, (i + group).min(self.columns));
                    self.grids.push(Grids::find(&self.options.rule, &own, self.rows)?);
                }
                self.of_column.push(self.grids.len().saturating_sub(1));
                if let Some(Sparsity::Runs { zeros, of }) = self.options.sparse.map(|s| s.sparsity)
                    && i.is_multiple_of(of.max(1))
                {
                    self.mask_of_run(i, zeros, of, from, to, &mut mask);
                }
                let grids = self.grids.last();
                let (columns, d) = (self.columns, self.u.get(i * self.columns + i).copied().unwrap_or(1.0));
                let factors = self.u.get(i * columns + i..i * columns + to).unwrap_or_default();
                for (r, row) in self.w.chunks_mut(columns).enumerate() {
                    let Some(own) = row.get_mut(i..to) else { continue };
                    let w = own.first().copied().unwrap_or(0.0);
                    let gone = mask.get(r * width + i - from).copied().unwrap_or(false);
                    let q = match grids {
                        _ if gone => 0.0,
                        Some(grids) => grids.round(r, w),
                        None => w,
                    };
                    let error = (w - q) / d;
                    own.iter_mut().zip(factors).for_each(|(w, f)| *w -= error * f);
                    if let Some(first) = own.first_mut() {
                        *first = q;
                    }
                    if let Some(e) = errors.get_mut(r * width + i - from) {
                        *e = error;
                    }
                }
            }
            if to < self.columns {
                let (columns, rest) = (self.columns, self.columns - to);
                let left = View::new(&errors, self.rows, width, width);
                let right =
                    self.u.get(from * columns + to..).and_then(|u| View::new(u, width, rest, columns));
                if let (Some(left), Some(right), Some(out)) = (left, right, self.w.get_mut(to..)) {
                    product_f64(left, right, out, columns, [1.0, -1.0]);
                }
            }
        }
        Ok(())
    }

    fn score(&self, row: usize, column: usize) -> f64 {
        let w = self.w.get(row * self.columns + column).copied().unwrap_or(0.0);
        let d = self.u.get(column * self.columns + column).copied().unwrap_or(1.0);
        (w / d) * (w / d)
    }

    /// What becomes 0 in a block by a threshold for all of it.
    fn mask_of_block(&self, from: usize, to: usize) -> Vec<bool> {
        let width = to - from;
        let Some(Sparsity::Part(part)) = self.options.sparse.map(|s| s.sparsity) else {
            return vec![false; self.rows * width];
        };
        let scores: Vec<f64> = (0..self.rows)
            .flat_map(|r| (from..to).map(move |c| (r, c)))
            .map(|(r, c)| self.score(r, c))
            .collect();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        let count = ((scores.len() as f64 * part.clamp(0.0, 1.0)) as usize).min(scores.len());
        let of = |i: usize| scores.get(i).copied().unwrap_or(0.0);
        order.sort_by(|&a, &b| of(a).total_cmp(&of(b)));
        let mut mask = vec![false; scores.len()];
        for &i in order.iter().take(count) {
            if let Some(m) = mask.get_mut(i) {
                *m = true;
            }
        }
        mask
    }

    /// What becomes 0 in the runs that begin at column `i`, within the block.
    fn mask_of_run(&self, i: usize, zeros: usize, of: usize, from: usize, to: usize, mask: &mut [bool]) {
        let width = to - from;
        for r in 0..self.rows {
            let mut run: Vec<usize> = (i..(i + of).min(to)).collect();
            run.sort_by(|&a, &b| self.score(r, a).total_cmp(&self.score(r, b)));
            for &c in run.iter().take(zeros) {
                if let Some(m) = mask.get_mut(r * width + c - from) {
                    *m = true;
                }
            }
        }
    }
}

/// Mean of `(W x − Ŵ x)²`, from second moments `2/N Σ x xᵀ`: up to the number of columns of data an image has.
fn error_of(w: &[f64], q: &[f64], rows: usize, h: &[f64]) -> f64 {
    let columns = w.len() / rows.max(1);
    let delta: Vec<f64> = w.iter().zip(q).map(|(a, b)| a - b).collect();
    let mut product = vec![0.0; delta.len()];
    if let (Some(d), Some(m)) =
        (View::new(&delta, rows, columns, columns), View::new(h, columns, columns, columns))
    {
        product_f64(d, m, &mut product, columns, [0.0, 1.0]);
    }
    delta.iter().zip(&product).map(|(a, b)| a * b).sum::<f64>() / (2 * rows.max(1)) as f64
}

/// Rounds the weights of convolutions and linear layers by the second moments of what they read in the float model on `data`.
///
/// A layer whose weight a [`FakeQuant`] node rounds gets its grid, in the node's groups where it has any; with
/// [`Gptq::groupsize`] for other nodes, trits or zeros alone the node goes, and the weight holds what was rounded. Layers without such a node, too, get the weight alone. A
/// weight that several layers share is rounded for the first.
///
/// What the original gets wrong is right here: on a CPU every layer "fails" there and is silently skipped
/// (`torch.cuda.synchronize` in a `try`); errors are errors here, and moments that are not positive definite are damped more.
/// Linear layers with fewer outputs than inputs are not left out of SparseGPT. Convolutions with groups have moments for each
/// group, and paddings of two sides are read as they are. Runs of zeros follow the inputs in every block, also where a block
/// ends within one.
///
/// # Errors
/// The graph cannot be run on the data, a weight is missing or not finite, or no data was given.
pub fn gptq(
    graph: &mut Graph,
    weights: &mut Weights,
    data: &dyn Batches,
    options: &Gptq,
) -> Result<(Vec<GptqLayer>, Report)> {
    let mut report = Report::default();
    let mut layers = Vec::new();
    let mut taken = Vec::new();
    for layer in Layer::all(graph)? {
        if let Some(pattern) = options.skipped_layers.iter().find(|p| matches(p, &layer.name)) {
            report.skip(&layer.name, format!("`{pattern}` is to be left"));
        } else if taken.contains(&layer.weight) {
            report.skip(&layer.name, "its weight is that of another layer");
        } else {
            taken.push(layer.weight);
            layers.push(layer);
        }
    }
    let mut done = Vec::with_capacity(layers.len());
    let exact = weights.clone();
    let mut rest = layers.as_slice();
    while !rest.is_empty() {
        let bytes = |l: &Layer| l.groups() * l.row() * l.row() * size_of::<f64>();
        let mut sum = 0usize;
        let fit = rest.iter().take_while(|l| {
            sum = sum.saturating_add(bytes(l));
            sum <= options.memory
        });
        let (now, later) = rest.split_at(fit.count().max(1));
        let eyes = now.iter().map(|l| (l.x, Hessian::of(l))).collect();
        let seen = watch(graph, &exact, eyes, false, data)?;
        for (layer, hessian) in now.iter().zip(seen) {
            if hessian.count() == 0 {
                return Err(Error::Unobserved { name: layer.name.clone() });
            }
            let made = one(graph, weights, layer.clone(), &hessian, options).map_err(|e| match e {
                Error::NotFinite { what, .. } => Error::NotFinite { name: layer.name.clone(), what },
                other => other,
            })?;
            let [near, own] = made.errors;
            report.did(&made.name, format!("squared error {own:.3e}, to nearest {near:.3e}"));
            done.push(made);
        }
        rest = later;
    }
    graph.verify()?;
    Ok((done, report))
}

fn one(
    graph: &mut Graph,
    weights: &mut Weights,
    mut layer: Layer,
    hessian: &Hessian,
    options: &Gptq,
) -> Result<GptqLayer> {
    let w: Vec<f64> = layer.floats(graph, weights)?.iter().map(|&x| f64::from(x)).collect();
    // The groups of a node are of columns that follow each other.
    let of_node = match layer.quant.as_ref().map(|q| graph.node(q.node)).transpose()?.map(|n| &n.op) {
        Some(Op::FakeQuant(op)) => op.group,
        _ => None,
    };
    let own;
    let options = match of_node {
        Some(group) => {
            own = Gptq { groupsize: Some(group), actorder: false, ..options.clone() };
            &own
        }
        None => options,
    };
    let (groups, columns) = (layer.groups(), layer.row());
    let rows = layer.outputs() / groups;
    let mut out = Vec::with_capacity(w.len());
    let mut grids: Vec<Grids> = Vec::new();
    let mut g_idx = Vec::new();
    let mut errors = [0.0; 2];
    for (g, part) in w.chunks((rows * columns).max(1)).enumerate() {
        let h = hessian.of_group(g);
        let made = quantize_matrix(part, rows, &h, options)?;
        let near = Grids::find(&options.rule, part, rows)?;
        let nearest: Vec<f64> = part.iter().enumerate().map(|(i, &x)| near.round(i / columns, x)).collect();
        errors[0] += error_of(part, &nearest, rows, &h) / groups as f64;
        errors[1] += error_of(part, &made.w, rows, &h) / groups as f64;
        out.extend(made.w);
        // Rows of the next group of channels follow those of the last.
        for (i, grid) in made.grids.into_iter().enumerate() {
            match grids.get_mut(i) {
                Some(all) => {
                    all.scale.extend(grid.scale);
                    all.zero.extend(grid.zero);
                }
                None => grids.push(grid),
            }
        }
        g_idx = made.g_idx;
    }
    let zeros = out.iter().filter(|&&x| x == 0.0).count() as f64 / out.len().max(1) as f64;
    layer.set_weight(graph, weights, out.iter().map(|&x| x as f32).collect())?;
    if let Some(quant) = layer.quant.clone() {
        match (grids.as_slice(), options.rule.trits) {
            (all @ [first, ..], false) if of_node.is_some() || options.groupsize.is_none() => {
                let rule = &options.rule;
                // Signed where 0 is in the middle, so that runtimes that know symmetric weights alone read it.
                let shift = if rule.sym { (rule.maxq() + 1) / 2 } else { 0 };
                let op = FakeQuant { group: of_node, ..FakeQuant::new(-shift, rule.maxq() - shift, Some(0)) };
                // Row by row, the groups of each in order.
                let of_rows = (0..first.scale.len()).flat_map(|row| all.iter().map(move |g| (g, row)));
                let (scale, zero_point) = of_rows
                    .filter_map(|(g, row)| Some((*g.scale.get(row)?, *g.zero.get(row)? as i32 - shift)))
                    .unzip();
                set_grid(graph, weights, &layer, op, QParams { scale, zero_point })?;
            }
            _ => {
                let node = graph.node(quant.node)?;
                if let (Some(&x), Some(&y)) = (node.inputs.first(), node.outputs.first()) {
                    let mut patch = Patch::new("gptq");
                    patch.replace(y, x);
                    patch.remove(quant.node);
                    patch.apply(graph)?;
                    for v in [".scale", ".zero_point"] {
                        weights.shift_remove(&format!("{}{v}", quant.name));
                    }
                }
            }
        }
    }
    Ok(GptqLayer { name: layer.name, grids, g_idx, errors, zeros })
}

/// Gives a layer's rounding another range of integers and another grid along the outputs.
fn set_grid(
    graph: &mut Graph,
    weights: &mut Weights,
    layer: &Layer,
    op: FakeQuant,
    grid: QParams,
) -> Result<()> {
    let Some(quant) = &layer.quant else { return Ok(()) };
    let one = matches!(&graph.node(quant.node)?.op, Op::FakeQuant(op) if op.axis.is_none());
    if one {
        // The facts of its parameters change with the operator.
        for v in [quant.scale, quant.zero_point] {
            graph.set_fact(v, occam_graph::Fact::f32([grid.scale.len()]))?;
        }
    }
    let mut patch = Patch::new("gptq");
    patch.set_op(quant.node, op);
    patch.apply(graph)?;
    quant.set(graph, weights, &grid)
}
