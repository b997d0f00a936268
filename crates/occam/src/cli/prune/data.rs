//! Images to look at, to fine-tune on and to measure with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use occam_config::{Registry, Value};
use occam_data::{DataPreprocessor, Dataset, DefaultSampler, Loader, LoaderOptions, Seed, Selection};
use occam_graph::Graph;
use serde_json::{Value as Json, json};

use crate::cli::common::check_normalization;
use crate::diagnostic::Failure;

/// Where images are and how the model takes them.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Data")]
pub struct DataArgs {
    /// Images: a folder for each class, or IDX files as Fashion-MNIST has them (labels must be numbers of the model's
    /// outputs, in the order of the folders' names). Where it has folders `train` and `val`, both are used. Where only
    /// inputs are looked at, images without classes do
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Images to measure the accuracy on [default: those that --data has for that, `val` or `t10k`, else a tenth of it
    /// that is not trained on, by --seed]
    #[arg(long, value_name = "DIR", requires = "data")]
    val_data: Option<PathBuf>,
    /// Subtracted from the channels of images, in 0..255 [default: 0]
    #[arg(long, value_name = "M,..", value_delimiter = ',', requires = "data")]
    mean: Vec<f64>,
    /// What the channels of images are divided by [default: 255]
    #[arg(long, value_name = "S,..", value_delimiter = ',', requires = "data")]
    std: Vec<f64>,
    /// Channels in the order blue, green, red
    #[arg(long, requires = "data")]
    bgr: bool,
    /// Height and width of images, where the model leaves them open: `224` or `224,160`
    #[arg(long, value_name = "H,W", value_parser = parse_size, requires = "data")]
    input_size: Option<[usize; 2]>,
    /// The part of an image's shorter side that the model sees [default: 0.875 from 128 pixels on, else 1]
    #[arg(long, value_name = "PART", requires = "data", value_parser = parse_part)]
    crop: Option<f64>,
    /// Images a batch
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch_size: u32,
    /// Threads that read and transform images
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=256))]
    workers: u16,
}

fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let sizes: Result<Vec<usize>, _> = text.split([',', 'x']).map(|s| s.trim().parse()).collect();
    match sizes.as_deref() {
        Ok([n]) if *n > 0 => Ok([*n, *n]),
        Ok([h, w]) if *h > 0 && *w > 0 => Ok([*h, *w]),
        _ => Err("a height and a width are wanted, such as 224,224, or one number for both".into()),
    }
}

fn parse_part(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if part > 0.0 && part <= 1.0 => Ok(part),
        _ => Err("the part must be above 0 and at most 1".into()),
    }
}

/// How images are changed in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Augment {
    /// Images as they are
    None,
    /// A random part: of size and shape as ImageNet's trainings take it from 128 pixels on, else shifted by a
    /// fourteenth of the side
    Crop,
    /// Mirrored half of the time
    Flip,
}

/// What a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `train-images-idx3-ubyte` and such.
    Idx,
    /// A folder for each class.
    Classes,
    /// Images without classes.
    Unlabelled,
}

/// A set of images without pipeline.
#[derive(Debug, Clone)]
struct Part {
    dir: PathBuf,
    kind: Kind,
    /// Of IDX files those for testing.
    test: bool,
}

/// Images that were found, and how they are prepared for one model.
pub struct Images {
    registry: Registry,
    train: Part,
    /// Where none, a tenth of `train` is held out.
    val: Option<Part>,
    /// Channels, height and width of the model's input.
    size: [usize; 3],
    /// Scores that the model gives; none where it gives no such.
    outputs: Option<usize>,
    classes: Option<Vec<String>>,
    preprocessor: Value,
    crop: Option<f64>,
    batch_size: usize,
    workers: usize,
    seed: u64,
}

impl DataArgs {
    /// The same for measuring alone: a folder that says no part of itself is for that is whole.
    pub fn for_testing(&self) -> Self {
        Self { val_data: self.val_data.clone().or_else(|| self.data.clone()), ..self.clone() }
    }

