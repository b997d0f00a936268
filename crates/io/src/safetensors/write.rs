//! Writing.

use std::cmp::Reverse;
use std::io::{self, Write};
use std::path::Path;

use indexmap::IndexMap;
use occam_graph::{Array, Weights};
use safetensors::tensor::TensorInfo;

use super::header::{Header, METADATA};
use super::{KNOWN, to_file};
use crate::bytes::le_bytes;
use crate::{Error, Result, atomic_write};

/// Writes `weights` and `metadata` to `path`, as [`atomic_write`] does.
///
/// # Errors
/// The file cannot be written, or a weight has the name `__metadata__` or a type of 4 bits, which the format does not have.
pub fn save(path: impl AsRef<Path>, weights: &Weights, metadata: &IndexMap<String, String>) -> Result<()> {
    if weights.contains_key(METADATA) {
        return Err(Error::Name {
            name: METADATA.into(),
            message: "safetensors files keep it for the metadata; rename the tensor".into(),
        });
    }
    if let Some((name, array)) = weights.iter().find(|(_, a)| to_file(a.dtype()).is_none()) {
        return Err(Error::UnsupportedType {
            path: path.as_ref().into(),
            name: name.clone(),
            dtype: array.dtype().to_string(),
            known: KNOWN,
        });
    }
    let mut arrays: Vec<(&String, &Array)> = weights.iter().collect();
    arrays.sort_by_key(|(_, a)| Reverse(a.dtype().size()));
    let header = header(weights, &arrays, metadata);
    atomic_write(path, |file| {
        let mut json = serde_json::to_vec(&header)?;
        // The elements begin at a multiple of 8, the largest alignment.
        json.resize(json.len().next_multiple_of(8), b' ');
        let length = u64::try_from(json.len()).map_err(io::Error::other)?;
        file.write_all(&length.to_le_bytes())?;
        file.write_all(&json)?;
        arrays.iter().try_for_each(|(_, array)| file.write_all(&le_bytes(array)))
    })
}

/// Entries in the order of `weights`, places in the order of `arrays`.
fn header(weights: &Weights, arrays: &[(&String, &Array)], metadata: &IndexMap<String, String>) -> Header {
    let mut header = Header { metadata: metadata.clone(), tensors: IndexMap::with_capacity(weights.len()) };
    for (name, array) in weights {
        let Some(dtype) = to_file(array.dtype()) else { continue };
        let info = TensorInfo { dtype, shape: array.shape().to_vec(), data_offsets: (0, 0) };
        header.tensors.insert(name.clone(), info);
    }
    let mut offset = 0;
    for (name, array) in arrays {
        let end = offset + le_bytes(array).len();
        if let Some(info) = header.tensors.get_mut(*name) {
            info.data_offsets = (offset, end);
        }
        offset = end;
    }
    header
}
