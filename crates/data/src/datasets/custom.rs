//! Images in folders named as their classes, or listed in a file.

use std::path::{Path, PathBuf};

use super::files::{Entry, ImageFiles, Labels};
use super::options::{DataPrefix, dataset_config, under};
use crate::{Error, Result};

dataset_config! {
    /// The config of [`CustomDataset`](CustomKind::CUSTOM) and its relatives.
    ///
    /// With `ann_file`, each of its lines is an image's path under `data_prefix`, a space and the number of its class;
    /// blank lines are skipped. Without, each folder under `data_prefix` is a class, in the order of their names, and
    /// all files in it and below it that end in one of `extensions` are its images. Names that begin with a dot are
    /// passed over.
    ///
    /// MMClassification warns of a folder without an image, here it is an error. With `with_label=False`, all files
    /// under `data_prefix` are images without a class, and lines are paths alone.
    pub struct CustomConfig {
        /// The file that lists the images; none by default.
        pub ann_file: Option<PathBuf>,
        /// The folder of the images.
        pub data_prefix: DataPrefix,
        /// Endings of image files, in lower case; those of JPEG, PNG, WebP, BMP and PNM by default.
        pub extensions: Option<Vec<String>>,
        /// Whether images have classes. True by default.
        pub with_label: Option<bool>,
        /// Accepted for ImageNet-21k, where only `False` is supported.
        pub multi_label: bool,
    }
}

/// One data set of the family.
#[derive(Debug)]
pub struct CustomKind {
    /// The name in configs.
    pub name: &'static str,
    /// The names of the classes, one a line, where a config gives no others; empty for none.
    classes: &'static str,
}

impl CustomKind {
    /// Any images.
    pub const CUSTOM: Self = Self { name: "CustomDataset", classes: "" };
    /// ImageNet-1k: 1000 classes (Russakovsky et al., 2015, arXiv:1409.0575).
    pub const IMAGENET: Self = Self { name: "ImageNet", classes: include_str!("names/imagenet.txt") };
    /// ImageNet-21k, whose classes a config must name.
    pub const IMAGENET_21K: Self = Self { name: "ImageNet21k", classes: "" };
}

/// Endings of image files: MMClassification's, without `.tif`, which nothing here decodes, and with `.webp`.
const EXTENSIONS: [&str; 7] = [".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".webp"];

/// How deep folders below a class's are searched, so that links in a circle end.
const MAX_DEPTH: usize = 32;

impl CustomConfig {
    /// The config of the class folders in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { data_prefix: DataPrefix::Images(folder.into()), ..Self::default() }
    }

    /// Lists the images; the result has an empty pipeline.
    ///
    /// # Errors
    /// A folder or the list cannot be read, a line is not a path and a class, a class is not among those named, there
    /// are more or fewer folders than classes, or a folder has no image.
    pub fn load(&self, kind: &CustomKind) -> Result<ImageFiles> {
        let wrong = |detail: &str| Err(Error::argument(kind.name, detail));
        if self.multi_label {
            return wrong("`multi_label` is not supported; leave it out");
        }
        let images = self.data_prefix.images(&self.data_root);
        let list = self.ann_file.as_deref().filter(|path| !path.as_os_str().is_empty());
        if list.is_none() && images.as_os_str().is_empty() {
            return wrong("one of `ann_file`, `data_root` and `data_prefix` must be given");
        }
        let known: Vec<String> = kind.classes.lines().map(str::to_owned).collect();
        let named = self.class_names()?.or_else(|| Some(known).filter(|known| !known.is_empty()));
        let labelled = self.with_label.unwrap_or(true);
        let (entries, classes) = match list {
            Some(list) => {
                let classes = named.unwrap_or_default();
                (read_list(&under(&self.data_root, list), &classes, labelled)?, classes)
            }
            None => self.find(kind, &images, named, labelled)?,
        };
        ImageFiles::new(images, entries, classes).subset(self.indices.as_ref())
    }

    /// The images under `folder`, and the classes.
    fn find(
        &self,
        kind: &CustomKind,
        folder: &Path,
        named: Option<Vec<String>>,
        labelled: bool,
    ) -> Result<(Vec<Entry>, Vec<String>)> {
        let endings: Vec<String> = match &self.extensions {
            Some(endings) => endings.iter().map(|ending| ending.to_lowercase()).collect(),
            None => EXTENSIONS.map(str::to_owned).to_vec(),
        };
        let wrong =
            |detail: String| Err(Error::Folder { dataset: kind.name, folder: folder.to_owned(), detail });
        if !labelled {
            let mut entries = vec![];
            walk(folder, "", &endings, 0, &mut |path| entries.push(Entry { path, labels: Labels::Unknown }))?;
            entries.sort_by(|a, b| a.path.cmp(&b.path));
            return match entries.is_empty() {
                true => wrong(format!("no file in it ends in {}", endings.join(", "))),
                false => Ok((entries, named.unwrap_or_default())),
            };
        }
        let folders = list(folder)?.1;
        let mut entries = vec![];
        let mut empty = vec![];
        for (label, name) in (0i64..).zip(&folders) {
            let mut paths: Vec<Box<str>> = vec![];
            walk(&folder.join(name), name, &endings, 0, &mut |path| paths.push(path))?;
            paths.sort();
            if paths.is_empty() {
                empty.push(format!("{name:?}"));
            }
            entries.extend(paths.into_iter().map(|path| Entry { path, labels: Labels::One(label) }));
        }
        if entries.is_empty() {
            return wrong(format!(
                "no file in a folder below it ends in {}; each class is a folder of images, or list them in \
                 `ann_file`",
                endings.join(", ")
            ));
        }
        if !empty.is_empty() {
            return wrong(format!(
                "no file in {} ends in {}; remove the folder, add images to it, or list the images in `ann_file`",
                empty.join(", "),
                endings.join(", ")
            ));
        }
        match named {
            Some(classes) if classes.len() != folders.len() => wrong(format!(
                "it has {} folders for {} classes; each class is a folder: add or remove some, give as many names in \
                 `classes`, or use CustomDataset, which takes the folders' names",
                folders.len(),
                classes.len()
            )),
            Some(classes) => Ok((entries, classes)),
            None => Ok((entries, folders)),
        }
    }
}

