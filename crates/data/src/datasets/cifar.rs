//! CIFAR-10 and CIFAR-100.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::options::{DataPrefix, dataset_config};
use crate::{Error, InMemory, Result};

/// One of the two data sets.
#[derive(Debug)]
pub struct CifarKind {
    /// The name in configs.
    pub name: &'static str,
    /// The folder that its archive makes.
    folder: &'static str,
    /// The folder of the version for Python, which is not read.
    python: &'static str,
    /// Where the archive can be had.
    pub url: &'static str,
    /// Files of the training set.
    train: &'static [&'static str],
    /// Files of the test set.
    test: &'static [&'static str],
    /// Labels before the pixels of an image; the last is the class.
    labels: usize,
    /// The names of the classes, one a line.
    classes: &'static str,
}

/// 50,000 training and 10,000 test images of 10 classes, 32 x 32, red-green-blue (Krizhevsky, 2009).
pub const CIFAR10: CifarKind = CifarKind {
    name: "CIFAR10",
    folder: "cifar-10-batches-bin",
    python: "cifar-10-batches-py",
    url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: &["test_batch.bin"],
    labels: 1,
    classes: include_str!("names/cifar10.txt"),
};

/// 50,000 training and 10,000 test images of 100 classes, 32 x 32, red-green-blue (Krizhevsky, 2009).
pub const CIFAR100: CifarKind = CifarKind {
    name: "CIFAR100",
    folder: "cifar-100-binary",
    python: "cifar-100-python",
    url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    train: &["train.bin"],
    test: &["test.bin"],
    labels: 2,
    classes: include_str!("names/cifar100.txt"),
};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// More than any file of these data sets has.
const MAX_BYTES: u64 = 1 << 30;

dataset_config! {
    /// The config of [`CIFAR10`] and [`CIFAR100`].
    ///
    /// The files of the binary version lie in `data_root/data_prefix`, or in the folder below it that the archive
    /// makes. Images are red-green-blue, as in MMClassification. The version for Python is not read: its files are
    /// programs of Python's `pickle`. Nothing is ever downloaded.
    pub struct CifarConfig {
        /// The folder of the files.
        pub data_prefix: DataPrefix,
        /// Accepted without effect.
        #[serde(rename = "download")]
        pub _download: Option<IgnoredAny>,
    }
}

impl CifarConfig {
    /// The config of the files in `folder`.
    pub fn new(folder: impl Into<PathBuf>, test_mode: bool) -> Self {
        Self { data_prefix: DataPrefix::Images(folder.into()), test_mode, ..Self::default() }
    }

    /// Reads the files; the result has an empty pipeline.
    ///
    /// # Errors
    /// A file is missing, unreadable or no whole number of records, a label is not below the number of classes, or
    /// `indices` names a sample that is not there.
    pub fn load(&self, kind: &CifarKind) -> Result<InMemory> {
        let given = self.data_prefix.images(&self.data_root);
        let names = if self.test_mode { kind.test } else { kind.train };
        let has = |folder: &Path| names.iter().all(|name| folder.join(name).is_file());
        let folder = [given.join(kind.folder), given.clone()].into_iter().find(|folder| has(folder));
        let Some(folder) = folder else {
            let python = if given.join(kind.python).is_dir() {
                format!("; {} holds the version for Python, which is not read", kind.python)
            } else {
                String::new()
            };
            return Err(Error::Folder {
                dataset: kind.name,
                detail: format!(
                    "found {} neither here nor in {}{python}: download the binary version from {} and unpack it here",
                    names.join(", "),
                    kind.folder,
                    kind.url
                ),
                folder: given,
            });
        };
        let classes = match self.class_names()? {
            Some(classes) => classes,
            None => kind.classes.lines().map(str::to_owned).collect(),
        };
        let (mut pixels, mut labels) = (vec![], vec![]);
        for name in names {
            read(&folder.join(name), kind.labels, classes.len(), &mut pixels, &mut labels)?;
        }
        let set = InMemory::new([SIDE, SIDE, 3], pixels, labels, classes)?;
        match &self.indices {
            Some(indices) => set.subset(indices),
            None => Ok(set),
        }
    }
}

/// Appends the images of one file, whose records are labels and three planes.
fn read(
    path: &Path,
    before: usize,
    classes: usize,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<i64>,
) -> Result<()> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let corrupt = |detail: String| Error::Corrupt { path: path.to_owned(), detail };
    let mut content = vec![];
    File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut content)).map_err(unreadable)?;
    let size = before + 3 * PLANE;
    if content.is_empty() || content.len() % size != 0 {
        return Err(corrupt(format!("{} bytes are no whole number of records of {size}", content.len())));
    }
    pixels.reserve(content.len());
    for (at, record) in content.chunks_exact(size).enumerate() {
        let (head, planes) = record.split_at(before);
        let label = head.last().copied().unwrap_or_default();
        if usize::from(label) >= classes {
            return Err(corrupt(format!("label {at} is {label}, of {classes} classes")));
        }
        labels.push(label.into());
        let (red, rest) = planes.split_at(PLANE);
        let (green, blue) = rest.split_at(PLANE);
        pixels.extend(red.iter().zip(green).zip(blue).flat_map(|((&red, &green), &blue)| [red, green, blue]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    #[test]
    fn reads_planes_and_the_last_label() {
        let folder = tempfile::tempdir().unwrap();
        let record = |coarse: u8, fine: u8| {
            let planes = [[1u8; PLANE], [2; PLANE], [3; PLANE]].concat();
            [vec![coarse, fine], planes].concat()
        };
        let below = folder.path().join("cifar-100-binary");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("test.bin"), [record(4, 99), record(0, 7)].concat()).unwrap();
        let set = CifarConfig::new(folder.path(), true).load(&CIFAR100).unwrap();
        assert_eq!((set.len(), set.classes().len(), set.labels(0).unwrap()), (2, 100, vec![99]));
        let sample = set.get(1).unwrap();
        assert_eq!(
            (sample.image.shape(), &sample.image.pixels()[..6]),
            ([32, 32], [1, 2, 3, 1, 2, 3].as_slice())
        );

        std::fs::write(below.join("test.bin"), record(0, 100)).unwrap();
        let message = CifarConfig::new(folder.path(), true).load(&CIFAR100).unwrap_err().to_string();
        assert!(message.contains("label 0 is 100, of 100 classes"), "{message}");
        std::fs::write(below.join("test.bin"), [0; 100]).unwrap();
        assert!(CifarConfig::new(folder.path(), true).load(&CIFAR100).is_err());
    }

    #[test]
    fn says_what_to_download() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("cifar-10-batches-py")).unwrap();
        let message = CifarConfig::new(folder.path(), false).load(&CIFAR10).unwrap_err().to_string();
        assert!(
            message.contains("version for Python") && message.contains("cifar-10-binary.tar.gz"),
            "{message}"
        );
        assert_eq!(CIFAR10.classes.lines().count(), 10);
        assert_eq!(CIFAR100.classes.lines().count(), 100);
    }
}
