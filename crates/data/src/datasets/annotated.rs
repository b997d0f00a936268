//! Images listed in a JSON file of OpenMMLab's form.

use std::path::PathBuf;

use serde::Deserialize;

use super::files::{Entry, ImageFiles, Labels};
use super::options::{ClassNames, DataPrefix, Metainfo, dataset_config, under};
use crate::{Error, Result};

dataset_config! {
    /// The config of `BaseDataset` and `MultiLabelDataset`.
    ///
    /// ```json
    /// {"metainfo": {"classes": ["A", "B", "C"]},
    ///  "data_list": [{"img_path": "1.jpg", "gt_label": [0, 1]}, {"img_path": "2.jpg", "gt_label": [2]}]}
    /// ```
    ///
    /// A label is a number, or in `MultiLabelDataset` a list of them, which may be empty; `img_label` is another name
    /// of `gt_label`. Paths are relative to `data_prefix`. Classes that the config names go before those of the file,
    /// which may also be given as `categories` with `id` and `category_name`.
    pub struct AnnotatedConfig {
        /// The JSON file.
        pub ann_file: PathBuf,
        /// The folder of the images.
        pub data_prefix: DataPrefix,
    }
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(default)]
    metainfo: FileInfo,
    data_list: Vec<Item>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FileInfo {
    classes: Option<Vec<String>>,
    categories: Option<Vec<Category>>,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    category_name: String,
}

#[derive(Deserialize)]
struct Item {
    img_path: Box<str>,
    #[serde(alias = "img_label")]
    gt_label: Option<Label>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Label {
    One(i64),
    Many(Vec<i64>),
}

impl AnnotatedConfig {
    /// Reads the file; the result has an empty pipeline. `many` says whether an image may have any number of classes.
    ///
    /// # Errors
    /// The file is missing or no JSON of this form, a label is missing, of the wrong kind or not that of a class, or
    /// `indices` names a sample that is not there.
    pub fn load(&self, name: &'static str, many: bool) -> Result<ImageFiles> {
        let path = under(&self.data_root, &self.ann_file);
        if self.ann_file.as_os_str().is_empty() {
            return Err(Error::argument(name, "`ann_file` is missing"));
        }
        let text =
            std::fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
        let file: Annotations = serde_json::from_str(&text).map_err(|error| Error::Annotation {
            path: path.clone(),
            line: error.line(),
            detail: format!("{error}; a JSON file with `metainfo` and `data_list` is wanted"),
        })?;
        let classes = match self.class_names()? {
            Some(classes) => classes,
            None => file.metainfo.names(),
        };
        let outside = |&label: &i64| {
            usize::try_from(label).map_or(true, |at| !classes.is_empty() && at >= classes.len())
        };
        let mut entries = Vec::with_capacity(file.data_list.len());
        for (line, item) in (1..).zip(file.data_list) {
            let wrong = |detail: String| {
                let detail = format!("item {line} of `data_list` ({}): {detail}", item.img_path);
                Error::Corrupt { path: path.clone(), detail }
            };
            let labels = match (item.gt_label, many) {
                (None, _) if self.test_mode => vec![],
                (None, _) => return Err(wrong("it has no `gt_label`".to_owned())),
                (Some(Label::One(label)), _) => vec![label],
                (Some(Label::Many(labels)), true) => labels,
                (Some(Label::Many(_)), false) => {
                    return Err(wrong("`gt_label` is a list; use MultiLabelDataset".to_owned()));
                }
            };
            if let Some(label) = labels.iter().find(|label| outside(label)) {
                return Err(wrong(format!(
                    "class {label} of {}; classes are numbered from 0",
                    classes.len()
                )));
            }
            let labels = match labels.as_slice() {
                &[label] if !many => Labels::One(label),
                [] if !many => Labels::Unknown,
                _ => Labels::Many(Box::new((labels, vec![]))),
            };
            entries.push(Entry { path: item.img_path, labels });
        }
        let folder = self.data_prefix.images(&self.data_root);
        ImageFiles::new(folder, entries, classes).subset(self.indices.as_ref())
    }
}

impl FileInfo {
    fn names(self) -> Vec<String> {
        match (self.classes, self.categories) {
            (Some(classes), _) => classes,
            (None, Some(mut categories)) => {
                categories.sort_by_key(|category| category.id);
                categories.into_iter().map(|category| category.category_name).collect()
            }
            (None, None) => vec![],
        }
    }
}

impl AnnotatedConfig {
    /// The config of the images that `ann_file` lists, with class names of one's own or those of the file.
    pub fn new(ann_file: impl Into<PathBuf>, classes: Option<Vec<String>>) -> Self {
        let metainfo = classes.map(|classes| Metainfo { classes: Some(ClassNames::List(classes)) });
        Self { ann_file: ann_file.into(), metainfo, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    fn load(text: &str, many: bool) -> Result<ImageFiles, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.json");
        std::fs::write(&path, text).unwrap();
        AnnotatedConfig::new(path, None).load("BaseDataset", many).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_one_or_many_labels() {
        let text = r#"{"metainfo": {"classes": ["a", "b", "c"]}, "data_list": [
            {"img_path": "1.jpg", "gt_label": [0, 2], "other": 1}, {"img_path": "2.jpg", "img_label": []}]}"#;
        let set = load(text, true).unwrap();
        assert_eq!((set.labels(0).unwrap(), set.labels(1).unwrap()), (vec![0, 2], vec![]));
        assert_eq!(set.classes(), ["a", "b", "c"]);
        assert!(load(text, false).unwrap_err().contains("use MultiLabelDataset"));
        let text = r#"{"metainfo": {"categories": [{"id": 2, "category_name": "b"}, {"id": 1, "category_name": "a"}]},
            "data_list": [{"img_path": "1.jpg", "gt_label": 1}]}"#;
        let set = load(text, false).unwrap();
        assert_eq!(
            (set.labels(0).unwrap(), set.classes()),
            (vec![1], ["a".to_owned(), "b".to_owned()].as_slice())
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let item = |label: &str| {
            format!(r#"{{"metainfo": {{"classes": ["a"]}}, "data_list": [{{"img_path": "1.jpg" {label}}}]}}"#)
        };
        let message = |label: &str| load(&item(label), true).err().unwrap();
        assert!(message("").contains("item 1 of `data_list` (1.jpg): it has no `gt_label`"));
        assert!(message(r#", "gt_label": [1]"#).contains("class 1 of 1"));
        assert!(load("{\n\"data_list\": 3}", true).err().unwrap().contains("list.json:2:"));
    }
}
