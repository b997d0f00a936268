//! Measuring ONNX files in a runtime.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use occam_config::Value;
use occam_data::{DataPreprocessor, Dataset, DefaultSampler, Loader, LoaderOptions, Seed, Selection};
use occam_graph::{Array, Bindings, Dim};
use occam_io::onnx::{ImportOptions, import};
use occam_quant::Profile;
use occam_runtime::inputs::random_inputs;
use occam_runtime::latency::{Candidate, Options, measure};
use occam_runtime::{Port, Session};
use occam_train::Env;
use occam_train::reporter::Progress;

use super::compare::{Seen, Tally};
use super::report::{Measured, Report};
use crate::cli::common::ConfigArgs;
use crate::cli::prune::data::DataArgs;
use crate::cli::runtimes::{self, Found, RuntimeName, advised};
use crate::console;
use crate::diagnostic::Failure;

/// How a file is measured.
#[derive(clap::Args)]
#[command(next_help_heading = "Files")]
pub struct FileArgs {
    /// Measure this ONNX file in place of a checkpoint
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Measure this file as well, and how alike the two are: the model before it was quantized, for instance
    #[arg(long, value_name = "FILE", requires = "model")]
    against: Option<PathBuf>,
    /// What runs the file [default: onnxruntime; simulator with --cpu]
    #[arg(long, value_enum, value_name = "NAME", requires = "model")]
    runtime: Option<RuntimeName>,
    /// What runs the file of --against [default: as --runtime]
    #[arg(long, value_enum, value_name = "NAME", requires = "against")]
    against_runtime: Option<RuntimeName>,
    /// The processor whose integers are simulated, and where its sums saturate: x86-vnni, x86-avx512, x86-avx2, arm
    #[arg(long, value_parser = runtimes::parse_cpu, value_name = "NAME", requires = "model")]
    cpu: Option<&'static Profile>,
    /// Measure on so many images, drawn by the seed 0 [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// Images of a run that is timed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    latency_batch: u32,
    /// Rounds in which the files are timed in turns; 0 times nothing
    #[arg(long, value_name = "N", default_value_t = 7)]
    latency_rounds: u32,
    /// Sizes that the file leaves open, for what is timed without images [default: 1]: `height=224`
    #[arg(long, value_name = "NAME=N", value_parser = crate::cli::run::parse_dim)]
    dim: Vec<(String, usize)>,
    #[command(flatten)]
    data: DataArgs,
}

/// A file that is measured.
struct Subject {
    file: PathBuf,
    runtime: Found,
    session: Box<dyn Session>,
    port: Port,
}

impl Subject {
    fn open(file: &Path, runtime: Found, threads: usize) -> Result<Self, Failure> {
        let session = runtime.get().load(file, threads).map_err(advised)?;
        let [port] = session.inputs() else {
            let names: Vec<String> =
                session.inputs().iter().map(|p| format!("{} {}", p.name, p.fact)).collect();
            return Err(Failure::new(format!(
                "{} takes {} inputs, not one of images: {}",
                file.display(),
                names.len(),
                names.join(", ")
            )));
        };
        let port = port.clone();
        Ok(Self { file: file.to_owned(), runtime, session, port })
    }

    /// How many images the file takes at once; none where that is open.
    fn fixed(&self) -> Option<usize> {
        self.port.fact.shape.first().and_then(Dim::known)
    }

    /// The first output for images `[N, ..]`, as `[N, K]` numbers: in parts where the file takes so many at once.
    fn scores(&mut self, images: &Array) -> Result<(Vec<f32>, usize), Failure> {
        let count = images.shape().first().copied().unwrap_or(0);
        let part = self.fixed().unwrap_or(count).max(1);
        let mut all = Vec::new();
        for first in (0..count).step_by(part) {
            let input = rows(images, first, part)?;
            let outputs = self.session.run(&[(self.port.name.clone(), input)]).map_err(advised)?;
            let Some((_, y)) = outputs.into_iter().next() else {
                return Err(Failure::new(format!("{} gives nothing", self.file.display())));
            };
            let y = y.to_f32()?;
            let each = y.len() / part;
            let kept = part.min(count - first) * each;
            all.extend_from_slice(y.as_f32()?.get(..kept).unwrap_or_default());
        }
        let width = all.len() / count.max(1);
        Ok((all, width))
    }
}

