//! Boxes and regions of interest.

use occam_graph::{Array, DType};
use rayon::prelude::*;

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::numbers::{array, from_f64, to_f64, to_i64};
use crate::view::count;

pub(super) const TABLE: &[Eval] = &[
    Eval::new("NonMaxSuppression", suppress),
    Eval::new("RoiAlign", align),
    Eval::new("MaxRoiPool", max_pool),
];

/// A box as its corners, the smaller ones first.
type Corners = [f32; 4];

fn corners(v: &[f32], centered: bool) -> Corners {
    let &[a, b, c, d] = v else { return [0.0; 4] };
    if centered {
        return [b - d / 2.0, a - c / 2.0, b + d / 2.0, a + c / 2.0];
    }
    [a.min(c), b.min(d), a.max(c), b.max(d)]
}

fn area(b: Corners) -> f32 {
    (b[2] - b[0]) * (b[3] - b[1])
}

/// Intersection over union.
fn overlap(a: Corners, b: Corners) -> f32 {
    let (h, w) = (a[2].min(b[2]) - a[0].max(b[0]), a[3].min(b[3]) - a[1].max(b[1]));
    if h <= 0.0 || w <= 0.0 {
        return 0.0;
    }
    let both = h * w;
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

/// A number that an operand of one element holds.
fn number(c: &Operands<'_>, index: usize) -> Result<Option<f32>> {
    match c.get(index).map(to_f64).as_deref() {
        None => Ok(None),
        Some([x]) => Ok(Some(*x as f32)),
        Some(v) => refuse(format!("input {index} must have one element, found {}", v.len())),
    }
}

/// By image and class the boxes, best first, that overlap no better one by more than a threshold: `[batch, class, box]`.
fn suppress(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (boxes, scores) = (c.array(0)?, c.array(1)?);
    let (&[n, count, four], &[images, classes, of]) = (boxes.shape(), scores.shape()) else {
        return refuse(format!("boxes {boxes:?} and scores {scores:?} must have rank 3"));
    };
    if four != 4 || n != images || count != of {
        return refuse(format!("boxes {boxes:?} and scores {scores:?} do not fit"));
    }
    let most = usize::try_from(c.int(2)?.unwrap_or(0)).unwrap_or(0);
    let threshold = number(c, 3)?.unwrap_or(0.0);
    let least = number(c, 4)?;
    let centered = match c.op.int("center_point_box")?.unwrap_or(0) {
        0 => false,
        1 => true,
        other => return refuse(format!("center_point_box {other} is not supported")),
    };
    let (boxes, scores) = (boxes.to_f32()?, scores.to_f32()?);
    let (boxes, scores) = (boxes.as_f32()?, scores.as_f32()?);
    let all: Vec<Corners> = boxes.chunks_exact(4).map(|b| corners(b, centered)).collect();
    let each = |task: usize| {
        let (image, class) = (task / classes.max(1), task % classes.max(1));
        let own = scores.get(task * count..(task + 1) * count).unwrap_or_default();
        let boxes = all.get(image * count..(image + 1) * count).unwrap_or_default();
        let mut order: Vec<usize> =
            (0..own.len()).filter(|&i| least.is_none_or(|l| own.get(i).is_some_and(|s| *s > l))).collect();
        let score = |i: usize| own.get(i).copied().unwrap_or(f32::NEG_INFINITY);
        order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        let mut kept: Vec<(usize, Corners)> = Vec::new();
        for i in order {
            if kept.len() >= most {
                break;
            }
            let Some(&b) = boxes.get(i) else { continue };
            if kept.iter().all(|&(_, k)| overlap(k, b) <= threshold) {
                kept.push((i, b));
            }
        }
        kept.into_iter().map(|(i, _)| [image as i64, class as i64, i as i64]).collect::<Vec<_>>()
    };
    let chosen: Vec<[i64; 3]> =
        (0..images * classes).into_par_iter().map(each).collect::<Vec<_>>().into_iter().flatten().collect();
    Ok(vec![array(&[chosen.len(), 3], chosen.into_iter().flatten().collect())?])
}

/// Four elements of a plane with their weights.
type Point = [(usize, f64); 4];

/// The elements around `(y, x)` with the weights of linear interpolation; outside by more than one element none count.
fn around(y: f64, x: f64, [h, w]: [usize; 2]) -> Point {
    if !(y >= -1.0 && x >= -1.0 && y <= h as f64 && x <= w as f64) || h == 0 || w == 0 {
        return [(0, 0.0); 4];
    }
    let axis = |v: f64, size: usize| {
        let v = v.max(0.0);
        let low = (v as usize).min(size - 1);
        let high = (low + 1).min(size - 1);
        let part = if low + 1 >= size { 0.0 } else { v - low as f64 };
        (low, high, part)
    };
    let ((top, bottom, dy), (left, right, dx)) = (axis(y, h), axis(x, w));
    [
        (top * w + left, (1.0 - dy) * (1.0 - dx)),
        (top * w + right, (1.0 - dy) * dx),
        (bottom * w + left, dy * (1.0 - dx)),
        (bottom * w + right, dy * dx),
    ]
}

/// Points that a cell of a region is sampled at, at most; a region for which more were needed is refused.
const SAMPLES: f64 = 65536.0;

/// Regions of images resampled to a grid of cells (arXiv:1703.06870), each the mean or the largest of some points. A
/// region `[x1, y1, x2, y2]` is scaled by `spatial_scale` and, from version 16 on unless asked otherwise, moved by half a pixel.
/// The largest is that of the elements times their weights, as ONNX defines it.
fn align(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, rois) = (c.array(0)?, c.array(1)?);
    let images = to_i64(c.array(2)?)?;
    let (&[n, channels, h, w], &[regions, 4]) = (x.shape(), rois.shape()) else {
        return refuse(format!("images of rank 4 and regions of 4 numbers wanted, found {x:?} and {rois:?}"));
    };
    if images.len() != regions {
        return refuse(format!("{} images are given for {regions} regions", images.len()));
    }
    let oh = c.op.size("output_height")?.unwrap_or(1);
    let ow = c.op.size("output_width")?.unwrap_or(1);
    let fixed = c.op.size("sampling_ratio")?.unwrap_or(0);
    let scale = f64::from(c.op.float("spatial_scale")?.unwrap_or(1.0));
    let largest = match c.op.text("mode")?.unwrap_or("avg") {
        "avg" => false,
        "max" => true,
        other => return refuse(format!("mode `{other}` is not supported")),
    };
    let default = if c.op.version < 16 { "output_half_pixel" } else { "half_pixel" };
    let half = match c.op.text("coordinate_transformation_mode")?.unwrap_or(default) {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return refuse(format!("coordinate_transformation_mode `{other}` is not supported")),
    };
    let shift = if half { 0.5 } else { 0.0 };
    let (xs, rois) = (to_f64(x), to_f64(rois));
    let mut y = vec![0.0; count(&[regions, channels, oh, ow])?];
    let (plane, cells) = (h * w, oh * ow);
    if y.is_empty() {
        return Ok(vec![from_f64(x.dtype(), &[regions, channels, oh, ow], &y)?]);
    }
    y.par_chunks_mut(channels * cells).zip(rois.par_chunks(4)).zip(&images).try_for_each(
        |((y, roi), &image)| {
            let image = match usize::try_from(image) {
                Ok(i) if i < n => i,
                _ => return refuse(format!("a region is of image {image}, but there are {n}")),
            };
            let &[x1, y1, x2, y2] = roi else { return Ok(()) };
            let (left, top) = (x1 * scale - shift, y1 * scale - shift);
            let (mut wide, mut high) = (x2 * scale - shift - left, y2 * scale - shift - top);
            if !half {
                (wide, high) = (wide.max(1.0), high.max(1.0));
            }
            let (cell_h, cell_w) = (high / oh as f64, wide / ow as f64);
            let samples = |cell: f64| if fixed > 0 { fixed as f64 } else { cell.ceil().max(0.0) };
            let (rows, columns) = (samples(cell_h), samples(cell_w));
            if (rows * columns).is_nan() || rows * columns > SAMPLES {
                return refuse(format!("region {roi:?} needs too many samples"));
            }
            let (rows, columns) = (rows as usize, columns as usize);
            let total = (rows * columns).max(1) as f64;
            for cell in 0..cells {
                let (i, j) = ((cell / ow) as f64, (cell % ow) as f64);
                let mut points: Vec<Point> = Vec::with_capacity(rows * columns);
                for a in 0..rows {
                    let py = top + i * cell_h + (a as f64 + 0.5) * cell_h / rows as f64;
                    for b in 0..columns {
                        let px = left + j * cell_w + (b as f64 + 0.5) * cell_w / columns as f64;
                        points.push(around(py, px, [h, w]));
                    }
                }
                for (channel, y) in y.iter_mut().skip(cell).step_by(cells).enumerate() {
                    let first = (image * channels + channel) * plane;
                    let plane = xs.get(first..first + plane).unwrap_or_default();
                    let value = |&(o, weight): &(usize, f64)| plane.get(o).map_or(0.0, |v| v * weight);
                    *y = if largest {
                        points.iter().flatten().map(value).reduce(f64::max).unwrap_or(0.0)
                    } else {
                        points.iter().flatten().map(value).sum::<f64>() / total
                    };
                }
            }
            Ok(())
        },
    )?;
    Ok(vec![from_f64(x.dtype(), &[regions, channels, oh, ow], &y)?])
}

