//! Products of matrices.

use gemm::{Parallelism, gemm};

/// A row-major matrix, or its transpose.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
}

impl<'a, T> View<'a, T> {
    /// `rows x columns` elements whose rows begin `stride` apart; none where they do not fit the slice.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Option<Self> {
        let fits = rows == 0 || columns == 0 || (rows - 1) * stride + columns <= data.len();
        fits.then_some(Self { data, rows, columns, row: stride, column: 1 })
    }

    /// The transpose.
    pub(crate) fn t(self) -> Self {
        Self { rows: self.columns, columns: self.rows, row: self.column, column: self.row, ..self }
    }
}

macro_rules! product {
    ($name:ident, $t:ty) => {
        /// `out = beta · out + alpha · a · b`, where `out` is row-major with rows `stride` apart. Does nothing where sizes do not
        /// fit.
        pub(crate) fn $name(
            a: View<'_, $t>,
            b: View<'_, $t>,
            out: &mut [$t],
            stride: usize,
            [beta, alpha]: [$t; 2],
        ) {
            let (m, k, n) = (a.rows, a.columns, b.columns);
            if m == 0 || n == 0 || b.rows != k || stride < n || (m - 1) * stride + n > out.len() {
                return;
            }
            let work = m * n * k;
            let parallelism = if work > 1 << 18 { Parallelism::Rayon(0) } else { Parallelism::None };
            let step = |n: usize| n as isize;
            // SAFETY: `View::new` and the line above checked that all elements lie in their slices.
            unsafe {
                gemm(
                    m,
                    n,
                    k,
                    out.as_mut_ptr(),
                    1,
                    step(stride),
                    beta != 0.0,
                    a.data.as_ptr(),
                    step(a.column),
                    step(a.row),
                    b.data.as_ptr(),
                    step(b.column),
                    step(b.row),
                    beta,
                    alpha,
                    false,
                    false,
                    false,
                    parallelism,
                );
            }
        }
    };
}

product!(product_f32, f32);
product!(product_f64, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_parts_and_transposes() {
        let a: Vec<f64> = (0..12).map(f64::from).collect();
        // Two rows of three, four apart, by the transpose of three rows of two.
        let left = View::new(&a, 2, 3, 4).unwrap();
        let right = View::new(&a, 2, 3, 4).unwrap().t();
        let mut out = vec![1.0; 6];
        product_f64(left, right, &mut out, 3, [2.0, 1.0]);
        assert_eq!(out, [7.0, 19.0, 1.0, 19.0, 79.0, 1.0]);
        assert!(View::new(&a, 4, 4, 4).is_none());
    }
}