/// `count` images from `first` on; the last is repeated where there are fewer.
fn rows(images: &Array, first: usize, count: usize) -> Result<Array, Failure> {
    let (shape, data) = (images.shape(), images.as_f32()?);
    let Some((&all, rest)) = shape.split_first() else { return Err(Failure::new("no images")) };
    if first == 0 && count == all {
        return Ok(images.clone());
    }
    let each: usize = rest.iter().product();
    let mut part = Vec::with_capacity(count * each);
    for i in first..first + count {
        let at = i.min(all.saturating_sub(1)) * each;
        part.extend_from_slice(data.get(at..at + each).unwrap_or_default());
    }
    let shape: Vec<usize> = std::iter::once(count).chain(rest.iter().copied()).collect();
    Ok(Array::from_f32(shape, part)?)
}

impl FileArgs {
    /// Measures, and tells for machines and for people.
    ///
    /// # Errors
    /// A file or the data cannot be read, or do not fit.
    pub fn run(
        self,
        config: Option<&ConfigArgs>,
        json: bool,
    ) -> Result<(serde_json::Value, String), Failure> {
        let Some(model) = &self.model else { return Err(Failure::new("--model FILE says what is measured")) };
        let threads = rayon::current_num_threads();
        let mut subjects = vec![Subject::open(model, runtimes::open(self.runtime, self.cpu)?, threads)?];
        if let Some(against) = &self.against {
            let other = match self.against_runtime {
                Some(name) => runtimes::open(Some(name), None)?,
                None => runtimes::open(self.runtime, self.cpu)?,
            };
            subjects.push(Subject::open(against, other, threads)?);
        }
        let loaded = self.loader(model, config)?;
        let mut tallies = vec![Tally::default(); subjects.len()];
        let mut alike = Seen::default();
        let mut first = None;
        if let Some((loader, _)) = &loaded {
            let mut reporter = console::terminal(json);
            let total = loader.len() as u64;
            for (i, batch) in loader.epoch(0, 0).enumerate() {
                let batch = batch?;
                let labels: Vec<Option<i64>> =
                    batch.samples.iter().map(|s| s.gt_label.first().copied()).collect();
                let mut scores = Vec::new();
                for (subject, tally) in subjects.iter_mut().zip(&mut tallies) {
                    let (y, width) = subject.scores(&batch.inputs)?;
                    tally.add(&y, width, &labels);
                    scores.push((y, width));
                }
                if let [(a, width), (b, other)] = scores.as_slice() {
                    if width != other {
                        return Err(Failure::new(format!(
                            "the files give {width} and {other} numbers for an image: they cannot be compared"
                        )));
                    }
                    alike.add(a, b, *width);
                }
                first.get_or_insert(batch.inputs);
                if let Some(reporter) = &mut reporter {
                    reporter.progress(&Progress { stage: "images", done: i as u64 + 1, total, loss: None });
                }
            }
            if let Some(reporter) = &mut reporter {
                reporter.finished();
            }
        }
        let times = self.times(&mut subjects, first.as_ref())?;
        let labelled = loaded.as_ref().is_some_and(|(_, labelled)| *labelled);
        let measured = subjects.iter().zip(&tallies).enumerate().map(|(i, (subject, tally))| Measured {
            file: subject.file.clone(),
            runtime: match subject.session.precision() {
                Some(precision) => format!("{} in {precision}", subject.runtime.named()),
                None => subject.runtime.named(),
            },
            tally: (loaded.is_some() && labelled).then(|| tally.clone()),
            times: times.get(i).cloned(),
            saturation: subject
                .runtime
                .simulated
                .as_ref()
                .filter(|s| s.profile.pairs)
                .map(|s| s.saturation()),
        });
        let report = Report {
            measured: measured.collect(),
            alike: (loaded.is_some() && subjects.len() == 2).then_some(alike),
            images: tallies.first().map_or(0, |t| t.images),
            threads,
            latency_batch: self.latency_batch as usize,
        };
        Ok((report.to_json(), report.to_text()))
    }

