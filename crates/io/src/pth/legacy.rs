//! The layout before PyTorch 1.6: pickles one after the other, then the elements of every storage.

use indexmap::IndexMap;

use super::Fault;
use super::pickle::{self, Program};
use super::storage::Storages;
use super::value::{Node, Value};

/// The number 0x1950a86a20f9469cfc6c that such a file begins with, little-endian.
const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Whether a file that begins with these bytes has the layout.
pub(super) fn is_one(start: &[u8]) -> bool {
    // A protocol, then the number with its length.
    matches!(start, [0x80, _, 0x8a, 10, rest @ ..] if rest.starts_with(MAGIC))
}

/// The pickle of such a file, and its storages.
pub(super) fn read(file: &[u8]) -> Result<(Program, Storages<'_>), Fault> {
    let mut at = 0;
    let mut next = || -> Result<Program, Fault> {
        let (program, length) = pickle::run(file.get(at..).unwrap_or_default())?;
        at += length;
        Ok(program)
    };
    if !matches!(&next()?.result, Value::Long(bytes) if **bytes == *MAGIC) {
        return Err("it is a pickle, but none that `torch.save` writes".into());
    }
    if !matches!(next()?.result, Value::Int(1001)) {
        return Err("its protocol is not 1001".into());
    }
    let system = next()?;
    let big_endian = system.dict(&system.result).is_some_and(|items| {
        items
            .iter()
            .any(|item| matches!(item, (Value::Str(key), Value::Bool(false)) if &**key == "little_endian"))
    });
    let program = next()?;
    let keys = next()?;
    let Some(keys) = keys.list(&keys.result) else { return Err("it has no list of storages".into()) };

    let sizes: IndexMap<&str, u64> = program
        .nodes
        .iter()
        .filter_map(|node| match node {
            Node::Storage(storage) => {
                Some((&*storage.key, storage.dtype.as_ref().map_or(Some(1), |dtype| dtype.size())?))
            }
            _ => None,
        })
        .collect();
    let mut rest = file.get(at..).unwrap_or_default();
    let mut bytes = IndexMap::new();
    for key in keys {
        let Value::Str(key) = key else { return Err("the name of a storage is no str".into()) };
        let (count, elements) = rest
            .split_first_chunk::<8>()
            .ok_or_else(|| format!("storage `{key}` is not there; the file is cut off"))?;
        let count = u64::from_le_bytes(*count);
        let size = sizes.get(&**key).copied().ok_or_else(|| format!("storage `{key}` is of no tensor"))?;
        let (own, others) = count
            .checked_mul(size)
            .and_then(|n| elements.split_at_checked(usize::try_from(n).ok()?))
            .ok_or_else(|| {
                format!("storage `{key}` should have {count} elements, but {} bytes follow", elements.len())
            })?;
        bytes.insert(key.to_string(), own);
        rest = others;
    }
    Ok((program, Storages { bytes, big_endian }))
}
