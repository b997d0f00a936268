//! Arguments that the data sets share.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Error, Result};

/// Names of classes, or the file that lists them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a list of names, or the path of a file with one name a line")]
pub enum ClassNames {
    /// A file with one name a line.
    File(PathBuf),
    /// The names.
    List(Vec<String>),
}

impl ClassNames {
    /// The names.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn names(&self) -> Result<Vec<String>> {
        match self {
            Self::List(names) => Ok(names.clone()),
            Self::File(path) => {
                let path = expand(path);
                let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
                Ok(text.lines().map(str::to_owned).collect())
            }
        }
    }
}

/// Facts about a data set that a config overrides; keys other than `classes` are ignored.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Metainfo {
    /// The names of the classes.
    pub classes: Option<ClassNames>,
}

/// Where images and annotations lie, relative to `data_root`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a path, or a dict with `img_path` and perhaps `ann_path`")]
pub enum DataPrefix {
    /// The folder of the images.
    Images(PathBuf),
    /// The folder of each.
    Each {
        /// The folder of the images.
        #[serde(default, alias = "root")]
        img_path: PathBuf,
        /// The folder of the annotations.
        #[serde(default)]
        ann_path: Option<PathBuf>,
    },
}

impl Default for DataPrefix {
    fn default() -> Self {
        Self::Images(PathBuf::new())
    }
}

impl DataPrefix {
    /// The folder of the images.
    pub fn images(&self, root: &Path) -> PathBuf {
        match self {
            Self::Images(path) | Self::Each { img_path: path, .. } => under(root, path),
        }
    }

    /// The folder of the annotations, if there is one.
    pub fn annotations(&self, root: &Path) -> Option<PathBuf> {
        match self {
            Self::Images(_) => None,
            Self::Each { ann_path, .. } => ann_path.as_deref().map(|path| under(root, path)),
        }
    }
}

/// `path` under `root`, unless it is absolute; `~` at the start of either is the home folder.
pub(super) fn under(root: &Path, path: &Path) -> PathBuf {
    expand(root).join(expand(path))
}

fn expand(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path.to_owned(),
    }
}

/// Which samples of a data set to keep.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged, expecting = "an int (the first n, or the last if negative) or a list of positions")]
pub enum Indices {
    /// The first `n`, or the last `-n` where `n` is negative.
    Count(i64),
    /// These positions, in this order; negative ones count from the end.
    List(Vec<i64>),
}

impl Indices {
    /// The positions in a data set of `len` samples, in order.
    ///
    /// MMEngine refuses a count equal to the length; here it keeps everything.
    ///
    /// # Errors
    /// A sample is named that is not there.
    pub fn positions(&self, len: usize) -> Result<Vec<usize>> {
        let outside = |index: i64| {
            let detail = format!("`indices` names sample {index} of {len}");
            Error::argument("dataset", detail)
        };
        match self {
            &Self::Count(count) => {
                let size = usize::try_from(count.unsigned_abs())
                    .ok()
                    .filter(|&size| size <= len)
                    .ok_or_else(|| outside(count))?;
                Ok(if count < 0 { (len - size..len).collect() } else { (0..size).collect() })
            }
            Self::List(list) => list
                .iter()
                .map(|&index| {
                    let from_start =
                        if index < 0 { index.checked_add_unsigned(len as u64) } else { Some(index) };
                    from_start
                        .and_then(|index| usize::try_from(index).ok())
                        .filter(|&index| index < len)
                        .ok_or_else(|| outside(index))
                })
                .collect(),
        }
    }
}

/// A data set's config: the keys that all have, and its own.
macro_rules! dataset_config {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident { $($(#[$field_attribute:meta])* pub $field:ident: $type:ty,)* }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            /// The folder that other paths are relative to.
            pub data_root: std::path::PathBuf,
            /// Whether this is for testing.
            pub test_mode: bool,
            /// Other class names.
            pub metainfo: Option<$crate::datasets::Metainfo>,
            /// Other class names, the older spelling; `metainfo` goes first.
            pub classes: Option<$crate::datasets::ClassNames>,
            /// Which samples to keep; all by default.
            pub indices: Option<$crate::datasets::Indices>,
            $($(#[$field_attribute])* pub $field: $type,)*
            /// Read by the data set's builder.
            #[serde(rename = "pipeline")]
            _pipeline: Option<serde::de::IgnoredAny>,
            // Accepted without effect: they are about Python's memory and start-up time, and about downloading.
            #[serde(rename = "serialize_data")]
            _serialize_data: Option<serde::de::IgnoredAny>,
            #[serde(rename = "lazy_init")]
            _lazy_init: Option<serde::de::IgnoredAny>,
            #[serde(rename = "max_refetch")]
            _max_refetch: Option<serde::de::IgnoredAny>,
            #[serde(rename = "filter_cfg")]
            _filter_cfg: Option<serde::de::IgnoredAny>,
        }

        impl $name {
            /// The class names that the config gives, if it gives any.
            fn class_names(&self) -> $crate::Result<Option<Vec<String>>> {
                let metainfo = self.metainfo.as_ref().and_then(|info| info.classes.as_ref());
                metainfo.or(self.classes.as_ref()).map($crate::datasets::ClassNames::names).transpose()
            }
        }
    };
}
pub(super) use dataset_config;
