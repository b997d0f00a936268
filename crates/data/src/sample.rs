//! What travels through the pipeline: samples one by one, then batches.

use occam_graph::Array;

use crate::{FlipDirection, Image};

/// One image on its way through the transforms.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The image.
    pub image: Image,
    /// The class (`gt_label`).
    pub label: i64,
    /// Position in the data set (`sample_idx`).
    pub index: usize,
    /// Height and width as loaded.
    pub ori_shape: [usize; 2],
    /// How the image was mirrored, if it was (`flip`, `flip_direction`).
    pub flip: Option<FlipDirection>,
}

impl Sample {
    /// An untransformed sample.
    pub fn new(image: Image, label: i64, index: usize) -> Self {
        let ori_shape = image.shape();
        Self { image, label, index, ori_shape, flip: None }
    }
}

/// What is known of one image of a batch besides its pixels: labels, and predictions once a model made them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DataSample {
    /// The classes of the image; exactly one in single-label classification.
    pub gt_label: Vec<i64>,
    /// A weight for each class, where labels are soft or one-hot.
    pub gt_score: Option<Vec<f32>>,
    /// The predicted score of each class.
    pub pred_score: Option<Vec<f32>>,
    /// The predicted class.
    pub pred_label: Option<i64>,
    /// The predicted classes, where an image may have several.
    pub pred_labels: Vec<i64>,
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
            gt_label: vec![sample.label],
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
