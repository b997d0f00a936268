//! Elements in another arrangement: blocks and depth, sequences turned, triangles, columns and images.

use occam_graph::Array;

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::moves::{at, sizes, transposed};
use crate::numbers::{Element, array, each_type};
use crate::view::{count, strides};

pub(super) const TABLE: &[Eval] = &[
    Eval::new("DepthToSpace", depth_to_space),
    Eval::new("SpaceToDepth", space_to_depth),
    Eval::new("ReverseSequence", reverse),
    Eval::new("Trilu", trilu),
    Eval::new("Col2Im", col2im),
];

fn image(c: &Operands<'_>) -> Result<([usize; 4], usize)> {
    let x = c.array(0)?;
    let &[n, channels, h, w] = x.shape() else { return refuse(format!("takes images, found {x:?}")) };
    match c.op.size("blocksize")? {
        Some(block) if (1..1 << 16).contains(&block) => Ok(([n, channels, h, w], block)),
        None => refuse("attribute `blocksize` is missing"),
        Some(other) => refuse(format!("a block size of {other} is not supported")),
    }
}

fn depth_to_space(c: &Operands<'_>) -> Result<Vec<Array>> {
    let ([n, channels, h, w], b) = image(c)?;
    if channels % (b * b) != 0 {
        return refuse(format!("{channels} channels are no multiple of {}", b * b));
    }
    let depth = channels / (b * b);
    let (blocks, order) = match c.op.text("mode")?.unwrap_or("DCR") {
        "DCR" => ([n, b, b, depth, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, depth, b, b, h, w], [0, 1, 4, 2, 5, 3]),
        other => return refuse(format!("mode `{other}` is not supported")),
    };
    let moved = transposed(&c.array(0)?.reshape(blocks)?, &order)?;
    Ok(vec![moved.reshape([n, depth, h * b, w * b])?])
}

fn space_to_depth(c: &Operands<'_>) -> Result<Vec<Array>> {
    let ([n, channels, h, w], b) = image(c)?;
    if h % b != 0 || w % b != 0 {
        return refuse(format!("an image of {h} by {w} has no blocks of {b}"));
    }
    let blocks = c.array(0)?.reshape([n, channels, h / b, b, w / b, b])?;
    let moved = transposed(&blocks, &[0, 3, 5, 1, 2, 4])?;
    let depth = count(&[channels, b, b])?;
    Ok(vec![moved.reshape([n, depth, h / b, w / b])?])
}

/// The first elements of each sequence in the opposite order.
fn reverse(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let (batch, time) = match (c.op.int("batch_axis")?.unwrap_or(1), c.op.int("time_axis")?.unwrap_or(0)) {
        (0, 1) => (0, 1),
        (1, 0) => (1, 0),
        axes => return refuse(format!("batch and time axes {axes:?} are not 0 and 1")),
    };
    let lengths = sizes(&c.ints(1)?.unwrap_or_default())?;
    let &[first, second, ..] = x.shape() else { return refuse(format!("takes sequences, found {x:?}")) };
    let own = [first, second];
    let (batches, steps) = if batch == 0 { (first, second) } else { (second, first) };
    if lengths.len() != batches || lengths.iter().any(|&n| n > steps) {
        return refuse(format!("lengths {lengths:?} are not those of {x:?}"));
    }
    let run: usize = x.shape().iter().skip(2).product();
    let mut all = Vec::with_capacity(x.len());
    for i in 0..own[0] {
        for j in 0..own[1] {
            let mut place = [i, j];
            let length = lengths.get(place[batch]).copied().unwrap_or(0);
            if place[time] < length {
                place[time] = length - 1 - place[time];
            }
            let from = (place[0] * second + place[1]) * run;
            all.extend(from..from + run);
        }
    }
    Ok(vec![at(x, x.shape(), &all)?])
}

fn trilu(c: &Operands<'_>) -> Result<Vec<Array>> {
    fn run<T: Element>(v: &[T], rows: usize, columns: usize, upper: bool, k: i128) -> Vec<T> {
        let keep = |i: usize| {
            let distance = (i % columns) as i128 - ((i / columns) % rows) as i128;
            if upper { distance >= k } else { distance <= k }
        };
        v.iter().enumerate().map(|(i, &x)| if keep(i) { x } else { T::from_i64(0) }).collect()
    }
    let x = c.array(0)?;
    let Some(&[rows, columns]) = x.shape().last_chunk::<2>() else {
        return refuse(format!("takes matrices, found {x:?}"));
    };
    let upper = c.op.int("upper")?.unwrap_or(1) != 0;
    let k = i128::from(c.int(1)?.unwrap_or(0));
    let done = each_type!(x, v => array(x.shape(), run(v, rows.max(1), columns.max(1), upper, k)))?;
    Ok(vec![done])
}

/// Where a window of one axis is.
struct Window {
    image: usize,
    block: usize,
    dilation: usize,
    pad: usize,
    stride: usize,
    places: usize,
}

