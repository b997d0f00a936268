//! Weights of neighbours, as OpenCV computes them.

/// Weights of two neighbours at the fraction `x`.
pub(crate) fn linear(x: f32) -> [f32; 2] {
    [1.0 - x, x]
}

/// Weights of four neighbours at the fraction `x` past the second: a cubic convolution with `a = -0.75`.
pub(crate) fn cubic(x: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let before = ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
    let first = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let second = ((A + 2.0) * (1.0 - x) - (A + 3.0)) * (1.0 - x) * (1.0 - x) + 1.0;
    [before, first, second, 1.0 - before - first - second]
}

/// Weights of eight neighbours at the fraction `x` past the fourth: a sinc with a window of four lobes, normalized.
pub(crate) fn lanczos(x: f32) -> [f32; 8] {
    use std::f64::consts::{FRAC_1_SQRT_2, PI};
    const S: f64 = FRAC_1_SQRT_2;
    // Sine and cosine of the angles between one neighbour and the first.
    const TURNS: [[f64; 2]; 8] =
        [[1.0, 0.0], [-S, -S], [0.0, 1.0], [S, -S], [-1.0, 0.0], [S, S], [0.0, -1.0], [-S, S]];
    let first = -f64::from(x + 3.0) * PI * 0.25;
    let (sine, cosine) = first.sin_cos();
    let mut weights = [0.0; 8];
    let mut sum = 0.0;
    for (i, (weight, [along, across])) in weights.iter_mut().zip(TURNS).enumerate() {
        let distance = x + 3.0 - i as f32;
        // At the neighbour itself the quotient has no value; a weight this large leaves it alone after normalizing.
        *weight = if distance.abs() >= 1e-6 {
            let angle = -f64::from(distance) * PI * 0.25;
            ((along * sine + across * cosine) / (angle * angle)) as f32
        } else {
            1e30
        };
        sum += *weight;
    }
    let scale = 1.0 / sum;
    weights.map(|weight| weight * scale)
}