/// The largest element of each cell of a region `[image, x1, y1, x2, y2]` (arXiv:1504.08083); 0 for an empty cell.
fn max_pool(c: &Operands<'_>) -> Result<Vec<Array>> {
    let (x, rois) = (c.array(0)?, c.array(1)?);
    let (&[n, channels, h, w], &[regions, 5]) = (x.shape(), rois.shape()) else {
        return refuse(format!("images of rank 4 and regions of 5 numbers wanted, found {x:?} and {rois:?}"));
    };
    let sizes = c.op.ints("pooled_shape")?.unwrap_or_default();
    let pooled: Vec<usize> = sizes.iter().filter_map(|&n| usize::try_from(n).ok()).collect();
    let &[oh, ow] = pooled.as_slice() else {
        return refuse("attribute `pooled_shape` must be two sizes");
    };
    let scale = f64::from(c.op.float("spatial_scale")?.unwrap_or(1.0));
    let (xs, rois) = (to_f64(x), to_f64(rois));
    let mut y = vec![0.0; count(&[regions, channels, oh, ow])?];
    if !y.is_empty() {
        y.par_chunks_mut(channels * oh * ow).zip(rois.par_chunks(5)).try_for_each(|(y, roi)| {
            let &[image, x1, y1, x2, y2] = roi else { return Ok(()) };
            if !(image >= 0.0 && image < n as f64) {
                return refuse(format!("a region is of image {image}, but there are {n}"));
            }
            let [left, top, right, bottom] = [x1, y1, x2, y2].map(|v| (v * scale).round());
            let cell = [(bottom - top + 1.0).max(1.0) / oh as f64, (right - left + 1.0).max(1.0) / ow as f64];
            let range = |start: f64, cell: f64, at: usize, size: usize| {
                let inside = |v: f64| v.clamp(0.0, size as f64) as usize;
                inside((at as f64 * cell).floor() + start)..inside(((at + 1) as f64 * cell).ceil() + start)
            };
            for (o, y) in y.iter_mut().enumerate() {
                let (channel, i, j) = (o / (oh * ow), o / ow % oh, o % ow);
                let first = (image as usize * channels + channel) * h * w;
                let mut best: Option<f64> = None;
                for row in range(top, cell[0], i, h) {
                    for column in range(left, cell[1], j, w) {
                        let v = xs.get(first + row * w + column).copied().unwrap_or(0.0);
                        best = Some(best.map_or(v, |b| b.max(v)));
                    }
                }
                *y = best.unwrap_or(0.0);
            }
            Ok(())
        })?;
    }
    let dtype: DType = x.dtype();
    Ok(vec![from_f64(dtype, &[regions, channels, oh, ow], &y)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use occam_graph::onnx::{Attribute, Onnx};

    fn f32s(shape: &[usize], v: &[f32]) -> Array {
        Array::from_f32(shape, v.to_vec()).unwrap()
    }

    #[test]
    fn overlapping_boxes_are_dropped() {
        let boxes = f32s(&[1, 3, 4], &[0.0, 0.0, 1.0, 1.0, 0.1, 0.0, 1.1, 1.0, 5.0, 5.0, 6.0, 6.0]);
        let scores = f32s(&[1, 1, 3], &[0.8, 0.9, 0.1]);
        let most = Array::from_i64([1], vec![10]).unwrap();
        let op = Onnx::new("NonMaxSuppression", 11, 4);
        let y = evaluate(&op, &[boxes.clone(), scores.clone(), most.clone(), f32s(&[1], &[0.5])]).unwrap();
        assert_eq!(y[0].as_i64().unwrap(), [0, 0, 1, 0, 0, 2]);
        let op = Onnx::new("NonMaxSuppression", 11, 5);
        let y = evaluate(&op, &[boxes, scores, most, f32s(&[1], &[0.5]), f32s(&[1], &[0.2])]).unwrap();
        assert_eq!(y[0].as_i64().unwrap(), [0, 0, 1]);
    }

    #[test]
    fn regions_are_resampled() {
        let x = f32s(&[1, 1, 2, 2], &[0.0, 1.0, 2.0, 3.0]);
        let image = |i| Array::from_i64([1], vec![i]).unwrap();
        let roi = f32s(&[1, 4], &[0.0, 0.0, 2.0, 2.0]);
        let op = Onnx::new("RoiAlign", 16, 3);
        let y = evaluate(&op, &[x.clone(), roi.clone(), image(0)]).unwrap();
        assert_eq!(y[0], f32s(&[1, 1, 1, 1], &[1.5]));
        assert!(evaluate(&op, &[x.clone(), roi, image(1)]).is_err());
        let huge = f32s(&[1, 4], &[0.0, 0.0, 1e30, 1e30]);
        assert!(evaluate(&op, &[x.clone(), huge, image(0)]).is_err());
        let op = Onnx::new("MaxRoiPool", 1, 2).with("pooled_shape", Attribute::Ints(vec![1, 2]));
        let y = evaluate(&op, &[x, f32s(&[1, 5], &[0.0, 0.0, 0.0, 1.0, 1.0])]).unwrap();
        assert_eq!(y[0], f32s(&[1, 1, 1, 2], &[2.0, 3.0]));
    }
}
