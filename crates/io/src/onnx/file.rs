//! Models to and from files.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use prost::Message;
use prost::bytes::Bytes;

use super::external::{self, ExternalData};
use super::proto::ModelProto;
use crate::{Error, Result, atomic_write};

/// Larger models are split by [`ExternalData::Auto`].
const SPLIT: u64 = 1_900_000_000;

/// The largest message that protobuf readers take.
const LIMIT: u64 = i32::MAX as u64;

/// Writes `model` to `path` as [`atomic_write`] does, with [`ExternalData::Auto`].
///
/// # Errors
/// The file cannot be written.
pub fn write_model(path: impl AsRef<Path>, model: &ModelProto) -> Result<()> {
    write_model_with(path, model, ExternalData::Auto)
}

/// Writes `model` to `path` as [`atomic_write`] does, the elements of large initializers where `external` says.
///
/// A file of elements is written before the model. If it replaces one, an older model of that name goes first: it
/// would read the new elements as its own.
///
/// # Errors
/// The files cannot be written, or the model is too large for one file.
pub fn write_model_with(path: impl AsRef<Path>, model: &ModelProto, external: ExternalData) -> Result<()> {
    let path = path.as_ref();
    let split = match external {
        ExternalData::Auto => model.encoded_len() as u64 > SPLIT,
        ExternalData::Always => true,
        ExternalData::Never => false,
    };
    if split { write_split(path, model) } else { write_whole(path, model) }
}

fn write_whole(path: &Path, model: &ModelProto) -> Result<()> {
    let bytes = model.encoded_len() as u64;
    if bytes > LIMIT {
        return Err(Error::TooLarge { bytes, limit: LIMIT });
    }
    atomic_write(path, |file| file.write_all(&model.encode_to_vec()))
}

fn write_split(path: &Path, model: &ModelProto) -> Result<()> {
    let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(|| Error::Name {
        name: path.display().to_string(),
        message: "a model that refers to another file needs a UTF-8 name".into(),
    })?;
    let location = format!("{name}.data");
    let data_path = path.with_file_name(&location);
    if data_path.exists() {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io("replace", path)(e)),
            _ => {}
        }
    }
    write_whole(path, &external::move_out(model, &data_path, &location)?)
}

/// Reads a model, with the elements that lie in other files beside it.
///
/// # Errors
/// A file cannot be read, is cut off, or is not ONNX.
pub fn read_model(path: impl AsRef<Path>) -> Result<ModelProto> {
    let path = path.as_ref();
    let mut model = decode(path, map(path)?)?;
    external::move_in(&mut model, path)?;
    Ok(model)
}

/// The bytes of a file, mapped.
pub(super) fn map(path: &Path) -> Result<Bytes> {
    // Opening a pipe would wait for somebody to write into it, and a folder cannot be mapped.
    if path.metadata().is_ok_and(|m| !m.is_file()) {
        let reason = io::Error::other("it is no regular file");
        return Err(Error::io("read", path)(reason));
    }
    let file = fs::File::open(path).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    if length == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: a map is undefined where another process changes the file meanwhile. Files under their final names are
    // replaced and not changed by this crate and by what exports models.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io("map", path))?;
    Ok(Bytes::from_owner(map))
}

/// `path` is for errors alone.
pub(super) fn decode(path: &Path, bytes: Bytes) -> Result<ModelProto> {
    let malformed = |message: String| Error::Malformed { format: "ONNX", path: path.into(), message };
    let model = ModelProto::decode(bytes).map_err(|e| malformed(e.to_string()))?;
    // Decoding alone accepts most short files: fields that it does not know are skipped.
    if model.graph.is_none() {
        return Err(malformed("it has no graph".into()));
    }
    Ok(model)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A model as the reference implementation writes it, with a value in every field of the schema.
    const EVERY_FIELD: &[u8] = include_bytes!("../../tests/data/every_field.onnx");

    #[test]
    fn no_field_is_lost() {
        let model = decode(Path::new("m"), EVERY_FIELD.into()).unwrap();
        assert_eq!(model.encoded_len(), EVERY_FIELD.len());
        let again = decode(Path::new("m"), model.encode_to_vec().into()).unwrap();
        assert_eq!(again, model);
    }

    #[test]
    fn no_truncation_panics() {
        for end in 0..EVERY_FIELD.len() {
            let _ = decode(Path::new("m"), Bytes::copy_from_slice(&EVERY_FIELD[..end]));
        }
    }

    /// Graphs in attributes of nodes of graphs, deeper than any stack.
    #[test]
    fn deep_nesting_is_refused() {
        let field = |tag: u8, inner: Vec<u8>| {
            let mut out = vec![tag << 3 | 2];
            prost::encode_length_delimiter(inner.len(), &mut out).unwrap();
            out.extend(inner);
            out
        };
        let mut graph = Vec::new();
        for _ in 0..1000 {
            graph = field(1, field(5, field(6, graph)));
        }
        assert!(decode(Path::new("m"), field(7, graph).into()).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(Path::new("m"), bytes.into());
        }

        #[test]
        fn no_change_panics(at in 0..EVERY_FIELD.len(), to in any::<u8>()) {
            let mut bytes = EVERY_FIELD.to_vec();
            bytes[at] = to;
            if let Ok(mut model) = decode(Path::new("m"), bytes.into()) {
                let _ = external::move_in(&mut model, Path::new("/no/such/folder/m"));
            }
        }
    }
}
