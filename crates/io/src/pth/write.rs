//! Writing: an archive as `torch.save` makes it of an `OrderedDict`, which `torch.load(weights_only=True)` reads.

use std::path::Path;

use occam_graph::{Array, DType, Weights};

use super::zip::{Entry, write_archive};
use crate::bytes::le_bytes;
use crate::{Error, Result, atomic_write};

/// Writes `weights` to `path`, as [`atomic_write`] does. The same weights give the same bytes.
///
/// # Errors
/// The file cannot be written, or an array is of a type for which PyTorch has no storage: an unsigned one of more than 8
/// bits, or one of those below 8 bits and the floats of 8.
pub fn save(path: impl AsRef<Path>, weights: &Weights) -> Result<()> {
    let path = path.as_ref();
    if let Some((name, array)) = weights.iter().find(|(_, a)| storage_class(a.dtype()).is_none()) {
        return Err(Error::UnsupportedType {
            path: path.into(),
            name: name.clone(),
            dtype: array.dtype().to_string(),
            known: "floats, bool, u8 and signed integers",
        });
    }
    let program = pickle(weights);
    atomic_write(path, |file| {
        let mut entries = vec![
            Entry { name: "archive/data.pkl".into(), bytes: (&program).into() },
            Entry { name: "archive/byteorder".into(), bytes: b"little".into() },
        ];
        for (index, array) in weights.values().enumerate() {
            entries.push(Entry { name: format!("archive/data/{index}"), bytes: le_bytes(array) });
        }
        entries.push(Entry { name: "archive/version".into(), bytes: b"3\n".into() });
        write_archive(file, &entries)
    })
}

fn storage_class(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F32 => "FloatStorage",
        DType::F64 => "DoubleStorage",
        DType::F16 => "HalfStorage",
        DType::BF16 => "BFloat16Storage",
        DType::I8 => "CharStorage",
        DType::U8 => "ByteStorage",
        DType::I16 => "ShortStorage",
        DType::I32 => "IntStorage",
        DType::I64 => "LongStorage",
        DType::Bool => "BoolStorage",
        DType::U16 | DType::U32 | DType::U64 | DType::Narrow(_) => return None,
    })
}

/// The dict, in protocol 2, each storage under the index of its tensor.
fn pickle(weights: &Weights) -> Vec<u8> {
    let mut out = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
    for (index, (name, array)) in weights.iter().enumerate() {
        text(&mut out, name);
        tensor(&mut out, index, array);
    }
    out.extend(b"u.");
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

/// An integer of 8 bytes; PyTorch refuses counts in a float.
fn int(out: &mut Vec<u8>, n: usize) {
    match i32::try_from(n) {
        Ok(n) => {
            out.push(b'J');
            out.extend(n.to_le_bytes());
        }
        Err(_) => {
            out.extend([0x8a, 8]);
            out.extend((n as i64).to_le_bytes());
        }
    }
}

fn tuple(out: &mut Vec<u8>, items: &[usize]) {
    out.push(b'(');
    items.iter().for_each(|&n| int(out, n));
    out.push(b't');
}

fn tensor(out: &mut Vec<u8>, index: usize, array: &Array) {
    let mut strides = vec![1; array.shape().len()];
    for i in (1..strides.len()).rev() {
        if let (Some(&next), Some(&size)) = (strides.get(i), array.shape().get(i))
            && let Some(stride) = strides.get_mut(i - 1)
        {
            *stride = next * size.max(1);
        }
    }
    out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
    text(out, "storage");
    out.extend(format!("ctorch\n{}\n", storage_class(array.dtype()).unwrap_or_default()).as_bytes());
    text(out, &index.to_string());
    text(out, "cpu");
    int(out, array.len());
    out.extend(b"tQ");
    int(out, 0);
    tuple(out, array.shape());
    tuple(out, &strides);
    out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
}