/// The images and classes that the lines of the file at `path` name.
fn read_list(path: &Path, classes: &[String], labelled: bool) -> Result<Vec<Entry>> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(read)?;
    let mut entries = vec![];
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        let wrong = |detail: String| Error::Annotation { path: path.to_owned(), line, detail };
        if content.is_empty() {
            continue;
        }
        if !labelled {
            entries.push(Entry { path: content.into(), labels: Labels::Unknown });
            continue;
        }
        let (file, label) = content.rsplit_once(' ').ok_or_else(|| {
            wrong(format!("{content:?} is no image's path, a space and the number of its class"))
        })?;
        let label: i64 = label.parse().map_err(|_| {
            wrong(format!(
                "{label:?} is no number of a class; a line is an image's path, a space and a number"
            ))
        })?;
        let outside = usize::try_from(label).map_or(true, |at| !classes.is_empty() && at >= classes.len());
        if outside {
            return Err(wrong(match classes.len() {
                0 => format!("class {label} is below 0; classes are numbered from 0"),
                count => format!(
                    "class {label} of {count}; classes are numbered from 0 to {}: correct the line, or name more in \
                     `classes`",
                    count - 1
                ),
            }));
        }
        entries.push(Entry { path: file.trim_end().into(), labels: Labels::One(label) });
    }
    if entries.is_empty() {
        return Err(Error::Corrupt { path: path.to_owned(), detail: "it lists no image".to_owned() });
    }
    Ok(entries)
}

/// Names of the files and of the folders in `folder`, sorted; those that begin with a dot are left out.
fn list(folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let (mut files, mut folders) = (vec![], vec![]);
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(Error::Corrupt {
                path: entry.path(),
                detail: "the name is no UTF-8; rename the file".to_owned(),
            });
        };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(read)?;
        let is_folder = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
        if is_folder { folders.push(name) } else { files.push(name) }
    }
    files.sort();
    folders.sort();
    Ok((files, folders))
}

