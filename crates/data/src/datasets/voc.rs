//! Pascal VOC as a task of many labels.

use std::path::{Path, PathBuf};

use super::files::{Entry, ImageFiles, Labels};
use super::options::{DataPrefix, dataset_config, under};
use crate::{Error, Result};

dataset_config! {
    /// The config of `VOC` (Everingham et al., 2010): the classes of an image are those of the objects in it.
    ///
    /// `image_set_path` under `data_root` lists the names of images; `JPEGImages/{name}.jpg` is the image and
    /// `Annotations/{name}.xml` describes its objects. Classes that only have objects marked as difficult are kept apart
    /// in `gt_label_difficult`, together with those that have both; objects of other names than the classes' are passed
    /// over.
    pub struct VocConfig {
        /// The list of the images' names, under `data_root`.
        pub image_set_path: PathBuf,
        /// The folders of images and of annotations. Annotations may be left out in `test_mode`.
        pub data_prefix: Option<DataPrefix>,
    }
}

/// The 20 classes, one a line.
const CLASSES: &str = include_str!("names/voc2007.txt");

const NAME: &str = "VOC";

impl VocConfig {
    /// Reads the annotations; the result has an empty pipeline.
    ///
    /// # Errors
    /// The list or an annotation is missing or damaged, there are no annotations for training, or `indices` names a
    /// sample that is not there.
    pub fn load(&self) -> Result<ImageFiles> {
        if self.image_set_path.as_os_str().is_empty() {
            return Err(Error::argument(NAME, "`image_set_path` is missing"));
        }
        let default =
            DataPrefix::Each { img_path: "JPEGImages".into(), ann_path: Some("Annotations".into()) };
        let prefix = self.data_prefix.as_ref().unwrap_or(&default);
        let annotations = prefix.annotations(&self.data_root);
        if annotations.is_none() && !self.test_mode {
            let detail = "`data_prefix` needs `ann_path` unless `test_mode` is True";
            return Err(Error::argument(NAME, detail));
        }
        let classes = match self.class_names()? {
            Some(classes) => classes,
            None => CLASSES.lines().map(str::to_owned).collect(),
        };
        let list = under(&self.data_root, &self.image_set_path);
        let text = read(&list)?;
        let mut entries = vec![];
        for name in text.lines().map(str::trim).filter(|name| !name.is_empty()) {
            let labels = match &annotations {
                Some(folder) => labels(&folder.join(format!("{name}.xml")), &classes)?,
                None => Labels::Unknown,
            };
            entries.push(Entry { path: format!("{name}.jpg").into(), labels });
        }
        let folder = prefix.images(&self.data_root);
        ImageFiles::new(folder, entries, classes).subset(self.indices.as_ref())
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// The classes of the objects that an annotation describes, each once, in ascending order.
fn labels(path: &Path, classes: &[String]) -> Result<Labels> {
    let text = read(path)?;
    let corrupt = |detail: String| Error::Corrupt { path: path.to_owned(), detail };
    let document = roxmltree::Document::parse(&text).map_err(|error| corrupt(error.to_string()))?;
    let (mut easy, mut difficult) = (vec![], vec![]);
    for object in document.root_element().children().filter(|node| node.has_tag_name("object")) {
        let child = |name: &str| {
            let node = object.children().find(|node| node.has_tag_name(name));
            node.and_then(|node| node.text()).map(str::trim)
        };
        let name = child("name").ok_or_else(|| corrupt("an object has no name".to_owned()))?;
        let Some(label) = classes.iter().position(|class| class == name) else { continue };
        let hard = match child("difficult").unwrap_or("0") {
            "0" => false,
            "1" => true,
            other => return Err(corrupt(format!("`difficult` of a {name} is {other:?}, neither 0 nor 1"))),
        };
        if hard { difficult.push(label as i64) } else { easy.push(label as i64) }
    }
    for labels in [&mut easy, &mut difficult] {
        labels.sort_unstable();
        labels.dedup();
    }
    Ok(Labels::Many(Box::new((easy, difficult))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    #[test]
    fn keeps_difficult_classes_apart() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("ImageSets/Main/train.txt", "000001\n000002\n");
        let object = |name: &str, difficult: u8| {
            format!("<object><name>{name}</name><difficult>{difficult}</difficult></object>")
        };
        let objects =
            [object("dog", 0), object("car", 1), object("dog", 0), object("train", 0), object("ufo", 0)]
                .concat();
        write("Annotations/000001.xml", &format!("<annotation><size/>{objects}</annotation>"));
        write("Annotations/000002.xml", "<annotation></annotation>");
        let mut config =
            VocConfig { image_set_path: "ImageSets/Main/train.txt".into(), ..Default::default() };
        config.data_root = folder.path().to_owned();
        let set = config.load().unwrap();
        let sample = set.get(0).unwrap();
        assert_eq!((sample.gt_label, sample.gt_label_difficult), (vec![11, 18], vec![6]));
        assert!(sample.path.unwrap().ends_with("JPEGImages/000001.jpg"));
        assert_eq!((set.len(), set.labels(1).unwrap(), set.classes().len()), (2, vec![], 20));

        write("Annotations/000002.xml", "<annotation>");
        let message = config.load().unwrap_err().to_string();
        assert!(message.contains("000002.xml"), "{message}");
        config.data_prefix = Some(DataPrefix::Images("JPEGImages".into()));
        assert!(config.load().is_err());
        config.test_mode = true;
        assert_eq!(config.load().unwrap().get(0).unwrap().gt_label, Vec::<i64>::new());
    }
}