    /// The images to measure on, and whether they have classes.
    fn loader(&self, model: &Path, config: Option<&ConfigArgs>) -> Result<Option<(Loader, bool)>, Failure> {
        if let Some(config) = config {
            return Ok(Some((self.of_config(config)?, true)));
        }
        if self.data.data.is_none() {
            return Ok(None);
        }
        let graph = import(model, &ImportOptions::default())?.graph;
        let Some(images) = self.data.for_testing().open(&graph, 0)? else { return Ok(None) };
        let registry = occam::registry();
        let loader = images.val_loader();
        let Some(dataset) = loader.get("dataset") else { return Err(Failure::new("there are no images")) };
        let set = registry.build::<dyn Dataset>(dataset)?;
        let preprocessor: Arc<dyn DataPreprocessor> =
            registry.build::<dyn DataPreprocessor>(&images.preprocessor())?.into();
        let number = |key: &str, none: usize| {
            loader.get(key).and_then(Value::as_i64).map_or(none, |n| n.max(0) as usize)
        };
        let options = LoaderOptions {
            batch_size: number("batch_size", 64).max(1),
            num_workers: number("num_workers", 1),
            ..LoaderOptions::default()
        };
        let sampler = DefaultSampler { shuffle: false, ..DefaultSampler::default() };
        let set: Arc<dyn Dataset> = match self.images {
            Some(n) => Arc::new(Selection::random(set, n as usize, Seed(0))),
            None => set.into(),
        };
        Ok(Some((Loader::new(set, preprocessor, Arc::new(sampler), options)?, images.labelled())))
    }

    /// The test data of a config, prepared as its model wants them.
    fn of_config(&self, config: &ConfigArgs) -> Result<Loader, Failure> {
        let (value, loader, registry) = (config.load()?, config.loader()?, occam::registry());
        let seed = Seed(0);
        let env = Env { registry: &registry, loader: &loader, seed, device: occam_engine::Device::cpu() };
        let need =
            |key: &str| value.get(key).ok_or_else(|| Failure::new(format!("the config has no `{key}`")));
        let algorithm = env.algorithm(need("model")?)?;
        let test = need("test_dataloader")?;
        let loader = occam_train::runner::data_loader(&value, test, &*algorithm, &registry, seed)?;
        if let Some(n) = self.images {
            return Err(Failure::new(format!(
                "--images {n} is for --data: a config's test data are taken whole"
            )));
        }
        Ok(loader)
    }

    /// The times of all files, taken in turns; none where nothing is to be timed, or what is simulated has no time.
    fn times(
        &self,
        subjects: &mut [Subject],
        images: Option<&Array>,
    ) -> Result<Vec<occam_runtime::latency::Times>, Failure> {
        if self.latency_rounds == 0 || subjects.iter().any(|s| s.runtime.simulated.is_some()) {
            return Ok(Vec::new());
        }
        let mut inputs = Vec::new();
        for subject in subjects.iter() {
            let count = subject.fixed().unwrap_or(self.latency_batch as usize);
            inputs.push(match images {
                Some(images) => vec![(subject.port.name.clone(), rows(images, 0, count)?)],
                None => {
                    let mut bindings: Bindings = self.dim.iter().cloned().collect();
                    if let Some(Dim::Symbol(batch)) = subject.port.fact.shape.first() {
                        bindings.entry(batch.to_string()).or_insert(count);
                    }
                    random_inputs(std::slice::from_ref(&subject.port), &bindings, 0).map_err(advised)?
                }
            });
        }
        let mut candidates: Vec<Candidate<'_>> = subjects
            .iter_mut()
            .zip(&inputs)
            .map(|(s, inputs)| Candidate { session: &mut *s.session, inputs })
            .collect();
        let options = Options { rounds: self.latency_rounds as usize, ..Options::default() };
        measure(&mut candidates, &options).map_err(advised)
    }
}
