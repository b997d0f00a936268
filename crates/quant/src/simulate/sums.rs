//! Sums of products as `vpmaddubsw` makes them: of two neighbours in 16 bits, which saturates.
//!
//! ONNX Runtime multiplies unsigned activations by signed weights with it where a processor has no VNNI. Neighbours are those
//! in the order in which it lays out the taps of a convolution: the window's positions, and the channels within them.

use occam_graph::onnx::Onnx;
use occam_graph::onnx::window::Window;
use occam_graph::{Array, Data};
use rayon::prelude::*;

use crate::{Error, Result};

/// What saturated in a layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Saturation {
    /// Name of the node.
    pub node: String,
    /// Sums of two products.
    pub pairs: u64,
    /// Those of them that saturated.
    pub saturated: u64,
    /// Elements of the result.
    pub results: u64,
    /// Those of them whose sums changed.
    pub changed: u64,
    /// The largest change of a sum, relative to the largest sum.
    pub worst: f32,
}

impl Saturation {
    /// Adds what was seen in another run of the layer.
    pub fn add(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.saturated += other.saturated;
        self.results += other.results;
        self.changed += other.changed;
        self.worst = self.worst.max(other.worst);
    }
}

/// An operator whose sums may saturate.
pub(super) struct Layer<'a> {
    op: &'a Onnx,
    /// By ONNX input.
    inputs: Vec<Option<&'a Array>>,
}

/// Sums of rows: `[rows, columns]`.
struct Sums {
    values: Vec<i32>,
    seen: Saturation,
}

/// The activations without sign, and by how much they were moved for it; none for other types.
fn unsigned(x: &Array) -> Option<(Vec<i16>, i32)> {
    match x.data() {
        Data::U8(v) => Some((v.iter().map(|&x| x.into()).collect(), 0)),
        Data::I8(v) => Some((v.iter().map(|&x| i16::from(x) + 128).collect(), 128)),
        _ => None,
    }
}

/// Zero points as integers.
fn integers(x: &Array) -> Vec<i32> {
    match x.data() {
        Data::U8(v) => v.iter().map(|&x| x.into()).collect(),
        Data::I8(v) => v.iter().map(|&x| x.into()).collect(),
        Data::I32(v) => v.clone(),
        _ => Vec::new(),
    }
}

/// Rows of weights with an even number of elements.
struct Rows {
    /// Elements of a row.
    length: usize,
    rows: Vec<i16>,
    totals: Vec<i32>,
    zeros: Vec<i32>,
}

impl Rows {
    fn new(count: usize, length: usize, at: impl Fn(usize, usize) -> i16, zeros: Vec<i32>) -> Self {
        let even = length.next_multiple_of(2);
        let mut rows = vec![0i16; count * even];
        for (i, row) in rows.chunks_mut(even.max(1)).enumerate() {
            row.iter_mut().take(length).enumerate().for_each(|(k, w)| *w = at(i, k));
        }
        let totals = rows.chunks(even.max(1)).map(|r| r.iter().map(|&w| i32::from(w)).sum()).collect();
        Self { length, rows, totals, zeros }
    }

    /// The weights `[outputs, channels, height, width]` of a convolution: the taps of a row with the channels innermost.
    fn of_conv(w: &[i8], [o, channels, kh, kw]: [usize; 4], zeros: Vec<i32>) -> Self {
        let at = |i: usize, k: usize| {
            let [ky, kx, channel] = tap(k, channels, kw);
            w.get(((i * channels + channel) * kh + ky) * kw + kx).copied().unwrap_or(0).into()
        };
        Self::new(o, kh * kw * channels, at, zeros)
    }

    /// The columns of a matrix `[rows, columns]`, or the rows of one that is `turned`.
    fn of_product(w: &[i8], [r, s]: [usize; 2], turned: bool, zeros: Vec<i32>) -> Self {
        let (k, n) = if turned { (s, r) } else { (r, s) };
        let at = |column: usize, row: usize| {
            let place = if turned { column * k + row } else { row * n + column };
            w.get(place).copied().unwrap_or(0).into()
        };
        Self::new(n, k, at, zeros)
    }

    fn width(&self) -> usize {
        self.length.next_multiple_of(2).max(1)
    }

