//! Sums of products by Einstein's convention.

use occam_graph::Array;
use occam_graph::onnx::einsum::Equation;

use super::{Eval, Operands};
use crate::Result;
use crate::error::refuse;
use crate::product::{Layout, Multiply, Sizes, Wide, multiply_all, narrow};
use crate::view::{count, strides, walk};

pub(super) const TABLE: &[Eval] = &[Eval::new("Einsum", run)];

/// Elements with a label for each axis.
struct Term<T> {
    labels: Vec<char>,
    shape: Vec<usize>,
    data: Vec<T>,
}

impl<T: Multiply> Term<T> {
    fn size(&self, label: char) -> Option<usize> {
        self.labels.iter().zip(&self.shape).find(|(l, _)| **l == label).map(|(_, &n)| n)
    }

    /// The term with these labels: those that stand twice are one, axes are reordered, and others are summed over.
    fn arrange(&self, labels: &[char]) -> Result<Self> {
        let own = strides(&self.shape);
        let mut all: Vec<char> = labels.to_vec();
        for &l in &self.labels {
            if !all.contains(&l) {
                all.push(l);
            }
        }
        let mut sizes = Vec::with_capacity(all.len());
        let mut steps = Vec::with_capacity(all.len());
        for &label in &all {
            let mut size = 1;
            let mut step = 0;
            for ((l, &n), &s) in self.labels.iter().zip(&self.shape).zip(&own) {
                if *l == label {
                    if size != 1 && n != 1 && n != size {
                        return refuse(format!("axis `{label}` has {size} and {n} elements"));
                    }
                    size = size.max(n);
                    step += if n == 1 { 0 } else { s };
                    if n == 0 {
                        size = 0;
                    }
                }
            }
            sizes.push(size);
            steps.push(step);
        }
        let shape: Vec<usize> = sizes.iter().take(labels.len()).copied().collect();
        let mut data = vec![T::default(); count(&shape)?];
        let mut to = strides(&shape);
        to.resize(all.len(), 0);
        walk(&sizes, [&to, &steps], |[i, j]| {
            if let (Some(y), Some(&x)) = (data.get_mut(i), self.data.get(j)) {
                *y = y.plus(x);
            }
        });
        Ok(Self { labels: labels.to_vec(), shape, data })
    }

    /// Repeats axes of one element, so that each label has the size that `sizes` gives it.
    fn stretch(self, sizes: impl Fn(char) -> usize) -> Result<Self> {
        let shape: Vec<usize> = self.labels.iter().map(|&l| sizes(l)).collect();
        if shape == self.shape {
            return Ok(self);
        }
        for ((label, &own), &n) in self.labels.iter().zip(&self.shape).zip(&shape) {
            if own != 1 && own != n {
                return refuse(format!("axis `{label}` has {own} and {n} elements"));
            }
        }
        let from = crate::view::broadcast_strides(&self.shape, &shape);
        let mut data = Vec::with_capacity(count(&shape)?);
        walk(&shape, [&from], |[i]| data.push(self.data.get(i).copied().unwrap_or_default()));
        Ok(Self { labels: self.labels, shape, data })
    }

    /// The product of two terms as one of matrices; labels that are not in `kept` are summed over.
    fn times(&self, other: &Self, kept: &[char]) -> Result<Self> {
        let unique = |labels: &[char], keep: &dyn Fn(char) -> bool| {
            let mut list: Vec<char> = Vec::new();
            for &l in labels {
                if keep(l) && !list.contains(&l) {
                    list.push(l);
                }
            }
            list
        };
        let (in_a, in_b) = (|l: char| self.labels.contains(&l), |l: char| other.labels.contains(&l));
        let in_kept = |l: char| kept.contains(&l);
        let batch = unique(&self.labels, &|l| in_b(l) && in_kept(l));
        let summed = unique(&self.labels, &|l| in_b(l) && !in_kept(l));
        let rows = unique(&self.labels, &|l| !in_b(l) && in_kept(l));
        let columns = unique(&other.labels, &|l| !in_a(l) && in_kept(l));
        let size = |l: char| match (self.size(l), other.size(l)) {
            (Some(1), Some(n)) | (Some(n), _) | (None, Some(n)) => n,
            (None, None) => 1,
        };
        let join = |parts: [&[char]; 3]| parts.concat();
        let a = self.arrange(&join([&batch, &rows, &summed]))?.stretch(size)?;
        let b = other.arrange(&join([&batch, &summed, &columns]))?.stretch(size)?;
        let product = |labels: &[char]| count(&labels.iter().map(|&l| size(l)).collect::<Vec<_>>());
        let sizes = Sizes { m: product(&rows)?, k: product(&summed)?, n: product(&columns)? };
        if a.data.len() != count(&[product(&batch)?, sizes.m, sizes.k])?
            || b.data.len() != count(&[product(&batch)?, sizes.k, sizes.n])?
        {
            return refuse("axes of one label differ in size");
        }
        let offsets: Vec<[usize; 2]> =
            (0..product(&batch)?).map(|i| [i * sizes.m * sizes.k, i * sizes.k * sizes.n]).collect();
        let (of_a, of_b) = (Layout::of(sizes.k, false), Layout::of(sizes.n, false));
        let data = multiply_all(sizes, (&a.data, of_a), (&b.data, of_b), &offsets)?;
        let labels = join([&batch, &rows, &columns]);
        let shape = labels.iter().map(|&l| size(l)).collect();
        Ok(Self { labels, shape, data })
    }
}

