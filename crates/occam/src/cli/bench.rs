//! `occam bench`

use std::collections::BTreeMap;
use std::time::Instant;

use clap::ValueEnum;
use occam_data::streams::Draw;
use occam_data::{Batch, DataSample, Seed};
use occam_engine::{Mode, Request};
use occam_graph::{Array, Role};
use occam_train::export::fix_image_size;
use occam_train::optim::Optimizers;
use occam_train::reporter::Progress;
use occam_train::{Algorithm, Env, Model, StepContext};
use serde_json::json;

use super::Outcome;
use super::common::{AmpArgs, ConfigArgs, DeviceArgs, image_size, parse_shape};
use crate::console::{self, print_json, print_line};
use crate::diagnostic::Failure;
use crate::{memory, table};

/// Measure how fast a model trains or predicts, and the memory it takes
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam bench train configs/fashion_mnist/resnet20.py --batch 128 --threads 2\n  \
    occam bench eval configs/fashion_mnist/resnet20.py --json\n  \
    occam bench train model.py --shape 3,224,224 --iters 50 --rounds 3\n\n\
    Weights, images and labels are random. A training step is forward, loss, backward and optimizer (the config's\n\
    `optim_wrapper`, else SGD with lr 0.01 and momentum 0.9). Memory is that of the whole process, on Linux.")]
pub struct Args {
    /// What is timed
    #[arg(value_enum)]
    mode: Timed,
    #[command(flatten)]
    config: ConfigArgs,
    /// Images a step
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Channels, height and width of the images [default: those of the config's data, else C,224,224]
    #[arg(long, value_parser = parse_shape, value_name = "C,H,W")]
    shape: Option<[usize; 3]>,
    /// Untimed steps before the first round
    #[arg(long, default_value_t = 3, value_name = "N")]
    warmup: u32,
    /// Timed steps of a round
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    iters: u32,
    /// Rounds; their medians are told one by one, so that a machine that slows down shows
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Tell the nodes that take most of a forward pass (`eval` only)
    #[arg(long)]
    by_node: bool,
    /// Seed of weights, images and labels
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    amp: AmpArgs,
}

/// What a step is.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Timed {
    /// Training steps
    Train,
    /// Forward passes by the running statistics, without gradients
    Eval,
}

impl Timed {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Eval => "eval",
        }
    }
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let config = self.config.load()?;
        let registry = occam::registry();
        let loader = self.config.loader()?;
        let seed = Seed(self.seed);
        let env = Env { registry: &registry, loader: &loader, seed, device: self.device.device()? };
        let Some(value) = config.get("model") else {
            return Err(Failure::new("the config has no `model`")
                .with_help("a recipe has several; measure the config of one run, WORK/<model>/config.py"));
        };
        let mut algorithm = env.algorithm(value)?;
        let mut wrapper = match config.get("optim_wrapper").filter(|v| !v.is_none()) {
            Some(value) => value.clone(),
            None => loader.load_str("default_optim.py", DEFAULT_OPTIM)?,
        };
        self.amp.apply(&mut wrapper)?;
        let optim = Optimizers::from_config(&wrapper, &registry, &*algorithm)?;
        optim.prepare(&mut *algorithm);
        let model = algorithm.architecture();
        let size = image_size(self.shape, &config, &registry, model.graph());
        fix_image_size(model.graph(), size)?;
        let params: usize =
            model.params.iter().filter(|(_, p)| p.role == Role::Weight).map(|(_, p)| p.tensor.len()).sum();
        let batch = synthetic(model, self.batch as usize, size, seed)?;
        if self.by_node && self.mode == Timed::Train {
            return Err(Failure::new("--by-node tells nodes of a forward pass only")
                .with_help("occam bench eval .. --by-node"));
        }
        let precision = optim.autocast().precision;
        let mut bench = Bench { optim, seed, done: 0, batch, by_node: self.by_node, nodes: BTreeMap::new() };
        let load = memory::resident();
        let rounds = self.time(&mut bench, &mut *algorithm, json)?;
        let peak = memory::peak();

        let mut times: Vec<f64> = rounds.iter().flatten().copied().collect();
        times.sort_by(f64::total_cmp);
        let medians: Vec<f64> = rounds.iter().map(|r| median(r)).collect();
        let (middle, least, p90) = (median(&times), quantile(&times, 0.0), quantile(&times, 0.9));
        let rate = f64::from(self.batch) * 1e3 / middle.max(1e-9);
        let threads = rayon::current_num_threads();
        let name = self
            .config
            .config
            .file_stem()
            .map_or_else(|| "model".into(), |s| s.to_string_lossy().into_owned());
        if json {
            let mb = |bytes: Option<u64>| bytes.map(|b| round(b as f64 / MB, 1));
            let medians: Vec<f64> = medians.iter().map(|m| round(*m, 4)).collect();
            print_json(&json!({
                "model": name, "mode": self.mode.name(), "device": self.device.device,
                "precision": precision.to_string(), "batch": self.batch,
                "shape": size, "params": params, "threads": threads, "warmup": self.warmup,
                "iters": self.iters, "rounds": self.rounds,
                "median_ms": round(middle, 4), "min_ms": round(least, 4), "p90_ms": round(p90, 4),
                "images_per_s": round(rate, 2), "round_median_ms": medians,
                "peak_rss_mb": mb(peak), "load_rss_mb": mb(load),
                "nodes_ms": self.by_node.then(|| {
                    let nodes = bench.slowest().into_iter();
                    nodes.map(|(n, ms)| (n, json!(round(ms, 4)))).collect::<serde_json::Map<_, _>>()
                }),
            }));
            return Ok(());
        }
        let [c, h, w] = size;
        print_line(&format!(
            "{name}, {}, {precision}: batch {} of {c}x{h}x{w}, {} parameters, {threads} threads, {} steps\n",
            self.mode.name(),
            self.batch,
            table::count(params as u64),
            times.len(),
        ));
        let row = vec![
            format!("{middle:.2}"),
            format!("{least:.2}"),
            format!("{p90:.2}"),
            format!("{rate:.1}"),
            load.map_or_else(|| "-".into(), table::bytes),
            peak.map_or_else(|| "-".into(), table::bytes),
        ];
        let header = ["median ms", "min ms", "p90 ms", "images/s", "loaded", "peak memory"];
        print_line(&table::render(&header, &[row]));
        if medians.len() > 1 {
            let list: Vec<String> = medians.iter().map(|m| format!("{m:.2}")).collect();
            print_line(&format!("\nmedian ms of the rounds: {}", list.join("  ")));
        }
        if self.by_node {
            let nodes = bench.slowest();
            let all: f64 = nodes.iter().map(|(_, ms)| ms).sum();
            let rows: Vec<Vec<String>> = nodes
                .into_iter()
                .take(20)
                .map(|(name, ms)| vec![name, format!("{ms:.2}"), format!("{:.1}", 100.0 * ms / all)])
                .collect();
            print_line(&format!("\n{}", table::render(&["node", "median ms", "%"], &rows)));
        }
        Ok(())
    }

    /// Milliseconds of every timed step, by round.
    fn time(
        &self,
        bench: &mut Bench,
        algorithm: &mut dyn Algorithm,
        json: bool,
    ) -> Result<Vec<Vec<f64>>, Failure> {
        let mut reporter = console::reporter(json);
        let total = u64::from(self.warmup) + u64::from(self.rounds) * u64::from(self.iters);
        let mut step = || -> Result<f64, Failure> {
            let started = Instant::now();
            match self.mode {
                Timed::Train => bench.train_step(algorithm)?,
                Timed::Eval => bench.eval_step(algorithm)?,
            }
            let ms = started.elapsed().as_secs_f64() * 1e3;
            reporter.progress(&Progress { stage: self.mode.name(), done: bench.done, total, loss: None });
            Ok(ms)
        };
        for _ in 0..self.warmup {
            step()?;
        }
        let rounds = (0..self.rounds).map(|_| (0..self.iters).map(|_| step()).collect()).collect();
        reporter.finished();
        rounds
    }
}

