//! From descriptions of tensors to arrays.

use indexmap::IndexMap;
use occam_graph::Array;

use super::Fault;
use super::value::{Element, View};

/// The bytes of a file's storages.
pub(super) struct Storages<'a> {
    pub bytes: IndexMap<String, &'a [u8]>,
    pub big_endian: bool,
}

impl Storages<'_> {
    /// The elements of a tensor, row by row. `budget` is the number of bytes that tensors may still take.
    pub fn array(&self, name: &str, view: &View, budget: &mut u64) -> Result<Array, Fault> {
        let wrong = |message: String| Fault::Malformed(format!("tensor `{name}`: {message}"));
        let dtype = match &view.dtype {
            Element::Known(dtype) => *dtype,
            Element::Other(other) => {
                return Err(Fault::Type { name: name.into(), dtype: other.clone() });
            }
        };
        let shape: Vec<usize> = view
            .shape
            .iter()
            .map(|&d| usize::try_from(d))
            .collect::<Result<_, _>>()
            .map_err(|_| wrong(format!("shape {:?} is too large", view.shape)))?;
        let size = dtype.size() as u64;
        let count = view.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
        let Some(total) = count.and_then(|n| n.checked_mul(size)) else {
            return Err(wrong(format!("shape {:?} has too many elements", view.shape)));
        };
        *budget = budget.checked_sub(total).ok_or_else(|| {
            wrong("with it, the tensors take far more memory than the file holds; it repeats elements".into())
        })?;
        if total == 0 {
            return Array::from_le_bytes(dtype, shape, &[]).map_err(|e| wrong(e.to_string()));
        }
        let key = &*view.storage.key;
        let storage =
            self.bytes.get(key).ok_or_else(|| wrong(format!("its storage `{key}` is not there")))?;
        let first = view.offset.checked_add(view.storage.offset);
        // The last element that is looked at; sizes are above 0 here.
        let last = view
            .shape
            .iter()
            .zip(&view.strides)
            .fold(first, |last, (&d, &s)| last?.checked_add((d - 1).checked_mul(s)?));
        let end = last.and_then(|n| n.checked_add(1)).and_then(|n| n.checked_mul(size));
        let (Some(first), Some(end)) = (first, end.filter(|&end| end <= storage.len() as u64)) else {
            return Err(wrong(format!(
                "shape {:?} with strides {:?} from {} on goes past its storage of {} bytes",
                view.shape,
                view.strides,
                view.offset,
                storage.len()
            )));
        };
        let (start, end) = ((first * size) as usize, end as usize);
        let seen = storage.get(start..end).unwrap_or_default();
        let mut bytes = if is_dense(view) {
            std::borrow::Cow::Borrowed(seen)
        } else {
            gather(seen, view, size as usize).into()
        };
        if self.big_endian && size > 1 {
            bytes.to_mut().chunks_exact_mut(size as usize).for_each(<[u8]>::reverse);
        }
        Array::from_le_bytes(dtype, shape, &bytes).map_err(|e| wrong(e.to_string()))
    }
}

/// Whether elements lie row by row without gaps.
fn is_dense(view: &View) -> bool {
    let mut wanted = 1;
    view.shape.iter().zip(&view.strides).rev().all(|(&d, &s)| {
        let fits = d == 1 || s == wanted;
        wanted *= d;
        fits
    })
}

/// Copies elements by their strides. All places are known to be inside; those past the last wrap and are not read.
fn gather(storage: &[u8], view: &View, size: usize) -> Vec<u8> {
    let count: u64 = view.shape.iter().product();
    let mut out = Vec::with_capacity(count as usize * size);
    let mut index = vec![0u64; view.shape.len()];
    let mut place = 0u64;
    for _ in 0..count {
        let at = place as usize * size;
        out.extend_from_slice(storage.get(at..at + size).unwrap_or_default());
        for ((i, &d), &s) in index.iter_mut().zip(&view.shape).zip(&view.strides).rev() {
            *i += 1;
            place = place.wrapping_add(s);
            if *i < d {
                break;
            }
            place = place.wrapping_sub(s.wrapping_mul(d));
            *i = 0;
        }
    }
    out
}
