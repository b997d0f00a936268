//! Filters that are sums of filters (Lin et al., Training Compact CNNs for Image Classification using Dynamic-coded Filter
//! Fusion, 2021, arXiv:2107.06916).

use rayon::prelude::*;

/// Temperatures are `1 / T` with `T` from this ..
const START: f64 = 1.0;
/// .. to this.
const END: f64 = 10_000.0;

/// The temperature at `now` of a training that ends at `end`, in epochs or iterations:
/// `t = 1 / T`, `T = A / (1 + e^−now) + 1 − A / 2`, `A = 2 (10000 − 1) (1 + e^−end) / (1 − e^−end)`.
pub(super) fn temperature(now: f64, end: f64) -> f64 {
    let a = 2.0 * (END - START) * (1.0 + (-end).exp()) / (1.0 - (-end).exp());
    1.0 / (a / (1.0 + (-now).exp()) + START - a / 2.0)
}

/// How alike the filters of a layer are: `P = softmax(−D / t)` by rows, where `D_ij = ‖w_i − w_j‖₂`.
///
/// `filters` holds `count` filters one after the other; the result is `[count, count]` in row-major order.
pub(super) fn similarity(filters: &[f32], count: usize, temperature: f64) -> Vec<f32> {
    let rows: Vec<&[f32]> = filters.chunks_exact((filters.len() / count.max(1)).max(1)).collect();
    let row = |own: &&[f32]| -> Vec<f32> {
        // The largest is that of a filter with itself: e^0.
        let weights: Vec<f64> =
            rows.iter().map(|other| (-distance(own, other) / temperature).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|w| (w / sum) as f32).collect()
    };
    rows.par_iter().flat_map_iter(row).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
    square.sqrt()
}

/// Which `width` of the `count` filters are kept, in order: those whose similarities differ most from the others',
/// `s_i = mean_c P_ic · (log(P_ic + 1e-7) − mean_k log(P_ck + 1e-7))`; among equals the first.
pub(super) fn kept(similarity: &[f32], count: usize, width: usize) -> Vec<usize> {
    let log = |p: f32| (f64::from(p) + 1e-7).ln();
    let rows: Vec<&[f32]> = similarity.chunks_exact(count.max(1)).collect();
    let means: Vec<f64> =
        rows.iter().map(|row| row.iter().map(|&p| log(p)).sum::<f64>() / count.max(1) as f64).collect();
    let score = |row: &&[f32]| -> f64 {
        row.iter().zip(&means).map(|(&p, mean)| f64::from(p) * (log(p) - mean)).sum()
    };
    let scores: Vec<f64> = rows.iter().map(score).collect();
    let of = |i: usize| scores.get(i).copied().unwrap_or(f64::NEG_INFINITY);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| of(b).total_cmp(&of(a)).then(a.cmp(&b)));
    order.truncate(width);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_testing::{Golden, assert_close, parameter};

    fn numbers(value: &serde_json::Value) -> Vec<usize> {
        value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
    }

    /// Numbers from the original's `FuseConv2d`: `tools/golden/dcff.py`.
    #[test]
    fn similarities_and_kept_filters_are_the_original_s() {
        let golden = Golden::load("dcff");
        for case in golden.json("cases").as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let shape = numbers(&case["shape"]);
            let weight = parameter(&format!("{name}.weight"), &shape);
            let found = similarity(weight.as_f32().unwrap(), shape[0], case["tau"].as_f64().unwrap());
            let found64: Vec<f64> = found.iter().map(|&p| f64::from(p)).collect();
            assert_close(name, &found64, &golden.values(&format!("{name}.similarity")), 1e-6);
            let rows = numbers(&case["rows"]);
            assert_eq!(kept(&found, shape[0], rows.len()), rows, "{name}");
        }
    }

    #[test]
    fn temperatures_are_the_original_s() {
        for row in Golden::load("dcff").json("temperatures").as_array().unwrap() {
            let of = |i: usize| row[i].as_f64().unwrap();
            assert_close("temperature", &[temperature(of(0), of(1))], &[of(2)], 1e-9);
        }
    }

    #[test]
    fn equal_filters_share_and_cold_ones_stay_themselves() {
        let filters = [1.0, 2.0, 1.0, 2.0, -4.0, 0.0];
        let p = similarity(&filters, 3, 1e-4);
        assert_eq!(p, [0.5, 0.5, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(kept(&p, 3, 2), [0, 2]);
    }
}
