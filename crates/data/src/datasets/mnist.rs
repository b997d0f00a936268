//! MNIST and the data sets distributed in its form.

use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::idx::Idx;
use super::options::{DataPrefix, dataset_config};
use crate::{Error, InMemory, Result};

/// One data set of the family.
#[derive(Debug)]
pub struct MnistKind {
    /// The name in configs.
    pub name: &'static str,
    /// The names of the ten classes, where a config gives no others.
    pub classes: [&'static str; 10],
    /// Where its files can be had.
    pub url: &'static str,
}

/// Handwritten digits: 60,000 training and 10,000 test images, 28 x 28, grey (LeCun et al., 1998).
pub const MNIST: MnistKind = MnistKind {
    name: "MNIST",
    classes: [
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    ],
    url: "https://ossci-datasets.s3.amazonaws.com/mnist/",
};

/// Pictures of clothing: 60,000 training and 10,000 test images, 28 x 28, grey (Xiao et al., 2017,
/// arXiv:1708.07747).
pub const FASHION_MNIST: MnistKind = MnistKind {
    name: "FashionMNIST",
    classes: [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
};

dataset_config! {
    /// The config of [`MNIST`] and [`FASHION_MNIST`].
    ///
    /// The folder `data_root/data_prefix` holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same two
    /// with `t10k` for the test set, each plain or with `.gz`; where both are there, the gzipped one is read. Nothing is
    /// ever downloaded. The number and size of images come from the files.
    pub struct MnistConfig {
        /// The folder of the files.
        pub data_prefix: DataPrefix,
        /// Accepted without effect.
        #[serde(rename = "download")]
        pub _download: Option<IgnoredAny>,
    }
}

impl MnistConfig {
    /// The config of the files in `folder`.
    pub fn new(folder: impl Into<PathBuf>, test_mode: bool) -> Self {
        Self { data_prefix: DataPrefix::Images(folder.into()), test_mode, ..Self::default() }
    }

    /// Reads the files; the result has an empty pipeline.
    ///
    /// # Errors
    /// A file is missing, unreadable or damaged, the two files have different lengths, a label is not below the
    /// number of classes, or `indices` names a sample that is not there.
    pub fn load(&self, kind: &MnistKind) -> Result<InMemory> {
        let folder = self.data_prefix.images(&self.data_root);
        let part = if self.test_mode { "t10k" } else { "train" };
        let image_path = find(kind, &folder, &format!("{part}-images-idx3-ubyte"))?;
        let label_path = find(kind, &folder, &format!("{part}-labels-idx1-ubyte"))?;
        let images = Idx::<3>::read(&image_path)?;
        let labels = Idx::<1>::read(&label_path)?.data;
        let [count, height, width] = images.shape;
        if count != labels.len() {
            let detail =
                format!("{} labels for the {count} images of {}", labels.len(), image_path.display());
            return Err(Error::Corrupt { path: label_path, detail });
        }
        if height == 0 || width == 0 {
            let detail = format!("images of {height} x {width} pixels");
            return Err(Error::Corrupt { path: image_path, detail });
        }
        let classes = match self.class_names()? {
            Some(classes) => classes,
            None => kind.classes.map(str::to_owned).to_vec(),
        };
        if let Some(at) = labels.iter().position(|&label| usize::from(label) >= classes.len()) {
            let detail = format!("label {at} is {}, of {} classes", labels[at], classes.len());
            return Err(Error::Corrupt { path: label_path, detail });
        }
        let labels = labels.into_iter().map(i64::from).collect();
        let set = InMemory::new([height, width, 1], images.data, labels, classes)?;
        match &self.indices {
            Some(indices) => set.subset(indices),
            None => Ok(set),
        }
    }
}

/// The path of the gzipped or the plain file.
fn find(kind: &MnistKind, folder: &Path, name: &str) -> Result<PathBuf> {
    [format!("{name}.gz"), name.to_owned()]
        .iter()
        .map(|file| folder.join(file))
        .find(|path| path.is_file())
        .ok_or_else(|| Error::Missing {
            dataset: kind.name,
            name: name.to_owned(),
            folder: folder.to_owned(),
            url: kind.url,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    fn small(test_mode: bool) -> MnistConfig {
        MnistConfig::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/fashion-mnist-small"), test_mode)
    }

    #[test]
    fn embedded_set_is_whole_and_balanced() {
        for (test_mode, per_class) in [(false, 1200), (true, 200)] {
            let set = small(test_mode).load(&FASHION_MNIST).unwrap();
            assert_eq!(set.len(), 10 * per_class);
            let mut counts = [0; 10];
            for index in 0..set.len() {
                let sample = set.get(index).unwrap();
                assert_eq!(sample.image.shape(), [28, 28]);
                counts[usize::try_from(sample.gt_label[0]).unwrap()] += 1;
            }
            assert_eq!(counts, [per_class; 10]);
            assert_eq!(set.classes()[9], "Ankle boot");
        }
    }

    fn write(folder: &Path, images: [u8; 3], labels: &[u8]) {
        let size = images.iter().map(|&n| usize::from(n)).product();
        let mut content = vec![0, 0, 8, 3];
        content.extend(images.iter().flat_map(|&n| [0, 0, 0, n]));
        content.extend(vec![9; size]);
        std::fs::write(folder.join("train-images-idx3-ubyte"), content).unwrap();
        let mut content = vec![0, 0, 8, 1, 0, 0, 0, labels.len() as u8];
        content.extend(labels);
        std::fs::write(folder.join("train-labels-idx1-ubyte"), content).unwrap();
    }

    #[test]
    fn refuses_files_that_do_not_agree() {
        let folder = tempfile::tempdir().unwrap();
        let message = || MnistConfig::new(folder.path(), false).load(&MNIST).unwrap_err().to_string();
        assert!(
            message().contains("found neither train-images-idx3-ubyte.gz nor train-images-idx3-ubyte in")
        );
        write(folder.path(), [2, 3, 3], &[0]);
        assert!(message().contains("1 labels for the 2 images"), "{}", message());
        write(folder.path(), [2, 3, 3], &[0, 10]);
        assert!(message().contains("label 1 is 10, of 10 classes"), "{}", message());
        write(folder.path(), [2, 0, 3], &[0, 1]);
        assert!(message().contains("images of 0 x 3 pixels"), "{}", message());
    }

    #[test]
    fn takes_other_classes_and_part_of_the_samples() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), [3, 2, 2], &[0, 10, 1]);
        let mut config = MnistConfig::new(folder.path().file_name().unwrap(), false);
        config.data_root = folder.path().parent().unwrap().to_owned();
        let names = (0..11).map(|class| format!("class {class}")).collect();
        config.classes = Some(crate::datasets::ClassNames::List(names));
        config.indices = Some(crate::Indices::Count(2));
        let set = config.load(&MNIST).unwrap();
        assert_eq!((set.len(), set.get(1).unwrap().gt_label), (2, vec![10]));
        assert_eq!(set.classes()[10], "class 10");
    }
}
