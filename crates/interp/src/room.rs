//! Whether there is memory for results, before it is taken: a file of some bytes can ask for more than any machine has, and
//! a process that asks for it is ended instead of refused.

use occam_graph::onnx::Onnx;
use occam_graph::ops::OpFamily;
use occam_graph::{Array, Content, DType, Fact, Known};

use crate::Result;
use crate::error::refuse;

/// The most elements that a value may have.
const MOST: usize = 1 << 31;

/// Of values with fewer elements it is not asked whether there is memory.
const SMALL: usize = 1 << 26;

/// More elements than an operand has that says how large a result is.
const FEW: usize = 64;

/// Number of elements of `shape`.
///
/// # Errors
/// A value of this type and shape has too many elements, or takes more memory than is free.
pub fn room(dtype: DType, shape: &[usize]) -> Result<usize> {
    let count = match shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) {
        Some(n) if n <= MOST => n,
        _ if shape.contains(&0) => 0,
        _ => {
            return refuse(format!("a result of shape {shape:?} is too large: {MOST} elements are the most"));
        }
    };
    let bytes = (count * dtype.size()) as u64;
    match free().filter(|&free| count > SMALL && bytes > free) {
        None => Ok(count),
        Some(free) => refuse(format!(
            "a result of shape {shape:?} takes {:.1} GiB, and {:.1} GiB of memory are free",
            bytes as f64 / f64::from(1 << 30),
            free as f64 / f64::from(1 << 30),
        )),
    }
}

/// Bytes of memory that the system can give; none where it does not say.
fn free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What is known of an operand that has these elements: the elements too where they may be sizes.
pub fn content(array: &Array) -> Option<Content> {
    (array.len() <= FEW).then(|| Content::Array(array.clone()))
}

/// Checks the results of an operator by [`room`], as far as their sizes follow from the operands: by fact and elements.
///
/// # Errors
/// There is no room for a result.
pub fn check_room(op: &Onnx, operands: &[(Fact, Option<Content>)]) -> Result<()> {
    let known: Vec<Known<'_>> =
        operands.iter().map(|(fact, content)| Known { fact, content: content.as_ref() }).collect();
    // What is wrong with operands, the operator says better itself.
    let Ok(inferred) = op.infer_known("", &known) else { return Ok(()) };
    for fact in inferred.iter().map(|i| &i.fact) {
        if let Some(shape) = fact.known_shape() {
            room(fact.dtype, &shape)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate;

    #[test]
    fn what_no_machine_holds_is_refused() {
        let x = Array::from_f32([2, 2], vec![0.0; 4]).unwrap();
        let ints = |v: &[i64]| Array::from_i64([v.len()], v.to_vec()).unwrap();
        let huge = 1 << 40;
        let error = |op: Onnx, by: Array| evaluate(&op, &[x.clone(), by]).unwrap_err().to_string();
        assert!(error(Onnx::new("Tile", 13, 2), ints(&[huge, 1])).contains("too large"));
        assert!(error(Onnx::new("Pad", 13, 2), ints(&[0, 0, 0, huge])).contains("too large"));
        assert!(error(Onnx::new("Expand", 13, 2), ints(&[huge, 2, 2])).contains("too large"));
        assert!(room(DType::F64, &[usize::MAX, 2]).is_err());
        assert_eq!(room(DType::F64, &[usize::MAX, 2, 0]).unwrap(), 0);
    }
}
