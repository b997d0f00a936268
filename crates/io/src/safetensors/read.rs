//! Reading.

use std::fs::File;
use std::path::Path;

use indexmap::IndexMap;
use memmap2::Mmap;
use occam_graph::{Array, Weights};
use safetensors::tensor::TensorInfo;

use super::header::Header;
use super::{KNOWN, from_file};
use crate::{Error, Result};

/// Reads the weights and the metadata of `path`, both in the order of the file's header.
///
/// # Errors
/// The file cannot be read, is cut off, is no safetensors file, or has a tensor of a type that arrays do not have.
pub fn load(path: impl AsRef<Path>) -> Result<(Weights, IndexMap<String, String>)> {
    let path = path.as_ref();
    let file = File::open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    if length == 0 {
        return Err(malformed(path, "it is empty".into()));
    }
    // SAFETY: a map is undefined where another process changes the file meanwhile. Files under their final names are
    // replaced and not changed by this crate and by the other writers of the format, and all elements are copied out
    // before the map ends.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?;
    parse(path, &map)
}

/// [`load`] of bytes in memory.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(bytes: &[u8]) -> Result<(Weights, IndexMap<String, String>)> {
    parse(Path::new("weights.safetensors"), bytes)
}

fn malformed(path: &Path, message: String) -> Error {
    Error::Malformed { format: "safetensors", path: path.into(), message }
}

/// `path` is for errors alone.
fn parse(path: &Path, file: &[u8]) -> Result<(Weights, IndexMap<String, String>)> {
    let malformed = |message: String| malformed(path, message);
    let (length, rest) = file
        .split_first_chunk::<8>()
        .ok_or_else(|| malformed(format!("it has {} bytes, fewer than the shortest header", file.len())))?;
    let length = u64::from_le_bytes(*length);
    let (json, elements) =
        usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n)).ok_or_else(|| {
            malformed(format!("its header should have {length} bytes, but only {} follow", rest.len()))
        })?;
    let header: Header =
        serde_json::from_slice(json).map_err(|e| malformed(format!("its header cannot be read: {e}")))?;
    check_places(&header.tensors, elements.len()).map_err(malformed)?;

    let mut weights = Weights::with_capacity(header.tensors.len());
    for (name, info) in header.tensors {
        let dtype = from_file(info.dtype).ok_or_else(|| Error::UnsupportedType {
            path: path.into(),
            name: name.clone(),
            dtype: info.dtype.to_string(),
            known: KNOWN,
        })?;
        let (start, end) = info.data_offsets;
        let array = elements
            .get(start..end)
            .ok_or_else(|| "its elements are not there".to_owned())
            .and_then(|bytes| Array::from_le_bytes(dtype, info.shape, bytes).map_err(|e| e.to_string()))
            .map_err(|e| malformed(format!("tensor `{name}`: {e}")))?;
        weights.insert(name, array);
    }
    Ok((weights, header.metadata))
}

/// Refuses tensors that overlap, leave a gap, or do not end where the file does.
fn check_places(tensors: &IndexMap<String, TensorInfo>, length: usize) -> Result<(), String> {
    let mut places: Vec<_> = tensors.iter().map(|(name, info)| (info.data_offsets, name)).collect();
    places.sort_unstable();
    let mut reached = 0;
    for ((start, end), name) in places {
        if start != reached || end < start {
            return Err(format!(
                "tensor `{name}` lies at bytes {start}..{end}, where it should begin at {reached}"
            ));
        }
        reached = end;
    }
    if reached != length {
        return Err(format!("its tensors take {reached} bytes, but {length} follow the header"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file of `header` and `elements`.
    fn file(header: &str, elements: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), elements].concat()
    }

    fn error(bytes: &[u8]) -> String {
        parse(Path::new("w.safetensors"), bytes).unwrap_err().to_string()
    }

    #[test]
    fn misfits_are_named() {
        let one = |dtype: &str, shape: &str, start: u64, end: u64| {
            format!(r#"{{"a.b":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}}}"#)
        };
        let huge = u64::MAX - 7;
        let cases = [
            (vec![1, 2, 3], "it has 3 bytes"),
            (file("{}", &[])[..9].to_vec(), "should have 2 bytes, but only 1 follow"),
            (u64::MAX.to_le_bytes().to_vec(), "but only 0 follow"),
            (file("{", &[]), "header cannot be read"),
            (file("[]", &[]), "an object of tensors"),
            (file("\u{1}\u{2}", &[]), "header cannot be read"),
            (file(&one("F32", "[2]", 0, 8), &[0; 4]), "take 8 bytes, but 4 follow"),
            (file(&one("F32", "[2]", 0, 8), &[0; 9]), "take 8 bytes, but 9 follow"),
            (file(&one("F32", "[2]", 4, 8), &[0; 8]), "`a.b` lies at bytes 4..8"),
            (file(&one("F32", "[2]", 8, 0), &[0; 8]), "`a.b` lies at bytes 8..0"),
            (file(&one("F32", "[3]", 0, 8), &[0; 8]), "tensor `a.b`: array: shape [3] needs 3 elements"),
            (file(&one("F32", "[2]", 0, 7), &[0; 7]), "tensor `a.b`: array: 7 bytes"),
            (file(&one("U8", &format!("[{huge}]"), 0, huge), &[]), "but 0 follow"),
            (file(&one("U8", &format!("[{huge},{huge}]"), 0, 0), &[]), "too many elements"),
            (file(&one("F8_E8M0", "[2]", 0, 2), &[0; 2]), "elements of type F8_E8M0"),
            (file(&one("F32", "[-2]", 0, 8), &[0; 8]), "header cannot be read"),
            (file(r#"{"__metadata__":{"a":1}}"#, &[]), "header cannot be read"),
        ];
        for (bytes, wanted) in cases {
            let error = error(&bytes);
            assert!(error.contains("`w.safetensors`"), "{error}");
            assert!(error.contains(wanted), "{error}, not {wanted}");
        }
    }

    #[test]
    fn a_name_twice_is_refused() {
        let one = r#""a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#;
        assert!(error(&file(&format!("{{{one},{one}}}"), &[])).contains("`a` is there twice"));
    }

    #[test]
    fn every_truncation_is_refused() {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        let whole = file(header, &[1; 8]);
        assert!(parse(Path::new("a"), &whole).is_ok());
        for end in 0..whole.len() {
            assert!(parse(Path::new("a"), &whole[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(Path::new("a"), &bytes);
        }

        #[test]
        fn no_header_panics(header in r#"\{("[ab]":\{"dtype":"(F32|I64|U8|F4)","shape":\[[0-9]{1,20}\],"data_offsets":\[[0-9]{1,20},[0-9]{1,20}\]\},?){0,3}\}"#, n in 0usize..40) {
            let _ = parse(Path::new("a"), &file(&header, &vec![0; n]));
        }
    }
}