/// Multiplies the terms one after the other, and sums over what nothing reads any more.
fn contract<T: Multiply>(terms: Vec<Term<T>>, output: &[char]) -> Result<Term<T>> {
    let labels: Vec<Vec<char>> = terms.iter().map(|t| t.labels.clone()).collect();
    let mut product: Option<Term<T>> = None;
    for (i, term) in terms.into_iter().enumerate() {
        product = Some(match product {
            None => term,
            Some(before) => {
                let later = labels.iter().skip(i + 1).flatten().chain(output).copied().collect::<Vec<char>>();
                before.times(&term, &later)?
            }
        });
    }
    match product {
        Some(product) => product.arrange(output),
        None => refuse("takes at least one operand"),
    }
}

fn run(c: &Operands<'_>) -> Result<Vec<Array>> {
    let arrays: Vec<&Array> = (0..c.inputs.len()).map(|i| c.array(i)).collect::<Result<_>>()?;
    let equation = Equation::of(c.op, &arrays.iter().map(|a| a.shape().len()).collect::<Vec<_>>())?;
    let (mut f32s, mut f64s, mut ints) = (Vec::new(), Vec::new(), Vec::new());
    for (labels, a) in equation.inputs.iter().zip(&arrays) {
        let (labels, shape) = (labels.clone(), a.shape().to_vec());
        match Wide::of(a)? {
            Wide::F32(a) => f32s.push(Term { labels, shape, data: a.as_f32()?.to_vec() }),
            Wide::F64(a) => f64s.push(Term { labels, shape, data: crate::numbers::to_f64(&a) }),
            Wide::I64(data) => ints.push(Term { labels, shape, data }),
        }
    }
    let dtype = c.dtype(0)?;
    let n = arrays.len();
    fn finish<T: Multiply>(dtype: occam_graph::DType, term: Term<T>) -> Result<Vec<Array>> {
        Ok(vec![narrow(dtype, &term.shape, term.data)?])
    }
    match (f32s.len() == n, f64s.len() == n, ints.len() == n) {
        (true, ..) => finish(dtype, contract(f32s, &equation.output)?),
        (_, true, _) => finish(dtype, contract(f64s, &equation.output)?),
        (_, _, true) => finish(dtype, contract(ints, &equation.output)?),
        _ => refuse("operands must have the same type"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;
    use occam_graph::onnx::{Attribute, Onnx};

    fn einsum(equation: &str, operands: &[(&[usize], &[i64])]) -> Result<Array> {
        let op = Onnx::new("Einsum", 12, operands.len()).with("equation", Attribute::String(equation.into()));
        let arrays: Vec<Array> =
            operands.iter().map(|(s, v)| Array::from_i64(s.to_vec(), v.to_vec()).unwrap()).collect();
        Ok(evaluate(&op, &arrays)?[0].clone())
    }

    #[test]
    fn equations() {
        let a: (&[usize], &[i64]) = (&[2, 2], &[1, 2, 3, 4]);
        let v: (&[usize], &[i64]) = (&[2], &[1, 10]);
        let is = |equation: &str, operands: &[(&[usize], &[i64])], wanted: &[i64]| {
            assert_eq!(einsum(equation, operands).unwrap().as_i64().unwrap(), wanted, "{equation}");
        };
        is("ij->ji", &[a], &[1, 3, 2, 4]);
        is("ii", &[a], &[5]);
        is("ij,j", &[a, v], &[21, 43]);
        is("...j,j->...", &[a, v], &[21, 43]);
        is("ij,jk,k->i", &[a, a, v], &[107, 235]);
        is("i,j->ij", &[v, v], &[1, 10, 10, 100]);
        assert!(einsum("ij->k", &[a]).is_err());
        assert!(einsum("ijk", &[a]).is_err());
        assert!(einsum("i,i", &[v, (&[3], &[1, 2, 3])]).is_err());
    }
}
