//! Recurrent layers, computed in `f64`.

use occam_graph::Array;
use occam_graph::onnx::Onnx;

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::numbers::{from_f64, to_f64, to_i64};
use crate::product::{Layout, Sizes, multiply};
use crate::view::count;

pub(super) const TABLE: &[Eval] = &[
    Eval::new("RNN", |c| run(c, Kind::Plain)),
    Eval::new("GRU", |c| run(c, Kind::Gru { before_reset: c.op.flag("linear_before_reset")? })),
    Eval::new("LSTM", |c| run(c, Kind::Lstm { coupled: c.op.flag("input_forget")? })),
];

/// A layer's equations.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// `h' = f(x W + h R + b)`
    Plain,
    /// Gates z, r and candidate h; `h' = (1 − z) · g + z · h`. The reset gate multiplies `h R + b` instead of `h` where
    /// `before_reset`.
    Gru { before_reset: bool },
    /// Gates i, o, f and candidate c; `c' = f · c + i · g`, `h' = o · h(c')`. `f = 1 − i` where `coupled`.
    Lstm { coupled: bool },
}

impl Kind {
    fn gates(self) -> usize {
        match self {
            Kind::Plain => 1,
            Kind::Gru { .. } => 3,
            Kind::Lstm { .. } => 4,
        }
    }

