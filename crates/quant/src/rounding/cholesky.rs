//! Factors of symmetric positive definite matrices.

use rayon::prelude::*;

/// Lanes of a sum.
const LANES: usize = 8;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (x, rest_x) = a.as_chunks::<LANES>();
    let (y, rest_y) = b.as_chunks::<LANES>();
    let mut lanes = [0.0f64; LANES];
    for (x, y) in x.iter().zip(y) {
        for (lane, (x, y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f64>() + rest_x.iter().zip(rest_y).map(|(x, y)| x * y).sum::<f64>()
}

/// The upper triangular `U` with `Uᵀ · U = h⁻¹`, row-major, of a symmetric matrix of `n` rows: the Cholesky factor of its
/// inverse that GPTQ needs. None where it is not positive definite.
///
/// From the end on, `h = R · Rᵀ` with `R` upper triangular, whose inverse is `U`: no inverse of `h` is formed.
pub(crate) fn inverse_factor(mut h: Vec<f64>, n: usize) -> Option<Vec<f64>> {
    if n == 0 || h.len() != n * n {
        return None;
    }
    for j in (0..n).rev() {
        let (above, below) = h.split_at_mut(j * n);
        let row = below.get_mut(..n)?;
        let (front, tail) = row.split_at_mut(j + 1);
        let diagonal = front.last_mut()?;
        let square = *diagonal - dot(tail, tail);
        if square <= 0.0 || !square.is_finite() {
            return None;
        }
        let root = square.sqrt();
        *diagonal = root;
        let tail = &*tail;
        let each = |other: &mut [f64]| {
            let (front, own) = other.split_at_mut(j + 1);
            if let Some(x) = front.last_mut() {
                *x = (*x - dot(own, tail)) / root;
            }
        };
        // A thread is worth it where a column is long.
        if j * (n - j) > 1 << 15 {
            above.par_chunks_mut(n).with_min_len(16).for_each(each);
        } else {
            above.chunks_mut(n).for_each(each);
        }
    }
    let mut u = vec![0.0f64; n * n];
    for i in (0..n).rev() {
        let (above, below) = u.split_at_mut((i + 1) * n);
        let row = above.get_mut(i * n..)?;
        let r = h.get(i * n..(i + 1) * n)?;
        let own = *r.get(i)?;
        for (k, other) in (i + 1..n).zip(below.chunks(n)) {
            let factor = -*r.get(k)? / own;
            if factor != 0.0 {
                let (row, other) = (row.get_mut(k..)?, other.get(k..)?);
                row.iter_mut().zip(other).for_each(|(x, y)| *x += factor * y);
            }
        }
        *row.get_mut(i)? = 1.0 / own;
    }
    Some(u)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_that_of_the_inverse() {
        let n = 40;
        let x = occam_testing::unit("cholesky", n * 60);
        let mut h = vec![0.0; n * n];
        for row in x.chunks(n) {
            for i in 0..n {
                for j in 0..n {
                    h[i * n + j] += (row[i] - 0.5) * (row[j] - 0.5);
                }
            }
        }
        let u = inverse_factor(h.clone(), n).unwrap();
        // h · Uᵀ · U = 1
        for i in 0..n {
            for j in 0..n {
                assert!(j >= i || u[i * n + j] == 0.0);
                let inverse = |k: usize| (0..n).map(|m| u[m * n + k] * u[m * n + j]).sum::<f64>();
                let one: f64 = (0..n).map(|k| h[i * n + k] * inverse(k)).sum();
                assert!((one - f64::from(u8::from(i == j))).abs() < 1e-9, "{i} {j} {one}");
            }
        }
        assert!(inverse_factor(vec![1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