/// The windows of an image, each a column, added where they were.
fn col2im(c: &Operands<'_>) -> Result<Vec<Array>> {
    let x = c.array(0)?;
    let (image, block) = (sizes(&c.ints(1)?.unwrap_or_default())?, sizes(&c.ints(2)?.unwrap_or_default())?);
    let rank = image.len();
    let list = |name: &str, default: usize, count: usize| -> Result<Vec<usize>> {
        match c.op.ints(name)? {
            None => Ok(vec![default; count]),
            Some(v) if v.len() == count => sizes(v),
            Some(v) => refuse(format!("attribute `{name}` has {} numbers, not {count}", v.len())),
        }
    };
    let (dilations, strides_of) = (list("dilations", 1, rank)?, list("strides", 1, rank)?);
    let pads = list("pads", 0, rank * 2)?;
    let mut windows = Vec::with_capacity(rank);
    for i in 0..rank {
        let of = |v: &[usize], i: usize| v.get(i).copied().unwrap_or(0);
        let (n, k, d, s) = (of(&image, i), of(&block, i), of(&dilations, i), of(&strides_of, i));
        let (before, after) = (of(&pads, i), of(&pads, i + rank));
        let span = k.checked_sub(1).and_then(|k| k.checked_mul(d)?.checked_add(1));
        let padded = n.checked_add(before).and_then(|n| n.checked_add(after));
        let room = padded.zip(span).and_then(|(n, span)| n.checked_sub(span));
        match room {
            Some(room) if s > 0 && d > 0 => windows.push(Window {
                image: n,
                block: k,
                dilation: d,
                pad: before,
                stride: s,
                places: room / s + 1,
            }),
            _ => return refuse(format!("windows {block:?} do not fit an image of {image:?}")),
        }
    }
    let product = |f: fn(&Window) -> usize| count(&windows.iter().map(f).collect::<Vec<_>>());
    let (area, places, pixels) = (product(|w| w.block)?, product(|w| w.places)?, product(|w| w.image)?);
    let &[n, columns, length] = x.shape() else { return refuse(format!("takes columns, found {x:?}")) };
    if area == 0 || columns % area != 0 || length != places {
        return refuse(format!("{x:?} are not the windows {block:?} of an image of {image:?}"));
    }
    let channels = columns / area;
    let shape: Vec<usize> = [n, channels].into_iter().chain(image.iter().copied()).collect();
    let total = count(&shape)?;
    // By element of a window and place: the pixel, where it is inside.
    let map = targets(&windows, count(&[area, places])?, places);
    fn run<T: Element>(v: &[T], map: &[Option<usize>], pixels: usize, total: usize) -> Vec<T> {
        let float = T::DTYPE.is_float();
        let mut sums = vec![0f64; if float { total } else { 0 }];
        let mut whole = vec![0i64; if float { 0 } else { total }];
        for (plane, values) in v.chunks(map.len().max(1)).enumerate() {
            for (&x, target) in values.iter().zip(map) {
                let Some(i) = target.map(|t| plane * pixels + t) else { continue };
                if let Some(sum) = sums.get_mut(i) {
                    *sum += x.to_f64();
                } else if let Some(sum) = whole.get_mut(i) {
                    *sum = sum.wrapping_add(x.to_i64());
                }
            }
        }
        if float {
            sums.into_iter().map(T::from_f64).collect()
        } else {
            whole.into_iter().map(T::from_i64).collect()
        }
    }
    let done = each_type!(x, v => array(&shape, run(v, &map, pixels, total)))?;
    Ok(vec![done])
}

fn targets(windows: &[Window], count: usize, places: usize) -> Vec<Option<usize>> {
    let blocks = strides(&windows.iter().map(|w| w.block).collect::<Vec<_>>());
    let steps = strides(&windows.iter().map(|w| w.places).collect::<Vec<_>>());
    let pixels = strides(&windows.iter().map(|w| w.image).collect::<Vec<_>>());
    let pixel = |k: usize| {
        let (element, place) = (k / places.max(1), k % places.max(1));
        let axes = windows.iter().zip(&blocks).zip(steps.iter().zip(&pixels));
        axes.map(|((w, b), (s, p))| {
            let offset = ((element / b) % w.block) * w.dilation + ((place / s) % w.places) * w.stride;
            offset.checked_sub(w.pad).filter(|&i| i < w.image).map(|i| i * p)
        })
        .sum::<Option<usize>>()
    };
    (0..count).map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use occam_graph::onnx::{Attribute, Onnx};

    use super::*;
    use crate::evaluate;

    #[test]
    fn blocks_come_back() {
        let x = Array::from_i64([1, 1, 4, 4], (0..16).collect()).unwrap();
        let two = |name: &str| Onnx::new(name, 13, 1).with("blocksize", Attribute::Int(2));
        let deep = evaluate(&two("SpaceToDepth"), std::slice::from_ref(&x)).unwrap();
        assert_eq!(deep[0].shape(), [1, 4, 2, 2]);
        assert_eq!(evaluate(&two("DepthToSpace"), &deep).unwrap()[0], x);
        assert!(evaluate(&two("DepthToSpace"), &[x]).is_err());
    }

    #[test]
    fn windows_that_overlap_are_added() {
        let x = Array::from_f32([1, 2, 2], vec![1.0, 2.0, 4.0, 8.0]).unwrap();
        let ints = |v: &[i64]| Array::from_i64([v.len()], v.to_vec()).unwrap();
        let y = evaluate(&Onnx::new("Col2Im", 18, 3), &[x.clone(), ints(&[3]), ints(&[2])]).unwrap();
        assert_eq!(y[0].as_f32().unwrap(), [1.0, 6.0, 8.0]);
        assert!(evaluate(&Onnx::new("Col2Im", 18, 3), &[x, ints(&[5]), ints(&[2])]).is_err());
    }
}