const MB: f64 = (1 << 20) as f64;

const DEFAULT_OPTIM: &str = "optimizer = dict(type='SGD', lr=0.01, momentum=0.9)\n";

/// What steps go on from.
struct Bench {
    optim: Optimizers,
    seed: Seed,
    done: u64,
    batch: Batch,
    by_node: bool,
    /// Milliseconds of every pass, by node.
    nodes: BTreeMap<String, Vec<f64>>,
}

impl Bench {
    fn train_step(&mut self, algorithm: &mut dyn Algorithm) -> Result<(), Failure> {
        let context = StepContext { epoch: 0, iter: self.done, seed: self.seed };
        self.optim.prepare(algorithm);
        let step = algorithm.train_step(&self.batch, &context)?;
        let mut norm = self.optim.step(algorithm, step.gradients)?;
        for part in 1.. {
            let Some(step) = algorithm.next_part(part, &self.batch, &context)? else { break };
            norm = self.optim.step(algorithm, step.gradients)?;
        }
        self.done += 1;
        if let Some(norm) = norm.filter(|n| !n.is_finite()) {
            // A step that moves nothing is not the work that is to be timed.
            let error = occam_train::Error::Diverged {
                name: "gradient norm".into(),
                value: norm as f32,
                iter: self.done,
                kept: None,
            };
            return Err(error.into());
        }
        Ok(())
    }

