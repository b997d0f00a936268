//! NumPy's format of one array.

use occam_graph::{Array, DType};

use crate::bytes::le_bytes;

/// How a file begins.
pub(super) const MAGIC: [u8; 6] = *b"\x93NUMPY";

/// Types that arrays and files both have, as NumPy writes them; complex numbers, texts and objects are not read.
const TYPES: &[(&str, DType)] = &[
    ("f4", DType::F32),
    ("f8", DType::F64),
    ("f2", DType::F16),
    ("i1", DType::I8),
    ("u1", DType::U8),
    ("i2", DType::I16),
    ("u2", DType::U16),
    ("i4", DType::I32),
    ("u4", DType::U32),
    ("i8", DType::I64),
    ("u8", DType::U64),
    ("b1", DType::Bool),
];

/// The array that a file holds.
pub(super) fn parse(bytes: &[u8]) -> Result<Array, String> {
    let rest = bytes.strip_prefix(&MAGIC[..]).ok_or("it is no `.npy` file")?;
    let (version, rest) = rest.split_first_chunk::<2>().ok_or("it is cut off")?;
    let (length, rest) = match version {
        [1, _] => rest.split_first_chunk().map(|(n, r)| (u32::from(u16::from_le_bytes(*n)), r)),
        [2 | 3, _] => rest.split_first_chunk().map(|(n, r)| (u32::from_le_bytes(*n), r)),
        [major, minor] => return Err(format!("version {major}.{minor} of the format is not supported")),
    }
    .ok_or("it is cut off")?;
    let (header, elements) =
        usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n)).ok_or("its header is cut off")?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text")?;
    let descr = field(header, "descr")?;
    let descr =
        descr.strip_prefix('\'').and_then(|d| d.split('\'').next()).ok_or("its type is not a name")?;
    let (order, name) = descr.split_at_checked(1).ok_or("its type is empty")?;
    let dtype = TYPES.iter().find(|(n, _)| *n == name).map(|(_, t)| *t);
    let dtype = dtype.ok_or_else(|| format!("elements of type `{descr}` are not supported"))?;
    let fortran = field(header, "fortran_order")?.starts_with("True");
    let shape = shape(field(header, "shape")?)?;
    let mut elements = std::borrow::Cow::from(elements);
    if order == ">" && dtype.size() > 1 {
        elements.to_mut().chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    if !fortran || shape.len() < 2 {
        return Array::from_le_bytes(dtype, shape, &elements).map_err(|e| e.to_string());
    }
    let reversed: Vec<usize> = shape.iter().rev().copied().collect();
    // Checks the sizes.
    Array::from_le_bytes(dtype, reversed, &elements).map_err(|e| e.to_string())?;
    Array::from_le_bytes(dtype, shape.clone(), &transposed(&elements, &shape, dtype.size()))
        .map_err(|e| e.to_string())
}

/// Elements that lie with the first axis innermost, row-major.
fn transposed(elements: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(elements.len());
    let mut index = vec![0usize; shape.len()];
    for _ in 0..elements.len() / size {
        let at = index.iter().zip(shape).rev().fold(0, |at, (i, d)| at * d + i) * size;
        out.extend_from_slice(elements.get(at..at + size).unwrap_or_default());
        for (i, d) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < *d {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// What follows `'name':` in the header, which is a Python dict; it is looked at, not evaluated.
fn field<'a>(header: &'a str, name: &str) -> Result<&'a str, String> {
    let missing = || format!("its header has no `{name}`");
    let at = header.find(&format!("'{name}'")).ok_or_else(missing)?;
    let rest = header.get(at + name.len() + 2..).ok_or_else(missing)?;
    Ok(rest.trim_start().strip_prefix(':').ok_or_else(missing)?.trim_start())
}

/// A tuple of sizes.
fn shape(text: &str) -> Result<Vec<usize>, String> {
    let inner = text.strip_prefix('(').and_then(|t| t.split_once(')')).ok_or("its shape is no tuple")?.0;
    let sizes = inner.split(',').map(str::trim).filter(|s| !s.is_empty());
    sizes.map(|s| s.parse().map_err(|_| format!("its shape has the size `{s}`"))).collect()
}

/// The file that holds `array`.
pub(super) fn bytes(array: &Array) -> Result<Vec<u8>, String> {
    let name = TYPES.iter().find(|(_, t)| *t == array.dtype()).map(|(n, _)| *n);
    let name = name.ok_or_else(|| format!("NumPy has no elements of type {}", array.dtype()))?;
    let order = if array.dtype().size() == 1 { '|' } else { '<' };
    let sizes: Vec<String> = array.shape().iter().map(usize::to_string).collect();
    let comma = if sizes.len() == 1 { "," } else { "" };
    let mut header = format!(
        "{{'descr': '{order}{name}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        sizes.join(", ")
    );
    // Elements begin at a multiple of 64.
    let padding = 63 - (MAGIC.len() + 4 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| "it has too many axes".to_owned())?;
    let mut out = MAGIC.to_vec();
    out.extend([1, 0]);
    out.extend(length.to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(le_bytes(array).iter());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, elements: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [&MAGIC[..], &[1, 0], &length, header.as_bytes(), elements].concat()
    }

    #[test]
    fn orders_of_bytes_and_axes() {
        let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n";
        let array = parse(&file(header, &[0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6])).unwrap();
        assert!(*array.data() == occam_graph::Data::I16(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(array.shape(), [2, 3]);
    }

    #[test]
    fn misfits_are_named() {
        for (header, n, wanted) in [
            ("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8, "type `<c8`"),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, "type `|O`"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 4, "needs 2 elements"),
            ("{'descr': '<f4', 'fortran_order': True, 'shape': (9, 9), }", 4, "needs 81 elements"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 4, "size `-1`"),
            ("{'descr': '<f4', 'fortran_order': False, }", 4, "no `shape`"),
        ] {
            let error = parse(&file(header, &vec![0; n])).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
