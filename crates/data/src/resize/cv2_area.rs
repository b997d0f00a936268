//! OpenCV's resampling by areas.

use crate::Image;

/// Means over blocks of `[rows, columns]` pixels.
pub(super) fn blocks(image: &Image, [height, width]: [usize; 2], [rows, columns]: [usize; 2]) -> Vec<u8> {
    let channels = image.channels();
    let mut pixels = Vec::with_capacity(height * width * channels);
    let mut sums = vec![0u32; width * channels];
    let scale = 1.0 / (rows * columns) as f32;
    let halves = [rows, columns] == [2, 2];
    for top in (0..height).map(|y| y * rows) {
        sums.fill(0);
        for row in image.rows().skip(top).take(rows) {
            let blocks = row.chunks_exact(columns * channels);
            for (sums, block) in sums.chunks_exact_mut(channels).zip(blocks) {
                for pixel in block.chunks_exact(channels) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += u32::from(sample));
                }
            }
        }
        pixels.extend(sums.iter().map(|&sum| match halves {
            true => ((sum + 2) >> 2) as u8,
            false => (sum as f32 * scale).round_ties_even() as u8,
        }));
    }
    pixels
}

/// Means over the area that each new pixel covers, `scale` pixels down and across.
pub(super) fn shrink(image: &Image, [height, width]: [usize; 2], scale: [f64; 2]) -> Vec<u8> {
    let channels = image.channels();
    let rows = cells(image.height(), height, scale[0]);
    let columns = cells(image.width(), width, scale[1]);
    let mut pixels = Vec::with_capacity(height * width * channels);
    let mut sums = vec![0f32; width * channels];
    let mut along = vec![0f32; width * channels];
    for cell in &rows {
        sums.fill(0.0);
        for (at, &(y, share)) in cell.iter().enumerate() {
            along.fill(0.0);
            let row = image.row(y);
            for (sums, cell) in along.chunks_exact_mut(channels).zip(&columns) {
                for &(x, share) in cell {
                    let pixel = row.get(x * channels..(x + 1) * channels).unwrap_or_default();
                    sums.iter_mut().zip(pixel).for_each(|(sum, &sample)| *sum += f32::from(sample) * share);
                }
            }
            // The first row is not added to zero: that would not change it.
            for (sum, &along) in sums.iter_mut().zip(&along) {
                *sum = if at == 0 { share * along } else { *sum + share * along };
            }
        }
        pixels.extend(sums.iter().map(|sum| sum.round_ties_even() as u8));
    }
    pixels
}

/// For each of `to` new positions, the positions it covers and the share of each.
fn cells(len: usize, to: usize, scale: f64) -> Vec<Vec<(usize, f32)>> {
    (0..to)
        .map(|at| {
            let start = at as f64 * scale;
            let end = start + scale;
            let size = scale.min(len as f64 - start);
            let last = (end.floor() as usize).min(len - 1);
            let first = (start.ceil() as usize).min(last);
            let mut cell = Vec::with_capacity(last - first + 2);
            if first as f64 - start > 1e-3 {
                cell.push((first - 1, ((first as f64 - start) / size) as f32));
            }
            cell.extend((first..last).map(|at| (at, (1.0 / size) as f32)));
            if end - last as f64 > 1e-3 {
                cell.push((last, ((end - last as f64).min(1.0).min(size) / size) as f32));
            }
            cell
        })
        .collect()
}