    /// Whether two neighbours are so large that a pair may saturate.
    fn may_saturate(&self) -> bool {
        self.rows.as_chunks::<2>().0.iter().any(|&[a, b]| {
            let (a, b) = (i32::from(a), i32::from(b));
            255 * (a.max(0) + b.max(0)) > i32::from(i16::MAX)
                || 255 * (a.min(0) + b.min(0)) < i32::from(i16::MIN)
        })
    }

    /// The sum of row `i` with `a`, exactly and with saturation, and how many pairs saturated.
    fn sum(&self, i: usize, a: &[i16]) -> (i32, i32, u32) {
        let width = self.width();
        let row = self.rows.get(i * width..(i + 1) * width).unwrap_or_default();
        let (mut exact, mut kept, mut count) = (0i32, 0i32, 0u32);
        for (&[a, b], &[v, w]) in a.as_chunks::<2>().0.iter().zip(row.as_chunks::<2>().0) {
            let pair = i32::from(a) * i32::from(v) + i32::from(b) * i32::from(w);
            let clamped = pair.clamp(i16::MIN.into(), i16::MAX.into());
            exact += pair;
            kept += clamped;
            count += u32::from(pair != clamped);
        }
        (exact, kept, count)
    }

    /// Sums of these rows `from..from + out.len()` with `a`, whose zero point is `zero`.
    fn fill(&self, a: &[i16], zero: i32, from: usize, out: &mut [i32], seen: &mut Saturation) {
        let all: i32 = a.iter().take(self.length).map(|&a| i32::from(a)).sum();
        let length = self.length as i32;
        for (i, out) in (from..).zip(out) {
            let (exact, kept, count) = self.sum(i, a);
            let total = self.totals.get(i).copied().unwrap_or(0);
            let own = self.zeros.get(if self.zeros.len() == 1 { 0 } else { i }).copied().unwrap_or(0);
            *out = kept - zero * total - own * all + own * zero * length;
            seen.pairs += (self.width() / 2) as u64;
            seen.saturated += u64::from(count);
            seen.results += 1;
            seen.changed += u64::from(exact != kept);
            // Kept as an integer until all are known.
            seen.worst = seen.worst.max((exact - kept).abs() as f32);
        }
    }
}

/// Row and column of the window, and the channel, of a tap.
fn tap(k: usize, channels: usize, kw: usize) -> [usize; 3] {
    [k / channels / kw, k / channels % kw, k % channels]
}

/// The input with the weights of an operator whose sums may saturate.
fn weight_slot(op: &Onnx) -> Option<usize> {
    match op.op_type.as_str() {
        "QLinearConv" | "QLinearMatMul" | "QGemm" => Some(3),
        "MatMulInteger" => Some(1),
        _ => None,
    }
}

/// Whether the weights of an operator, given by ONNX input, are so large that sums may saturate; false for operators that
/// have none.
///
/// # Errors
/// An attribute is of another type.
pub(super) fn may_saturate<'a>(op: &Onnx, known: impl FnOnce(usize) -> Option<&'a Array>) -> Result<bool> {
    let Some(array) = weight_slot(op).and_then(known) else { return Ok(false) };
    let Data::I8(w) = array.data() else { return Ok(false) };
    let rows = match (op.op_type.as_str(), array.shape()) {
        ("QLinearConv", &[o, channels, kh, kw]) => {
            if channels == 1 && op.size("group")?.unwrap_or(1) == o {
                return Ok(false);
            }
            Rows::of_conv(w, [o, channels, kh, kw], Vec::new())
        }
        ("QLinearConv", _) => return Ok(false),
        (_, &[r, s]) => Rows::of_product(w, [r, s], op.flag("transB")?, Vec::new()),
        _ => return Ok(false),
    };
    Ok(rows.may_saturate())
}

impl<'a> Layer<'a> {
    /// The layer, where its sums may saturate.
    pub fn of(op: &'a Onnx, operands: &'a [Array]) -> Option<Self> {
        let inputs = op.slots(operands);
        let weight = weight_slot(op)?;
        let w = inputs.get(weight).copied().flatten()?;
        matches!(w.data(), Data::I8(_)).then_some(Self { op, inputs })
    }

