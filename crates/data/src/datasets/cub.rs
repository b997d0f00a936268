//! Caltech-UCSD Birds.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::files::{Entry, ImageFiles, Labels};
use super::options::{DataPrefix, dataset_config, under};
use crate::{Error, Result};

dataset_config! {
    /// The config of `CUB`, Caltech-UCSD Birds-200-2011 (Wah et al., 2011).
    ///
    /// Three files of lines `id value` name each image's path under `data_prefix`, its class counted from 1, and whether it
    /// is for training (1) or for testing (0); `test_mode` says which of the two is wanted.
    pub struct CubConfig {
        /// The paths; `images.txt` by default.
        pub ann_file: Option<PathBuf>,
        /// The folder of images; `images` by default.
        pub data_prefix: Option<DataPrefix>,
        /// The classes; `image_class_labels.txt` by default.
        pub image_class_labels_file: Option<PathBuf>,
        /// Which images are for what; `train_test_split.txt` by default.
        pub train_test_split_file: Option<PathBuf>,
    }
}

/// The 200 classes, one a line.
const CLASSES: &str = include_str!("names/cub.txt");

impl CubConfig {
    /// Reads the three files; the result has an empty pipeline.
    ///
    /// # Errors
    /// One is missing, has a line that is not understood, or names other images than the first; or `indices` names a
    /// sample that is not there.
    pub fn load(&self) -> Result<ImageFiles> {
        let classes = match self.class_names()? {
            Some(classes) => classes,
            None => CLASSES.lines().map(str::to_owned).collect(),
        };
        let file = |given: &Option<PathBuf>, default: &str| {
            under(&self.data_root, given.as_deref().unwrap_or(Path::new(default)))
        };
        let paths = table(&file(&self.ann_file, "images.txt"))?;
        let labels = Column::of(file(&self.image_class_labels_file, "image_class_labels.txt"))?;
        let splits = Column::of(file(&self.train_test_split_file, "train_test_split.txt"))?;
        let mut entries = vec![];
        for (id, (_, path)) in &paths {
            let for_training = splits.get(id, |split| match split {
                "0" => Some(false),
                "1" => Some(true),
                _ => None,
            })?;
            let label = labels.get(id, |label| {
                let class: usize = label.parse().ok()?;
                (1..=classes.len()).contains(&class).then_some(class as i64 - 1)
            })?;
            if for_training != self.test_mode {
                entries.push(Entry { path: path.as_str().into(), labels: Labels::One(label) });
            }
        }
        let default = DataPrefix::Images("images".into());
        let folder = self.data_prefix.as_ref().unwrap_or(&default).images(&self.data_root);
        ImageFiles::new(folder, entries, classes).subset(self.indices.as_ref())
    }
}

/// Lines `id value` by id, with the numbers of the lines.
type Table = IndexMap<String, (usize, String)>;

fn table(path: &Path) -> Result<Table> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let mut table = Table::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong =
            |detail: &str| Error::Annotation { path: path.into(), line: i + 1, detail: detail.into() };
        let (id, value) = line.trim().split_once(' ').ok_or_else(|| wrong("a line is `id value`"))?;
        if table.insert(id.to_owned(), (i + 1, value.trim().to_owned())).is_some() {
            return Err(wrong("the id has a line already"));
        }
    }
    Ok(table)
}

/// What a file says of each image.
struct Column {
    path: PathBuf,
    table: Table,
}

impl Column {
    fn of(path: PathBuf) -> Result<Self> {
        Ok(Self { table: table(&path)?, path })
    }

    fn get<T>(&self, id: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let wrong = |line: usize, detail: String| Error::Annotation { path: self.path.clone(), line, detail };
        let missing = || wrong(self.table.len(), format!("nothing is said of image {id}"));
        let (line, value) = self.table.get(id).ok_or_else(missing)?;
        read(value).ok_or_else(|| wrong(*line, format!("{value:?} cannot be")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    #[test]
    fn three_files_say_what_an_image_is() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("images.txt", "1 001.Albatross/a.jpg\n2 002.Auk/b c.jpg\n3 200.Yellowthroat/c.jpg\n");
        write("image_class_labels.txt", "1 1\n2 2\n3 200\n");
        write("train_test_split.txt", "1 0\n2 1\n3 1\n");
        let mut config = CubConfig { data_root: folder.path().to_owned(), ..Default::default() };
        let train = config.load().unwrap();
        assert_eq!((train.len(), train.classes().len()), (2, 200));
        let sample = train.get(0).unwrap();
        assert!(sample.path.unwrap().ends_with("images/002.Auk/b c.jpg"));
        assert_eq!((sample.gt_label, train.labels(1).unwrap()), (vec![1], vec![199]));
        config.test_mode = true;
        assert_eq!(config.load().unwrap().labels(0).unwrap(), [0]);

        let refused = |name: &str, text: &str, place: &str| {
            let before = std::fs::read_to_string(folder.path().join(name)).unwrap();
            write(name, text);
            let message = config.load().unwrap_err().to_string();
            assert!(message.contains(place), "{message}");
            write(name, &before);
        };
        refused("image_class_labels.txt", "1 1\n2 201\n3 3\n", "image_class_labels.txt:2: \"201\"");
        refused("image_class_labels.txt", "1 1\n2 0\n3 3\n", "image_class_labels.txt:2");
        refused("train_test_split.txt", "1 0\n2 yes\n3 1\n", "train_test_split.txt:2: \"yes\"");
        refused("train_test_split.txt", "1 0\n2 1\n", "image 3");
        refused("images.txt", "1\n", "images.txt:1");
        refused("images.txt", "1 a\n1 b\n", "images.txt:2");
    }
}