    /// The activations of a direction.
    fn activations(self) -> &'static [&'static str] {
        match self {
            Kind::Plain => &["Tanh"],
            Kind::Gru { .. } => &["Sigmoid", "Tanh"],
            Kind::Lstm { .. } => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

/// An activation with its parameters.
#[derive(Debug, Clone, Copy)]
struct Activation {
    f: fn(f64, f64, f64) -> f64,
    alpha: f64,
    beta: f64,
    clip: f64,
}

impl Activation {
    fn apply(&self, x: f64) -> f64 {
        (self.f)(x.clamp(-self.clip, self.clip), self.alpha, self.beta)
    }

    /// All activations of an operator, direction after direction.
    fn all(op: &Onnx, kind: Kind, directions: usize) -> Result<Vec<Self>> {
        let clip = match op.float("clip")? {
            Some(c) if c > 0.0 => f64::from(c),
            Some(c) if c < 0.0 => return refuse(format!("attribute `clip` is negative: {c}")),
            _ => f64::INFINITY,
        };
        let names: Vec<String> = match op.attributes.get("activations") {
            Some(occam_graph::onnx::Attribute::Strings(v)) if !v.is_empty() => {
                v.iter().map(|s| String::from_utf8_lossy(s).to_lowercase()).collect()
            }
            _ => (0..directions).flat_map(|_| kind.activations()).map(|s| s.to_lowercase()).collect(),
        };
        if names.len() != directions * kind.activations().len() {
            return refuse(format!("{} activations do not fit {directions} directions", names.len()));
        }
        let mut alphas = op.floats("activation_alpha")?.unwrap_or_default().iter();
        let mut betas = op.floats("activation_beta")?.unwrap_or_default().iter();
        let mut list = Vec::new();
        for name in names {
            // Which parameters the function has, with their defaults.
            type Row = (fn(f64, f64, f64) -> f64, Option<f64>, Option<f64>);
            let (f, alpha, beta): Row = match name.as_str() {
                "relu" => (|x, _, _| x.max(0.0), None, None),
                "tanh" => (|x, _, _| x.tanh(), None, None),
                "sigmoid" => (|x, _, _| 1.0 / (1.0 + (-x).exp()), None, None),
                "affine" => (|x, a, b| a * x + b, Some(1.0), Some(0.0)),
                "leakyrelu" => (|x, a, _| if x < 0.0 { a * x } else { x }, Some(0.01), None),
                "thresholdedrelu" => (|x, a, _| if x >= a { x } else { 0.0 }, Some(1.0), None),
                "scaledtanh" => (|x, a, b| a * (b * x).tanh(), Some(1.0), Some(1.0)),
                "hardsigmoid" => (|x, a, b| (a * x + b).clamp(0.0, 1.0), Some(0.2), Some(0.5)),
                "elu" => (|x, a, _| if x < 0.0 { a * x.exp_m1() } else { x }, Some(1.0), None),
                "softsign" => (|x, _, _| x / (1.0 + x.abs()), None, None),
                "softplus" => (|x, _, _| x.exp().ln_1p(), None, None),
                other => return refuse(format!("activation `{other}` is not supported")),
            };
            let alpha = alpha.map(|d| alphas.next().map_or(d, |&a| a.into())).unwrap_or(0.0);
            let beta = beta.map(|d| betas.next().map_or(d, |&b| b.into())).unwrap_or(0.0);
            list.push(Self { f, alpha, beta, clip });
        }
        Ok(list)
    }
}

/// Sizes of a layer.
#[derive(Debug, Clone, Copy)]
struct Layer {
    kind: Kind,
    steps: usize,
    batch: usize,
    inputs: usize,
    hidden: usize,
    directions: usize,
    /// Whether the batch comes first.
    batch_first: bool,
}

/// The operands of one direction.
struct Direction<'a> {
    w: &'a [f64],
    r: &'a [f64],
    /// Of the input, then of the state.
    bias: &'a [f64],
    /// Peepholes i, o, f.
    peephole: &'a [f64],
    activations: &'a [Activation],
    reverse: bool,
}

impl Layer {
    /// Position of an input or a result of a step.
    fn at(&self, t: usize, n: usize) -> usize {
        if self.batch_first { n * self.steps + t } else { t * self.batch + n }
    }

    /// Position of a state of `direction`.
    fn state(&self, direction: usize, n: usize) -> usize {
        if self.batch_first { n * self.directions + direction } else { direction * self.batch + n }
    }

    /// The state of every step, by a call of `put` with step and image, from the states `h` and `c` on, which become the last
    /// ones.
    fn run(
        &self,
        x: &[f64],
        d: &Direction<'_>,
        lens: &[usize],
        (h, c): (&mut [f64], &mut [f64]),
        mut put: impl FnMut(usize, usize, &[f64]),
    ) -> Result<()> {
        let (gates, hidden) = (self.kind.gates(), self.hidden);
        let wide = gates * hidden;
        let rows = self.steps * self.batch;
        let mut xw = vec![0.0; count(&[rows, wide])?];
        let sizes = Sizes { m: rows, k: self.inputs, n: wide };
        multiply(
            sizes,
            (x, Layout::of(self.inputs, false)),
            (d.w, Layout::of(self.inputs, true)),
            &mut xw,
            true,
        )?;
        let mut hr = vec![0.0; count(&[self.batch, wide])?];
        let mut reset = vec![0.0; self.batch * hidden];
        let mut candidate = vec![0.0; self.batch * hidden];
        let (of_x, of_h) = d.bias.split_at(wide);
        let f = |i: usize, v: f64| d.activations.get(i).map_or(v, |a| a.apply(v));
        for s in 0..self.steps {
            let state = Sizes { m: self.batch, k: hidden, n: wide };
            multiply(state, (h, Layout::of(hidden, false)), (d.r, Layout::of(hidden, true)), &mut hr, true)?;
            if let Kind::Gru { before_reset: false } = self.kind {
                for n in 0..self.batch {
                    let row = self.at(self.step(s, lens[n], d.reverse), n) * wide;
                    for k in 0..hidden {
                        let j = hidden + k;
                        let r = f(0, xw[row + j] + hr[n * wide + j] + of_x[j] + of_h[j]);
                        reset[n * hidden + k] = r * h[n * hidden + k];
                    }
                }
                let last = d.r.get(2 * hidden * hidden..).unwrap_or_default();
                let sizes = Sizes { n: hidden, ..state };
                let (a, b) = ((&reset[..], Layout::of(hidden, false)), (last, Layout::of(hidden, true)));
                multiply(sizes, a, b, &mut candidate, true)?;
            }
            for n in 0..self.batch {
                if s >= lens[n] {
                    continue;
                }
                let t = self.step(s, lens[n], d.reverse);
                let (row, base) = (self.at(t, n) * wide, n * hidden);
                for k in 0..hidden {
                    let sum = |gate: usize| {
                        let j = gate * hidden + k;
                        xw[row + j] + hr[n * wide + j] + of_x[j] + of_h[j]
                    };
                    let before = h[base + k];
                    h[base + k] = match self.kind {
                        Kind::Plain => f(0, sum(0)),
                        Kind::Gru { before_reset } => {
                            let z = f(0, sum(0));
                            let j = 2 * hidden + k;
                            let g = if before_reset {
                                let r = f(0, sum(1));
                                f(1, xw[row + j] + of_x[j] + r * (hr[n * wide + j] + of_h[j]))
                            } else {
                                f(1, xw[row + j] + of_x[j] + candidate[base + k] + of_h[j])
                            };
                            (1.0 - z) * g + z * before
                        }
                        Kind::Lstm { coupled } => {
                            let peep = |i: usize| d.peephole.get(i * hidden + k).copied().unwrap_or(0.0);
                            let old = c[base + k];
                            let i = f(0, sum(0) + peep(0) * old);
                            let forget = if coupled { 1.0 - i } else { f(0, sum(2) + peep(2) * old) };
                            let cell = forget * old + i * f(1, sum(3));
                            c[base + k] = cell;
                            f(0, sum(1) + peep(1) * cell) * f(2, cell)
                        }
                    };
                }
                put(t, n, &h[base..base + hidden]);
            }
        }
        Ok(())
    }

    /// Which step is the `s`-th of a sequence of `len`.
    fn step(&self, s: usize, len: usize, reverse: bool) -> usize {
        if reverse && s < len { len - 1 - s } else { s }
    }
}

fn run(c: &Operands<'_>, kind: Kind) -> Result<Vec<Array>> {
    let (x, w, r) = (c.array(0)?, c.array(1)?, c.array(2)?);
    let batch_first = c.op.flag("layout")?;
    let (&[a, b, inputs], &[directions, rows, of], &[d, r_rows, hidden]) = (x.shape(), w.shape(), r.shape())
    else {
        return refuse(format!("{x:?}, {w:?} and {r:?} must have rank 3"));
    };
    let (steps, batch) = if batch_first { (b, a) } else { (a, b) };
    let wide = count(&[kind.gates(), hidden])?;
    if rows != wide || r_rows != wide || of != inputs || d != directions {
        return refuse(format!("weights {w:?} and {r:?} do not fit {x:?}"));
    }
    let reverse = match (c.op.text("direction")?.unwrap_or("forward"), directions) {
        ("forward", 1) => [false, false],
        ("reverse", 1) => [true, true],
        ("bidirectional", 2) => [false, true],
        (name, n) => return refuse(format!("direction `{name}` does not fit weights of {n} directions")),
    };
    let layer = Layer { kind, steps, batch, inputs, hidden, directions, batch_first };
    let activations = Activation::all(c.op, kind, directions)?;
    let optional = |index: usize, shape: &[usize]| match c.get(index) {
        None => Ok(vec![0.0; count(shape)?]),
        Some(a) if a.shape() == shape => Ok(to_f64(a)),
        Some(a) => refuse(format!("input {index} must have shape {shape:?}, found {a:?}")),
    };
    let lens: Vec<usize> = match c.get(4) {
        None => vec![steps; batch],
        Some(l) => {
            to_i64(l)?.iter().filter_map(|&n| usize::try_from(n).ok().filter(|&n| n <= steps)).collect()
        }
    };
    if lens.len() != batch {
        return refuse(format!("lengths of sequences do not fit a batch of {batch} with {steps} steps"));
    }
    let states = if batch_first { [batch, directions, hidden] } else { [directions, batch, hidden] };
    let bias = optional(3, &[directions, 2 * wide])?;
    let (first_h, first_c) = (
        optional(5, &states)?,
        match kind {
            Kind::Lstm { .. } => optional(6, &states)?,
            _ => vec![0.0; count(&states)?],
        },
    );
    let peepholes = match kind {
        Kind::Lstm { .. } => optional(7, &[directions, 3 * hidden])?,
        _ => Vec::new(),
    };
    let shape =
        if batch_first { [batch, steps, directions, hidden] } else { [steps, directions, batch, hidden] };
    let mut y = vec![0.0; count(&shape)?];
    let (mut last_h, mut last_c) = (first_h.clone(), first_c.clone());
    let (x64, w64, r64) = (to_f64(x), to_f64(w), to_f64(r));
    let per = kind.activations().len();
    for d in 0..directions {
        let part = |v: &'_ [f64], each: usize| v.get(d * each..(d + 1) * each).unwrap_or_default().to_vec();
        let direction = Direction {
            w: &part(&w64, wide * inputs),
            r: &part(&r64, wide * hidden),
            bias: &part(&bias, 2 * wide),
            peephole: &part(&peepholes, 3 * hidden),
            activations: activations.get(d * per..(d + 1) * per).unwrap_or_default(),
            reverse: reverse.get(d).copied().unwrap_or(false),
        };
        let gather = |v: &[f64]| -> Vec<f64> {
            (0..batch).flat_map(|n| v.iter().skip(layer.state(d, n) * hidden).take(hidden).copied()).collect()
        };
        let (mut h, mut cell) = (gather(&first_h), gather(&first_c));
        layer.run(&x64, &direction, &lens, (&mut h, &mut cell), |t, n, state| {
            let at =
                if batch_first { (n * steps + t) * directions + d } else { (t * directions + d) * batch + n };
            if let Some(to) = y.get_mut(at * hidden..(at + 1) * hidden) {
                to.copy_from_slice(state);
            }
        })?;
        for n in 0..batch {
            let (to, from) = (layer.state(d, n) * hidden, n * hidden);
            last_h[to..to + hidden].copy_from_slice(&h[from..from + hidden]);
            last_c[to..to + hidden].copy_from_slice(&cell[from..from + hidden]);
        }
    }
    let mut results = vec![from_f64(x.dtype(), &shape, &y)?, from_f64(x.dtype(), &states, &last_h)?];
    if let Kind::Lstm { .. } = kind {
        results.push(from_f64(x.dtype(), &states, &last_c)?);
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use occam_graph::onnx::Attribute;

    fn f64s(shape: &[usize], v: &[f64]) -> Array {
        Array::new(shape, occam_graph::Data::F64(v.to_vec())).unwrap()
    }

    /// With an identity as activation and weights of 1 a state is the sum of all inputs so far.
    #[test]
    fn states_are_sums() {
        let op = |direction: &str, n: usize| {
            let mut op = Onnx::new("RNN", 22, 3)
                .with("direction", Attribute::String(direction.into()))
                .with("activations", Attribute::Strings(vec![b"Affine".to_vec(); n]));
            op.outputs = vec![true; 2];
            op
        };
        let x = f64s(&[3, 1, 1], &[1.0, 2.0, 3.0]);
        let one = |d: usize| f64s(&[d, 1, 1], &vec![1.0; d]);
        let y = evaluate(&op("reverse", 1), &[x.clone(), one(1), one(1)]).unwrap();
        assert_eq!(y, [f64s(&[3, 1, 1, 1], &[6.0, 5.0, 3.0]), f64s(&[1, 1, 1], &[6.0])]);
        let y = evaluate(&op("bidirectional", 2), &[x.clone(), one(2), one(2)]).unwrap();
        assert_eq!(y[0], f64s(&[3, 2, 1, 1], &[1.0, 6.0, 3.0, 5.0, 6.0, 3.0]));
        assert!(evaluate(&op("forward", 1), &[x.clone(), one(2), one(2)]).is_err());
        assert!(evaluate(&op("sideways", 1), &[x, one(1), one(1)]).is_err());
    }
}
