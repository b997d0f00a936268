//! The IDX format of the MNIST family: a magic number, the sizes, the elements.
//!
//! Big-endian. The magic number is two zero bytes, the element type (8: unsigned bytes, the only one read here) and
//! the rank; then come the sizes, 32 bits each, and the elements (<http://yann.lecun.com/exdb/mnist/>).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// The content of an IDX file of unsigned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx<const RANK: usize> {
    /// The sizes, outermost first.
    pub shape: [usize; RANK],
    /// The elements, row-major.
    pub data: Vec<u8>,
}

/// More than any data set of this format has.
const MAX_BYTES: u64 = 4 << 30;

/// The most that `packed` bytes of gzip may unpack to: no images are packed as well as a bomb is.
fn most_unpacked(packed: usize) -> u64 {
    (packed as u64).saturating_mul(200).clamp(64 << 20, MAX_BYTES)
}

/// Element type of unsigned bytes, in the third byte of the magic number.
const UNSIGNED_BYTE: u8 = 8;

impl<const RANK: usize> Idx<RANK> {
    /// Reads the file at `path`, through gzip where its content starts as gzip does.
    ///
    /// # Errors
    /// The file cannot be read, its gzip stream is damaged or cut short, or [`Idx::parse`] refuses the content.
    pub fn read(path: &Path) -> Result<Self> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let corrupt = |detail| Error::Corrupt { path: path.to_owned(), detail };
        let mut packed = Vec::new();
        File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut packed)).map_err(read)?;
        let content = if packed.starts_with(&[0x1f, 0x8b]) {
            let mut content = Vec::new();
            MultiGzDecoder::new(packed.as_slice())
                .take(most_unpacked(packed.len()))
                .read_to_end(&mut content)
                .map_err(|error| corrupt(format!("the gzip stream is broken or cut short ({error})")))?;
            content
        } else {
            packed
        };
        Self::parse(content).map_err(corrupt)
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// Says why `content` is no IDX file of unsigned bytes, of this rank, with exactly the elements that its sizes
    /// announce.
    pub fn parse(mut content: Vec<u8>) -> Result<Self, String> {
        let header = 4 * (RANK + 1);
        let words = content
            .get(..header)
            .ok_or_else(|| format!("{} bytes are too few for the {header} of the header", content.len()))?;
        let mut words = words.as_chunks::<4>().0.iter();
        let magic = words.next().copied().unwrap_or_default();
        if magic[..2] != [0, 0] || magic[2] != UNSIGNED_BYTE || usize::from(magic[3]) != RANK {
            return Err(format!(
                "the magic number is {:#010x}, that of {RANK}-dimensional unsigned bytes is {:#010x}",
                u32::from_be_bytes(magic),
                (usize::from(UNSIGNED_BYTE) << 8) + RANK
            ));
        }
        let mut shape = [0; RANK];
        for (size, word) in shape.iter_mut().zip(words) {
            *size = u32::from_be_bytes(*word) as usize;
        }
        let found = content.len() - header;
        if shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)) != Some(found) {
            return Err(format!("the header announces {shape:?} elements, {found} follow"));
        }
        content.drain(..header);
        Ok(Self { shape, data: content })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn content() -> Vec<u8> {
        [[0, 0, 8, 2], [0, 0, 0, 2], [0, 0, 0, 3], [1, 2, 3, 4]].concat().into_iter().chain([5, 6]).collect()
    }

    #[test]
    fn reads_sizes_and_elements() {
        let idx = Idx::<2>::parse(content()).unwrap();
        assert_eq!((idx.shape, idx.data), ([2, 3], vec![1, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn says_what_is_wrong() {
        let mut long = content();
        long.push(0);
        let mut floats = content();
        floats[2] = 13;
        let cases = [
            (content()[..11].to_vec(), "11 bytes are too few for the 12 of the header"),
            (content()[..17].to_vec(), "the header announces [2, 3] elements, 5 follow"),
            (long, "the header announces [2, 3] elements, 7 follow"),
            (floats, "the magic number is 0x00000d02, that of 2-dimensional unsigned bytes is 0x00000802"),
        ];
        for (bytes, message) in cases {
            assert_eq!(Idx::<2>::parse(bytes).unwrap_err(), message);
        }
        assert!(Idx::<1>::parse(content()).is_err());
    }

    #[test]
    fn reads_plain_and_gzipped_files_and_refuses_cut_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels");
        std::fs::write(&path, content()).unwrap();
        let plain = Idx::<2>::read(&path).unwrap();

        let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(&content()).unwrap();
        let packed = packed.finish().unwrap();
        std::fs::write(&path, &packed).unwrap();
        assert_eq!(Idx::<2>::read(&path).unwrap(), plain);

        for cut in 2..packed.len() {
            std::fs::write(&path, &packed[..cut]).unwrap();
            let error = Idx::<2>::read(&path).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "cut at {cut}: {error}");
        }
        assert!(matches!(Idx::<2>::read(folder.path()), Err(Error::Read { .. })));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Idx::<1>::parse(bytes.clone());
            let _ = Idx::<3>::parse(bytes);
        }

        #[test]
        fn takes_whole_files_only(
            shape in prop::array::uniform3(0u32..5),
            cut in 0usize..200,
            sizes in prop::array::uniform3(any::<u32>()),
        ) {
            let size = shape.iter().product::<u32>() as usize;
            let file = |sizes: [u32; 3]| {
                let mut bytes = vec![0, 0, 8, 3];
                bytes.extend(sizes.iter().flat_map(|n| n.to_be_bytes()));
                bytes.extend(vec![7; size]);
                bytes
            };
            let whole = file(shape);
            prop_assert_eq!(Idx::<3>::parse(whole.clone()).unwrap().shape, shape.map(|n| n as usize));
            let kept = cut.min(whole.len() - 1);
            prop_assert!(Idx::<3>::parse(whole[..kept].to_vec()).is_err());
            let _ = Idx::<3>::parse(file(sizes));
        }
    }
}