    fn eval_step(&mut self, algorithm: &dyn Algorithm) -> Result<(), Failure> {
        let model = algorithm.architecture();
        let request = Request { timed: self.by_node, ..Request::new(Mode::Eval) };
        let outputs = model.forward(&model.params.constants(), &self.batch, &request)?;
        // A device may still be computing when a run returns; what was read has been computed.
        for output in &outputs.outputs {
            output.to_array()?;
        }
        for (node, seconds) in outputs.times {
            self.nodes.entry(node).or_default().push(seconds * 1e3);
        }
        self.done += 1;
        Ok(())
    }

    /// Nodes with their median milliseconds, slowest first.
    fn slowest(&self) -> Vec<(String, f64)> {
        let mut nodes: Vec<_> = self.nodes.iter().map(|(n, t)| (n.clone(), median(t))).collect();
        nodes.sort_by(|a, b| b.1.total_cmp(&a.1));
        nodes
    }
}

/// Normal images with uniform labels.
fn synthetic(model: &Model, n: usize, [c, h, w]: [usize; 3], seed: Seed) -> Result<Batch, Failure> {
    let graph = model.graph();
    let classes = match graph.outputs() {
        [(_, scores)] => graph.value(*scores)?.fact.shape.get(1).and_then(occam_graph::Dim::known),
        _ => None,
    };
    let Some(classes) = classes else {
        return Err(Failure::new("only classifiers with one output of scores can be measured"));
    };
    let size = [n, c, h, w].iter().try_fold(1_usize, |size, d| size.checked_mul(*d));
    let mut pixels: Vec<f32> = Vec::new();
    if size.is_none_or(|size| pixels.try_reserve_exact(size).is_err()) {
        return Err(Failure::new(format!("{n} images of {c}x{h}x{w} do not fit into memory"))
            .with_help("set a smaller --batch or --shape"));
    }
    let mut rng = seed.stream("bench images", &[]);
    pixels.extend((0..size.unwrap_or(0)).map(|_| rng.normal()));
    let mut rng = seed.stream("bench labels", &[]);
    let samples = (0..n).map(|index| DataSample {
        gt_label: vec![i64::try_from(rng.below(classes)).unwrap_or(0)],
        index,
        ori_shape: [h, w],
        img_shape: [h, w],
        ..DataSample::default()
    });
    let samples = samples.collect();
    Ok(Batch { inputs: Array::from_f32([n, c, h, w], pixels)?, samples })
}

/// The smallest of sorted times that a share `q` of all does not exceed.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.get(middle) {
        None => f64::NAN,
        Some(upper) if sorted.len() % 2 == 1 => *upper,
        Some(upper) => (upper + sorted.get(middle.saturating_sub(1)).unwrap_or(upper)) / 2.0,
    }
}

fn round(x: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (x * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::{median, quantile, round};

    #[test]
    fn figures_of_times() {
        let times: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!((median(&times), quantile(&times, 0.0), quantile(&times, 0.9)), (5.5, 1.0, 9.0));
        assert_eq!((median(&[3.0, 1.0, 2.0]), quantile(&[7.0], 0.9)), (2.0, 7.0));
        assert_eq!(round(1.23456, 2), 1.23);
    }
}