    /// The images for a model, whose first input takes them; none where none are given. `seed` draws what is held out.
    ///
    /// # Errors
    /// A folder is not there or holds no images, or the model takes none.
    pub fn open(&self, graph: &Graph, seed: u64) -> Result<Option<Images>, Failure> {
        let Some(dir) = &self.data else { return Ok(None) };
        let (train, beside) = parts(dir)?;
        let val = match &self.val_data {
            None => beside,
            // A folder that is given for measuring is whole where it is not divided.
            Some(dir) => Some(match parts(dir)? {
                (_, Some(val)) => val,
                (whole, None) => whole,
            }),
        };
        let fact = graph.inputs().first().and_then(|&id| Some(&graph.value(id).ok()?.fact));
        let shape = fact.map(|f| f.shape.as_slice()).unwrap_or_default();
        let known = |axis: usize| shape.get(axis).and_then(occam_graph::Dim::known);
        let channels = match (shape.len(), known(1)) {
            (4, Some(c @ (1 | 3))) => c,
            _ => {
                let found = fact.map_or_else(|| "none".into(), ToString::to_string);
                return Err(Failure::new(format!("the model's input is not one of images: {found}"))
                    .with_help("--data is for models that take [N, 3, H, W] or [N, 1, H, W]"));
            }
        };
        check_normalization(&self.mean, &self.std, channels)?;
        if train.kind == Kind::Idx && channels != 1 {
            return Err(Failure::new(format!(
                "{} has grey images, the model takes {channels} channels",
                dir.display()
            )));
        }
        let registry = occam::registry();
        let [height, width] = match (known(2), known(3), self.input_size) {
            (Some(h), Some(w), None) => [h, w],
            (h, w, Some([a, b])) if h.is_none_or(|h| h == a) && w.is_none_or(|w| w == b) => [a, b],
            (h, w, Some([a, b])) => {
                let size = |n: Option<usize>| n.map_or_else(|| "any".into(), |n| n.to_string());
                return Err(Failure::new(format!(
                    "--input-size {a},{b}: the model takes images of {}x{}",
                    size(h),
                    size(w)
                )));
            }
            _ if train.kind == Kind::Idx => {
                let first = registry.build::<dyn Dataset>(&train.config(None, vec![]))?.get(0)?;
                first.image.shape()
            }
            _ => {
                return Err(Failure::new("the model takes images of any size")
                    .with_help("say which with --input-size, such as 224,224"));
            }
        };
        // One number for all channels, in both lists or in none.
        let list = |given: &[f64], default: f64| match given {
            [] => vec![default; channels],
            [one] => vec![*one; channels],
            many => many.to_vec(),
        };
        let outputs = (graph.outputs().first())
            .and_then(|(_, id)| Some(&graph.value(*id).ok()?.fact))
            .filter(|f| f.rank() == 2)
            .and_then(|f| f.shape.get(1)?.known());
        let mut images = Images {
            registry,
            train,
            val,
            size: [channels, height, width],
            outputs,
            classes: None,
            preprocessor: Value::from_json(&json!({
                "type": "ClsDataPreprocessor", "mean": list(&self.mean, 0.0), "std": list(&self.std, 255.0),
                "to_rgb": channels == 3 && !self.bgr,
            })),
            crop: self.crop,
            batch_size: self.batch_size as usize,
            workers: self.workers.into(),
            seed,
        };
        images.classes = images.names()?;
        Ok(Some(images))
    }
}

/// What a folder has to train on, and what for measuring, if it says so itself.
fn parts(dir: &Path) -> Result<(Part, Option<Part>), Failure> {
    let read = |e: std::io::Error| Failure::new(format!("{}: {e}", dir.display()));
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(dir).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.path().is_dir() {
            true => folders.push(name),
            false => files.push(name),
        }
    }
    let part = |dir: PathBuf, kind, test| Part { dir, kind, test };
    let idx = |side: &str| files.iter().any(|f| f.starts_with(&format!("{side}-images-idx3-ubyte")));
    if idx("train") || idx("t10k") {
        let test = || part(dir.to_owned(), Kind::Idx, true);
        return Ok(match (idx("train"), idx("t10k")) {
            (false, _) => (test(), None),
            (true, false) => (part(dir.to_owned(), Kind::Idx, false), None),
            (true, true) => (part(dir.to_owned(), Kind::Idx, false), Some(test())),
        });
    }
    let has = |name: &str| folders.iter().any(|f| f == name);
    if has("train") {
        let val = ["val", "validation", "test"].into_iter().find(|name| has(name));
        let val = match val {
            Some(name) => Some(parts(&dir.join(name))?.0),
            None => None,
        };
        return Ok((parts(&dir.join("train"))?.0, val));
    }
    let kind = if folders.iter().any(|f| !f.starts_with('.')) { Kind::Classes } else { Kind::Unlabelled };
    Ok((part(dir.to_owned(), kind, false), None))
}