    fn get(&self, slot: usize) -> Option<&'a Array> {
        self.inputs.get(slot).copied().flatten()
    }

    fn array(&self, slot: usize) -> Result<&'a Array> {
        self.get(slot).ok_or_else(|| Error::Other(format!("input {slot} is missing")))
    }

    /// The results with saturation; none where nothing can saturate, or for operands that are not simulated.
    ///
    /// # Errors
    /// The operands do not fit.
    pub fn run(&self) -> Result<Option<(Array, Saturation)>> {
        match self.op.op_type.as_str() {
            "QLinearConv" => self.conv(),
            "MatMulInteger" => self.product(0, 1, [2, 3], false, false),
            "QLinearMatMul" => self.product(0, 3, [2, 5], false, false),
            _ => self.product(0, 3, [2, 5], self.op.flag("transA")?, self.op.flag("transB")?),
        }
    }

    /// The zero point of the activations, moved with them.
    fn zero(&self, slot: usize, moved: i32) -> i32 {
        self.get(slot).and_then(|z| integers(z).first().copied()).unwrap_or(0) + moved
    }

    fn conv(&self) -> Result<Option<(Array, Saturation)>> {
        let (x, w) = (self.array(0)?, self.array(3)?);
        let (&[n, c, h, wide], &[o, per_group, kh, kw]) = (x.shape(), w.shape()) else { return Ok(None) };
        let groups = self.op.size("group")?.unwrap_or(1).max(1);
        let (Some((x, moved)), Data::I8(w)) = (unsigned(x), w.data()) else { return Ok(None) };
        // Depthwise kernels have room for their products.
        if (per_group == 1 && o == groups) || per_group * groups != c || o % groups != 0 {
            return Ok(None);
        }
        let window = Window::of(self.op, vec![kh, kw])?;
        let at = [window.positions(0, h)?, window.positions(1, wide)?];
        let step = |v: &[usize], i: usize| v.get(i).copied().unwrap_or(1);
        let (stride, dilation) =
            ([0, 1].map(|i| step(&window.stride, i)), [0, 1].map(|i| step(&window.dilation, i)));
        let zero = self.zero(2, moved);
        let length = kh * kw * per_group;
        let zeros = self.get(5).map(integers).unwrap_or_default();
        let rows = Rows::of_conv(w, [o, per_group, kh, kw], zeros);
        if !rows.may_saturate() {
            return Ok(None);
        }
        let [ph, pw] = at.map(|p| p.count);
        let pixels = ph * pw;
        let own = o / groups;
        let one = |(place, out): (usize, &mut [i32])| {
            let (image, p) = (place / pixels, place % pixels);
            let mut seen = Saturation::default();
            let mut a = vec![0i16; rows.width()];
            for (group, out) in out.chunks_mut(own.max(1)).enumerate() {
                for (k, a) in a.iter_mut().take(length).enumerate() {
                    let [ky, kx, channel] = tap(k, per_group, kw);
                    let y =
                        (p / pw * stride[0] + ky * dilation[0]).checked_sub(at[0].before).filter(|&y| y < h);
                    let z = (p % pw * stride[1] + kx * dilation[1])
                        .checked_sub(at[1].before)
                        .filter(|&z| z < wide);
                    let from =
                        y.zip(z).map(|(y, z)| ((image * c + group * per_group + channel) * h + y) * wide + z);
                    *a = from.and_then(|i| x.get(i).copied()).unwrap_or(zero as i16);
                }
                rows.fill(&a, zero, group * own, out, &mut seen);
            }
            seen
        };
        let sums = summed(n * pixels, o, one);
        let mut values = vec![0i32; sums.values.len()];
        for (place, row) in sums.values.chunks(o.max(1)).enumerate() {
            for (channel, &v) in row.iter().enumerate() {
                if let Some(y) = values.get_mut((place / pixels * o + channel) * pixels + place % pixels) {
                    *y = v;
                }
            }
        }
        let y = self.quantized(
            &values,
            &[n, o, ph, pw],
            [1, 4, 6, 7],
            self.get(8),
            |i| i / pixels % o.max(1),
            1.0,
        )?;
        Ok(Some((y, sums.seen)))
    }

    fn product(
        &self,
        a: usize,
        b: usize,
        zeros: [usize; 2],
        turned_a: bool,
        turned_b: bool,
    ) -> Result<Option<(Array, Saturation)>> {
        let (x, w) = (self.array(a)?, self.array(b)?);
        let (Some((values, moved)), Data::I8(weights), &[r, s]) = (unsigned(x), w.data(), w.shape()) else {
            return Ok(None);
        };
        let (k, n) = if turned_b { (s, r) } else { (r, s) };
        let m = x.len() / k.max(1);
        if x.shape().is_empty() || x.len() != m * k || (!turned_a && x.shape().last() != Some(&k)) {
            return Ok(None);
        }
        let zero = self.zero(zeros[0], moved);
        let own = self.get(zeros[1]).map(integers).unwrap_or_default();
        let rows = Rows::of_product(weights, [r, s], turned_b, own);
        if !rows.may_saturate() {
            return Ok(None);
        }
        let one = |(row, out): (usize, &mut [i32])| {
            let mut seen = Saturation::default();
            let mut line = vec![0i16; rows.width()];
            for (i, to) in line.iter_mut().take(k).enumerate() {
                let from = if turned_a { i * m + row } else { row * k + i };
                *to = values.get(from).copied().unwrap_or(0);
            }
            rows.fill(&line, zero, 0, out, &mut seen);
            seen
        };
        let sums = summed(m, n, one);
        let shape: Vec<usize> = match (turned_a, x.shape()) {
            (true, _) => vec![m, n],
            (false, [batch @ .., _]) => batch.iter().copied().chain([n]).collect(),
            (false, []) => return Ok(None),
        };
        let y = match self.op.op_type.as_str() {
            "MatMulInteger" => Array::new(shape, Data::I32(sums.values))?,
            "QGemm" => {
                let alpha = self.op.float("alpha")?.unwrap_or(1.0);
                self.quantized(&sums.values, &shape, [1, 4, 7, 8], self.get(6), |i| i % n.max(1), alpha)?
            }
            _ => self.quantized(&sums.values, &shape, [1, 4, 6, 7], None, |i| i % n.max(1), 1.0)?,
        };
        Ok(Some((y, sums.seen)))
    }

    /// `round((sum + bias) · alpha · sx · sw / sy) + y0`, or floats where the result has no scale.
    fn quantized(
        &self,
        sums: &[i32],
        shape: &[usize],
        [sx, sw, sy, zy]: [usize; 4],
        bias: Option<&Array>,
        channel: impl Fn(usize) -> usize,
        alpha: f32,
    ) -> Result<Array> {
        let of =
            |v: &[f32], i: usize| v.get(if v.len() == 1 { 0 } else { channel(i) }).copied().unwrap_or(1.0);
        let sx = self.array(sx)?.as_f32()?.first().copied().unwrap_or(1.0) * alpha;
        let sw = self.array(sw)?.as_f32()?;
        let bias = bias.map(integers).unwrap_or_default();
        let sum = |i: usize, s: i32| {
            let b = bias.get(if bias.len() == 1 { 0 } else { channel(i) }).copied().unwrap_or(0);
            s.wrapping_add(b) as f32
        };
        let Some(sy) = self.get(sy) else {
            let y = sums.iter().enumerate().map(|(i, &s)| sum(i, s) * (sx * of(sw, i))).collect();
            return Ok(Array::from_f32(shape, y)?);
        };
        let sy = sy.as_f32()?.first().copied().unwrap_or(1.0);
        let zero = self.get(zy).and_then(|z| integers(z).first().copied()).unwrap_or(0);
        let signed = matches!(self.get(zy).map(Array::data), Some(Data::I8(_)));
        let (low, high) = if signed { (-128, 127) } else { (0, 255) };
        let steps = sums.iter().enumerate().map(|(i, &s)| {
            let y = (sum(i, s) * (sx * of(sw, i) / sy)).round_ties_even().clamp(-1024.0, 1024.0);
            (y as i32 + zero).clamp(low, high)
        });
        let data = match signed {
            true => Data::I8(steps.map(|y| y as i8).collect()),
            false => Data::U8(steps.map(|y| y as u8).collect()),
        };
        Ok(Array::new(shape, data)?)
    }
}