/// Calls `found` with the path, relative to the data set's folder, of each image in and below `folder`.
fn walk(
    folder: &Path,
    relative: &str,
    endings: &[String],
    depth: usize,
    found: &mut impl FnMut(Box<str>),
) -> Result<()> {
    let (files, folders) = list(folder)?;
    let join = |name: &str| if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
    for name in files {
        let lower = name.to_lowercase();
        if endings.iter().any(|ending| lower.ends_with(ending)) {
            found(join(&name).into());
        }
    }
    if depth < MAX_DEPTH {
        for name in folders {
            walk(&folder.join(&name), &join(&name), endings, depth + 1, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn found(config: &CustomConfig) -> Result<Vec<(String, Vec<i64>)>> {
        let set = config.load(&CustomKind::CUSTOM)?;
        let folder = config.data_prefix.images(&config.data_root);
        (0..set.len())
            .map(|index| {
                let sample = set.get(index)?;
                let path = sample.path.unwrap();
                Ok((path.strip_prefix(&folder).unwrap().display().to_string(), sample.gt_label))
            })
            .collect()
    }

    #[test]
    fn folders_are_classes() {
        let folder =
            folder(&["b/2.JPG", "b/sub/1.png", "b/1.jpg", "b/notes.txt", "a/x.jpeg", ".git/y.png", "z.png"]);
        let config = CustomConfig::new(folder.path());
        let expected = [("a/x.jpeg", 0), ("b/1.jpg", 1), ("b/2.JPG", 1), ("b/sub/1.png", 1)];
        let expected: Vec<_> = expected.map(|(path, label)| (path.to_owned(), vec![label])).to_vec();
        assert_eq!(found(&config).unwrap(), expected);
        assert_eq!(config.load(&CustomKind::CUSTOM).unwrap().classes(), ["a", "b"]);

        let mut named = CustomConfig::new(folder.path());
        named.classes = Some(super::super::ClassNames::List(vec!["cat".into(), "dog".into()]));
        assert_eq!(named.load(&CustomKind::CUSTOM).unwrap().classes(), ["cat", "dog"]);
        let message = config.load(&CustomKind::IMAGENET).unwrap_err().to_string();
        assert!(message.contains("2 folders for 1000 classes"), "{message}");
        let mut unlabelled = CustomConfig::new(folder.path());
        unlabelled.with_label = Some(false);
        assert_eq!(found(&unlabelled).unwrap()[4], ("z.png".to_owned(), vec![]));
    }

    #[test]
    fn folders_without_images_are_errors() {
        let message = |files: &[&str]| {
            let folder = folder(files);
            CustomConfig::new(folder.path()).load(&CustomKind::CUSTOM).unwrap_err().to_string()
        };
        assert!(message(&["a/1.jpg", "b/1.txt"]).contains(r#"no file in "b" ends in .jpg"#));
        assert!(message(&["1.jpg"]).contains("each class is a folder of images"));
        let missing = CustomConfig::new("no/such/folder").load(&CustomKind::CUSTOM).unwrap_err();
        assert!(missing.to_string().contains("cannot read no/such/folder"), "{missing}");
        assert!(CustomConfig::default().load(&CustomKind::CUSTOM).is_err());
    }

    #[test]
    fn lists_name_path_and_class() {
        let folder = folder(&["images/x"]);
        let load = |text: &str, classes: &[&str]| {
            std::fs::write(folder.path().join("list.txt"), text).unwrap();
            let mut config = CustomConfig::new("images");
            config.data_root = folder.path().to_owned();
            config.ann_file = Some("list.txt".into());
            let names = classes.iter().map(|&name| name.to_owned()).collect();
            config.classes = (!classes.is_empty()).then_some(super::super::ClassNames::List(names));
            found(&config).map_err(|error| error.to_string())
        };
        let expected = vec![("a b.jpg".to_owned(), vec![3]), ("c.jpg".to_owned(), vec![0])];
        assert_eq!(load("a b.jpg 3\n\nc.jpg 0\r\n", &[]).unwrap(), expected);
        let error = load("a.jpg 0\nb.jpg 2\n", &["x", "y"]).unwrap_err();
        assert!(error.contains("list.txt:2: class 2 of 2"), "{error}");
        assert!(
            load("a.jpg 0\n\nb.jpg one\n", &[]).unwrap_err().contains(r#"list.txt:3: "one" is no number"#)
        );
        assert!(load("a.jpg\n", &[]).unwrap_err().contains("list.txt:1: \"a.jpg\" is no image's path"));
        assert!(load("a.jpg -1\n", &[]).unwrap_err().contains("below 0"));
        assert!(load("\n", &[]).unwrap_err().contains("lists no image"));
    }

    #[test]
    fn classes_come_from_files_too() {
        let folder = folder(&["a/1.jpg", "b/1.jpg"]);
        let names = folder.path().join("names.txt");
        std::fs::write(&names, "cat\ndog\n").unwrap();
        let mut config = CustomConfig::new(folder.path());
        config.classes = Some(super::super::ClassNames::File(names));
        config.indices = Some(crate::Indices::Count(-1));
        let set = config.load(&CustomKind::CUSTOM).unwrap();
        assert_eq!((set.len(), set.classes()[1].as_str(), set.labels(0).unwrap()), (1, "dog", vec![1]));
    }
}