impl Part {
    fn config(&self, classes: Option<&[String]>, pipeline: Vec<Json>) -> Value {
        let mut config = match self.kind {
            Kind::Idx => json!({ "type": "MNIST", "data_prefix": self.dir, "test_mode": self.test }),
            Kind::Classes => json!({ "type": "CustomDataset", "data_prefix": self.dir }),
            Kind::Unlabelled => {
                json!({ "type": "CustomDataset", "data_prefix": self.dir, "with_label": false })
            }
        };
        if let Some(dict) = config.as_object_mut() {
            if let Some(classes) = classes {
                dict.insert("classes".into(), json!(classes));
            }
            dict.insert("pipeline".into(), Json::Array(pipeline));
        }
        Value::from_json(&config)
    }
}

impl Images {
    /// Whether every image has a class.
    pub fn labelled(&self) -> bool {
        self.train.kind != Kind::Unlabelled
    }

    /// The seed that images are drawn by.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Channels, height and width of what the model gets.
    pub fn size(&self) -> [usize; 3] {
        self.size
    }

    /// How many classes the model tells apart; none where it is no classifier.
    pub fn outputs(&self) -> Option<usize> {
        self.outputs
    }

    /// What the accuracy is measured on, for people.
    pub fn measured_on(&self) -> String {
        match &self.val {
            Some(part) if part.test => format!("the test images of {}", part.dir.display()),
            Some(part) => part.dir.display().to_string(),
            None => format!("a tenth of {}, which is not trained on", self.train.dir.display()),
        }
    }

    /// The names of the classes, where they are not the data set's own.
    fn names(&self) -> Result<Option<Vec<String>>, Failure> {
        if self.train.kind == Kind::Idx {
            // Such files have numbers alone.
            return Ok(self.outputs.map(|n| (0..n).map(|i| i.to_string()).collect()));
        }
        if self.train.kind == Kind::Unlabelled {
            return Ok(None);
        }
        let names =
            self.registry.build::<dyn Dataset>(&self.train.config(None, self.load()))?.classes().to_vec();
        match self.outputs.filter(|&n| n != names.len()) {
            None => Ok(Some(names)),
            Some(n) => Err(Failure::new(format!(
                "the model tells {n} classes apart, {} has folders of {}",
                self.train.dir.display(),
                names.len()
            ))
            .with_help("the folders, in the order of their names, are the model's outputs in order")),
        }
    }

    /// Refuses what needs classes where there are none.
    ///
    /// # Errors
    /// The images have no classes, or the model gives no scores of classes.
    pub fn need_labels(&self, what: &str) -> Result<(), Failure> {
        if self.outputs.is_none() {
            return Err(Failure::new(format!("{what} is for classifiers, whose output is [N, classes]")));
        }
        let unlabelled = [Some(&self.train), self.val.as_ref()]
            .into_iter()
            .flatten()
            .find(|part| part.kind == Kind::Unlabelled);
        match unlabelled {
            None => Ok(()),
            Some(part) => Err(Failure::new(format!("{what} needs the classes of images"))
                .with_help(format!("put the images of each class into a folder in {}", part.dir.display()))),
        }
    }

    fn load(&self) -> Vec<Json> {
        let [channels, ..] = self.size;
        let color = if channels == 1 { "grayscale" } else { "color" };
        match self.train.kind {
            Kind::Idx => vec![],
            _ => vec![json!({ "type": "LoadImageFromFile", "color_type": color })],
        }
    }

    /// As images are seen in use.
    fn plain(&self, part: &Part) -> Vec<Json> {
        let [_, height, width] = self.size;
        let mut steps = self.load();
        let small = height.min(width) < LARGE;
        let crop = self.crop.unwrap_or(if small || part.kind == Kind::Idx { 1.0 } else { 0.875 });
        if height == width && crop < 1.0 {
            let edge = (height as f64 / crop).round() as usize;
            steps.push(json!({ "type": "ResizeEdge", "scale": edge, "edge": "short" }));
            steps.push(json!({ "type": "CenterCrop", "crop_size": height }));
        } else {
            steps.push(json!({ "type": "Resize", "scale": [width, height] }));
        }
        steps
    }