/// Rows of sums, each by `one`.
fn summed(
    rows: usize,
    columns: usize,
    one: impl Fn((usize, &mut [i32])) -> Saturation + Sync + Send,
) -> Sums {
    let mut values = vec![0i32; rows * columns];
    let merged = |mut a: Saturation, b: Saturation| {
        a.add(&b);
        a
    };
    let mut seen =
        values.par_chunks_mut(columns.max(1)).enumerate().map(one).reduce(Saturation::default, merged);
    let largest = values.iter().map(|v| v.unsigned_abs()).max().unwrap_or(0);
    seen.worst /= (largest as f32).max(1.0);
    Sums { values, seen }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u8s(shape: &[usize], v: &[u8]) -> Array {
        Array::new(shape, Data::U8(v.to_vec())).unwrap()
    }

    fn i8s(shape: &[usize], v: &[i8]) -> Array {
        Array::new(shape, Data::I8(v.to_vec())).unwrap()
    }

    #[test]
    fn pairs_saturate_in_the_order_of_taps() {
        // 255 · (127 + 127) is above 32767, 255 · 127 twice below and above it.
        let op = Onnx::new("MatMulInteger", 10, 2);
        let operands =
            [u8s(&[1, 4], &[255, 255, 255, 255]), i8s(&[4, 2], &[127, 127, 127, -1, -128, 127, -128, -1])];
        let (y, seen) = Layer::of(&op, &operands).unwrap().run().unwrap().unwrap();
        let wanted = vec![32767 - 32768, 255 * 126 + 255 * 126];
        assert_eq!(y, Array::new([1, 2], Data::I32(wanted)).unwrap());
        assert_eq!((seen.pairs, seen.saturated, seen.results, seen.changed), (4, 2, 2, 1));
        // Seven bits never do.
        let operands = [operands[0].clone(), i8s(&[4, 2], &[64, 64, 64, 64, -64, -64, -64, -64])];
        assert!(Layer::of(&op, &operands).unwrap().run().unwrap().is_none());
    }

    /// Where nothing saturates on the data, sums are those of the interpreter.
    #[test]
    fn without_saturation_sums_are_exact() {
        let small = |n: usize, most: usize| (0..n).map(move |i| (i * 7 % most) as u8).collect::<Vec<u8>>();
        // Both channels of one tap of the first output are large: they are neighbours.
        let weight = |i: i32| match i {
            2 => 120,
            11 => 127,
            i => (i * 5 % 60) as i8 - 30,
        };
        let weights: Vec<i8> = (0..8 * 2 * 9).map(weight).collect();
        let f = |v: &[f32]| {
            if v.len() == 1 {
                Array::from_f32([], v.to_vec())
            } else {
                Array::from_f32([v.len()], v.to_vec())
            }
            .unwrap()
        };
        let scales: Vec<f32> = (1..=8).map(|i| i as f32 * 0.001).collect();
        let op = Onnx::new("QLinearConv", 10, 9)
            .with("group", occam_graph::onnx::Attribute::Int(2))
            .with("strides", occam_graph::onnx::Attribute::Ints(vec![2, 1]))
            .with("pads", occam_graph::onnx::Attribute::Ints(vec![1, 1, 1, 0]));
        let bias = Array::new([8], Data::I32((0..8).map(|i| i * 100 - 300).collect())).unwrap();
        let x = u8s(&[2, 4, 6, 5], &small(240, 90));
        let operands = [
            x,
            f(&[0.05]),
            u8s(&[], &[17]),
            i8s(&[8, 2, 3, 3], &weights),
            f(&scales),
            i8s(&[8], &[0; 8]),
            f(&[0.03]),
            u8s(&[], &[40]),
            bias,
        ];
        let wanted = occam_interp::evaluate(&op, &operands).unwrap();
        let (y, seen) = Layer::of(&op, &operands).unwrap().run().unwrap().unwrap();
        assert_eq!((y, seen.changed), (wanted[0].clone(), 0));
        // Doubled, pairs saturate.
        let doubled: Vec<u8> = small(240, 90).iter().map(|x| x * 2 + 70).collect();
        let mut operands = operands;
        operands[0] = u8s(&[2, 4, 6, 5], &doubled);
        let (_, seen) = Layer::of(&op, &operands).unwrap().run().unwrap().unwrap();
        assert!(seen.changed > 0 && seen.worst > 0.0, "{seen:?}");
    }
}
