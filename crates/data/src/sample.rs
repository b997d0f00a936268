//! What travels through the pipeline: samples one by one, then batches.

use std::path::Path;
use std::sync::Arc;

use occam_graph::Array;

use crate::{FlipDirection, Image};

/// One image on its way through the transforms.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The image.
    pub image: Image,
    /// The file that the image is in, if it is in one of its own (`img_path`).
    pub path: Option<Arc<Path>>,
    /// The classes: one in single-label classification, any number in multi-label classification, none where they
    /// are not known.
    pub gt_label: Vec<i64>,
    /// Classes that are hard to see in the image (`gt_label_difficult` of VOC).
    pub gt_label_difficult: Vec<i64>,
    /// Position in the data set (`sample_idx`).
    pub index: usize,
    /// Height and width as loaded.
    pub ori_shape: [usize; 2],
    /// How the image was mirrored, if it was (`flip`, `flip_direction`).
    pub flip: Option<FlipDirection>,
}

impl Sample {
    /// An untransformed sample of one class.
    pub fn new(image: Image, label: i64, index: usize) -> Self {
        let ori_shape = image.shape();
        Self {
            image,
            path: None,
            gt_label: vec![label],
            gt_label_difficult: vec![],
            index,
            ori_shape,
            flip: None,
        }
    }

    /// A sample whose image is still in the file at `path`.
    pub fn unloaded(path: impl Into<Arc<Path>>, gt_label: Vec<i64>, index: usize) -> Self {
        Self { path: Some(path.into()), gt_label, ..Self::new(Image::unloaded(), 0, index) }
    }
}

/// What is known of one image of a batch besides its pixels: labels, and predictions once a model made them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataSample {
    /// The classes of the image; exactly one in single-label classification.
    pub gt_label: Vec<i64>,
    /// A weight for each class, where labels are soft (mixed by batch augments) or one-hot.
    pub gt_score: Option<Vec<f32>>,
    /// Classes that are hard to see in the image (`gt_label_difficult` of VOC).
    pub gt_label_difficult: Vec<i64>,
    /// The predicted score of each class.
    pub pred_score: Option<Vec<f32>>,
    /// The predicted class.
    pub pred_label: Option<i64>,
    /// The predicted classes, where an image may have several.
    pub pred_labels: Vec<i64>,
    /// The file of the image, if it has one of its own (`img_path`).
    pub path: Option<Arc<Path>>,
    /// Position in the data set (`sample_idx`).
    pub index: usize,
    /// Height and width as loaded.
    pub ori_shape: [usize; 2],
    /// Height and width after the transforms, before the batch's padding.
    pub img_shape: [usize; 2],
    /// How the image was mirrored, if it was.
    pub flip: Option<FlipDirection>,
}

impl From<&Sample> for DataSample {
    fn from(sample: &Sample) -> Self {
        Self {
            gt_label: sample.gt_label.clone(),
            gt_label_difficult: sample.gt_label_difficult.clone(),
            path: sample.path.clone(),
            index: sample.index,
            ori_shape: sample.ori_shape,
            img_shape: sample.image.shape(),
            flip: sample.flip,
            ..Self::default()
        }
    }
}

/// What a model gets at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The images: `f32`, batch x channels x height x width.
    pub inputs: Array,
    /// One for each image, in the same order.
    pub samples: Vec<DataSample>,
}

impl Batch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}