    /// As images are trained on.
    fn varied(&self, augment: &[Augment]) -> Vec<Json> {
        let [_, height, width] = self.size;
        let crop = augment.contains(&Augment::Crop);
        let mut steps = if crop && height.min(width) >= LARGE {
            let mut steps = self.load();
            steps.push(json!({ "type": "RandomResizedCrop", "scale": [height, width] }));
            steps
        } else {
            self.plain(&self.train)
        };
        if crop && height.min(width) < LARGE {
            let padding = (height.min(width) / 14).max(1);
            steps.push(json!({ "type": "RandomCrop", "crop_size": [height, width], "padding": padding }));
        }
        if augment.contains(&Augment::Flip) {
            steps.push(json!({ "type": "RandomFlip", "prob": 0.5, "direction": "horizontal" }));
        }
        steps
    }

    /// A part of the images as a config; the whole or what is not held out of the training images.
    fn dataset(&self, part: &Part, mut pipeline: Vec<Json>, held_out: Option<bool>) -> Value {
        pipeline.push(json!({ "type": "PackClsInputs" }));
        let whole = part.config(self.classes.as_deref(), pipeline);
        match held_out {
            None => whole,
            Some(held) => {
                let fold =
                    json!({ "type": "KFoldDataset", "num_splits": 10, "test_mode": held, "seed": self.seed });
                let mut fold = Value::from_json(&fold);
                if let Some(dict) = fold.as_dict_mut() {
                    dict.insert("dataset", whole);
                }
                fold
            }
        }
    }

    fn loader(&self, dataset: Value, shuffle: bool) -> Value {
        let mut loader = Value::from_json(&json!({
            "batch_size": self.batch_size, "num_workers": self.workers,
            "sampler": { "type": "DefaultSampler", "shuffle": shuffle },
        }));
        if let Some(dict) = loader.as_dict_mut() {
            dict.insert("dataset", dataset);
        }
        loader
    }

    /// `train_dataloader` of a run.
    pub fn train_loader(&self, augment: &[Augment]) -> Value {
        let held = self.val.is_none().then_some(false);
        self.loader(self.dataset(&self.train, self.varied(augment), held), true)
    }

    /// `val_dataloader` and `test_dataloader` of a run.
    pub fn val_loader(&self) -> Value {
        self.loader(self.val_dataset(), false)
    }

    fn val_dataset(&self) -> Value {
        match &self.val {
            Some(part) => self.dataset(part, self.plain(part), None),
            None => self.dataset(&self.train, self.plain(&self.train), Some(true)),
        }
    }

    /// `data_preprocessor` of a run.
    pub fn preprocessor(&self) -> Value {
        self.preprocessor.clone()
    }

    /// So many images of those that are trained on, drawn by the seed, or all of them where there are fewer: batches in
    /// an order of their own, as images are in use. `loader.epoch(0, 0)` gives them.
    ///
    /// # Errors
    /// The images cannot be listed.
    pub fn sample(&self, count: usize) -> Result<Loader, Failure> {
        self.sample_by(count, self.batch_size)
    }

    /// [`Images::sample`] in batches of `batch_size`.
    ///
    /// # Errors
    /// As [`Images::sample`].
    pub fn sample_by(&self, count: usize, batch_size: usize) -> Result<Loader, Failure> {
        self.drawn(count, batch_size, self.seed)
    }

    /// So many images of those that are trained on, drawn by `seed`; of all where they have no classes, since no accuracy is
    /// measured on any then.
    ///
    /// # Errors
    /// The images cannot be listed.
    pub fn drawn(&self, count: usize, batch_size: usize, seed: u64) -> Result<Loader, Failure> {
        let held = (self.val.is_none() && self.labelled()).then_some(false);
        let dataset = self.dataset(&self.train, self.plain(&self.train), held);
        let set = self.registry.build::<dyn Dataset>(&dataset)?;
        let set = Selection::random(set, count, Seed(seed));
        let preprocessor: Arc<dyn DataPreprocessor> =
            self.registry.build::<dyn DataPreprocessor>(&self.preprocessor)?.into();
        let sampler = DefaultSampler { shuffle: false, ..DefaultSampler::default() };
        let options = LoaderOptions {
            batch_size,
            num_workers: self.workers,
            seed: Seed(self.seed),
            ..LoaderOptions::default()
        };
        Ok(Loader::new(Arc::new(set), preprocessor, Arc::new(sampler), options)?)
    }
}

/// From this side on images are cropped as ImageNet's are.
const LARGE: usize = 128;
