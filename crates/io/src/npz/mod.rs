//! Arrays by name in NumPy's `.npz` files, and single ones in `.npy` files.
//!
//! A `.npz` is a zip archive with a `.npy` file for each array, stored (`np.savez`) or deflated (`np.savez_compressed`).

mod npy;

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};
use std::path::Path;

use occam_graph::Weights;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::{Error, Result, atomic_write};

/// The most bytes that an archive may unpack to, whatever its own size.
const MOST: u64 = 1 << 34;

/// The most bytes that an archive of `packed` bytes may unpack to: no numbers are packed as well as a bomb is.
fn most(packed: u64) -> u64 {
    packed.saturating_mul(200).clamp(64 << 20, MOST)
}

fn malformed(path: &Path, message: impl ToString) -> Error {
    Error::Malformed { format: "NumPy", path: path.into(), message: message.to_string() }
}

/// Reads all arrays of a `.npz` file in the archive's order; a `.npy` file has one, without a name.
///
/// # Errors
/// The file cannot be read, is neither of the two, or has an array of a type that arrays do not have.
pub fn load(path: impl AsRef<Path>) -> Result<Weights> {
    let path = path.as_ref();
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let mut magic = [0; 6];
    let read = file.read(&mut magic).map_err(Error::io("read", path))?;
    file.rewind().map_err(Error::io("read", path))?;
    if magic.get(..read) == Some(&npy::MAGIC[..]) {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        let array = npy::parse(&bytes).map_err(|m| malformed(path, m))?;
        return Ok(Weights::from([(String::new(), array)]));
    }
    if !magic.starts_with(b"PK") {
        return Err(malformed(path, "it begins neither like a .npz file nor like a .npy file"));
    }
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    unpack(path, file, length)
}

/// [`load`] of bytes in memory.
///
/// # Errors
/// As [`load`].
pub fn load_bytes(bytes: &[u8]) -> Result<Weights> {
    unpack(Path::new("arrays.npz"), Cursor::new(bytes), bytes.len() as u64)
}

fn unpack(path: &Path, file: impl Read + Seek, packed: u64) -> Result<Weights> {
    let mut left = most(packed);
    let mut archive = ZipArchive::new(file).map_err(|e| malformed(path, e))?;
    let mut arrays = Weights::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i).map_err(|e| malformed(path, e))?;
        let entry_name = entry.name().map_err(|e| malformed(path, e))?.into_owned();
        let name = entry_name.strip_suffix(".npy").unwrap_or(&entry_name).to_owned();
        let wrong = |m: String| malformed(path, format!("array `{name}`: {m}"));
        let mut bytes = Vec::new();
        // What an archive says of its sizes need not be true.
        let read = entry.take(left + 1).read_to_end(&mut bytes).map_err(|e| wrong(e.to_string()))?;
        left = left.checked_sub(read as u64).ok_or_else(|| {
            wrong(format!("it unpacks to more than {left} bytes, as no array of numbers does"))
        })?;
        let array = npy::parse(&bytes).map_err(wrong)?;
        arrays.insert(name, array);
    }
    Ok(arrays)
}

/// Writes arrays to a `.npz` file, as `np.savez` does.
///
/// # Errors
/// The file cannot be written, or an array is of a type that NumPy does not have.
pub fn save(path: impl AsRef<Path>, arrays: &Weights) -> Result<()> {
    let path = path.as_ref();
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    let wrong = |e: &dyn ToString| malformed(path, e.to_string());
    for (name, array) in arrays {
        let bytes = npy::bytes(array).map_err(|m| {
            // Nothing is wrong with a file yet.
            Error::io("write", path)(io::Error::other(format!("array `{name}`: {m}")))
        })?;
        archive.start_file(format!("{name}.npy"), options).map_err(|e| wrong(&e))?;
        archive.write_all(&bytes).map_err(|e| wrong(&e))?;
    }
    let bytes = archive.finish().map_err(|e| wrong(&e))?.into_inner();
    atomic_write(path, |file| file.write_all(&bytes))
}

#[cfg(test)]
mod tests {
    use occam_graph::{Array, Data};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arrays_survive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let arrays = Weights::from([
            ("x".to_owned(), Array::from_f32([2, 3], (0..6).map(|i| i as f32).collect()).unwrap()),
            ("scalar".to_owned(), Array::from_i64([], vec![7]).unwrap()),
            ("a/b".to_owned(), Array::new([2], Data::Bool(vec![true, false])).unwrap()),
            ("none".to_owned(), Array::new([0, 4], Data::U8(vec![])).unwrap()),
        ]);
        save(&path, &arrays).unwrap();
        assert_eq!(load(&path).unwrap(), arrays);
    }

    #[test]
    fn an_array_that_numpy_lacks_is_no_invalid_file() {
        let path = tempfile::tempdir().unwrap().path().join("a.npz");
        let halves = Array::from_le_bytes(occam_graph::DType::BF16, [1], &[0, 0]).unwrap();
        let error = save(&path, &Weights::from([("x".to_owned(), halves)])).unwrap_err().to_string();
        assert!(error.contains("cannot write") && error.contains("array `x`"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        save(&path, &Weights::from([("x".to_owned(), Array::from_f32([2], vec![1.0, 2.0]).unwrap())]))
            .unwrap();
        let whole = std::fs::read(&path).unwrap();
        for end in 0..whole.len() {
            assert!(unpack(&path, Cursor::new(&whole[..end]), 0).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = unpack(Path::new("a"), Cursor::new(bytes), 0);
        }
    }
}
