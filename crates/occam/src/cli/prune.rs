//! `occam prune`

mod sparsity;

use std::path::{Path, PathBuf};
use std::time::Instant;

use occam_graph::recognize::recognize;
use occam_io::onnx::{ImportOptions, Imported, export_imported, import, write_model};
use occam_prune::importance::Subject;
use occam_prune::{
    Importance, Limits, Normalizer, Outcome as Found, Scope, Solver, Target, TargetKind, picture,
};
use occam_space::{Divide, Trace, TraceOptions, shrink, subnet, trace};
use serde_json::json;

use super::{Outcome, sizes};
use crate::console::{print_json, print_line};
use crate::diagnostic::Failure;
use crate::table;

/// Remove the channels of an ONNX model that matter least, and write the smaller model
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam prune model.onnx --macs 0.5 -o small.onnx\n  \
    occam prune model.onnx --params 0.25 --importance l1 -o small.onnx --svg widths.svg\n  \
    occam prune model.onnx --macs 0.5 --keep 'layer4.*' --round-to 16 -o small.onnx\n  \
    occam prune model.onnx --subnet widths.json -o small.onnx\n  \
    occam prune model.onnx --sparsity 2:4 -o sparse.onnx\n\n\
    The result is an ordinary file: weights are sliced, nothing is masked (but for --sparsity). What channels can go and why others cannot: \
    occam inspect model.onnx --units")]
pub struct Args {
    /// The ONNX file
    model: PathBuf,
    /// Where the smaller model goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Part of the multiply-accumulates to leave
    #[arg(long, value_name = "PART", group = "target")]
    macs: Option<f64>,
    /// Part of the parameters to leave
    #[arg(long, value_name = "PART", group = "target")]
    params: Option<f64>,
    /// Part of the elements that layers write to leave
    #[arg(long, value_name = "PART", group = "target")]
    activations: Option<f64>,
    /// Make weights 0 in place of removing channels: a part of all (0.5), or of each run along the inputs all but N of M (2:4);
    /// with --uniform the part is that of each layer
    #[arg(long, value_name = "PART|N:M", group = "target")]
    sparsity: Option<occam_prune::sparsity::Pattern>,
    /// Widths of units from a subnet file in place of a target: {\"UNIT\": WIDTH, ..} or a mutator's config
    #[arg(long, value_name = "FILE", group = "target")]
    subnet: Option<PathBuf>,
    /// How much a channel matters
    #[arg(long, value_name = "NAME", default_value = "group-l2")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Importance::all().iter().map(|i| clap::builder::PossibleValue::new(i.name).help(i.about))))]
    importance: String,
    /// How scores of different units are made comparable
    #[arg(long, value_name = "NAME", default_value = "mean")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Normalizer::ALL.iter().map(|(name, _)| *name)))]
    normalizer: String,
    /// Prune every unit by the same part, not those of least importance
    #[arg(long)]
    uniform: bool,
    /// Widths are multiples of this: runtimes compute others more slowly
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    round_to: u16,
    /// The part of a unit that may go at most
    #[arg(long, value_name = "PART", default_value_t = 0.9)]
    max_ratio: f64,
    /// Units and layers that stay as they are; `*` stands for any letters; may be given several times
    #[arg(long, value_name = "NAME")]
    keep: Vec<String>,
    /// The part that may go at most of units or layers of a name: `layer4.*=0.3`
    #[arg(long, value_name = "NAME=PART", value_parser = parse_ratio)]
    ratio: Vec<(String, f64)>,
    /// Remove whole attention heads, not dimensions of all heads
    #[arg(long)]
    heads: bool,
    /// Sizes that the file leaves open, for what it costs [default: 1]: `batch=8`
    #[arg(long, value_name = "NAME=N", value_parser = super::run::parse_dim)]
    dim: Vec<(String, usize)>,
    /// Seed of `--importance random`
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Draw the widths before and after into this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the widths into this file, for `--subnet` and for configs
    #[arg(long, value_name = "FILE")]
    dump_subnet: Option<PathBuf>,
}

fn parse_ratio(text: &str) -> Result<(String, f64), String> {
    let (name, part) = text.rsplit_once('=').ok_or("a part is given as NAME=PART")?;
    let part: f64 = part.parse().map_err(|_| format!("`{part}` is no number"))?;
    if (0.0..1.0).contains(&part) {
        Ok((name.to_owned(), part))
    } else {
        Err("the part must be in 0..1".into())
    }
}

/// Whether `name` is `pattern`, where `*` stands for any letters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        if let Some(pattern) = self.sparsity {
            return sparsity::run(&self.model, &self.output, pattern, self.uniform, &self.keep, json);
        }
        let started = Instant::now();
        if self.target().is_none() && self.subnet.is_none() {
            return Err(Failure::new("nothing says how small the model is to be")
                .with_help("give a part to leave: --macs 0.5, --params 0.5 or --activations 0.5, or widths by --subnet FILE"));
        }
        if !(0.0..=1.0).contains(&self.max_ratio) {
            return Err(Failure::new(format!("--max-ratio {} is no part from 0 to 1", self.max_ratio)));
        }
        let mut model = import(&self.model, &ImportOptions::default())?;
        recognize(&mut model.graph, &mut model.weights)?;
        let divide = if self.heads { Divide::Outermost } else { Divide::Finest };
        let units = trace(&model.graph, &TraceOptions { divide })?;
        let found = self.solve(&model, &units)?;
        let (graph, weights) = shrink(&model.graph, &model.weights, &units, &found.selection)?;
        let seconds = started.elapsed().as_secs_f64();
        write_model(&self.output, &export_imported(&graph, &weights, &model.origin)?)?;
        let widths = found.selection.widths();
        if let Some(path) = &self.dump_subnet {
            let mut text =
                serde_json::to_string_pretty(&subnet::choices(&units, &widths)).unwrap_or_default();
            text.push('\n');
            occam_io::atomic_write(path, |f| std::io::Write::write_all(f, text.as_bytes()))?;
        }
        if let Some(path) = &self.svg {
            let title = self.model.file_name().unwrap_or_default().to_string_lossy();
            let text = picture::widths(&units, &found.selection, &title);
            occam_io::atomic_write(path, |f| std::io::Write::write_all(f, text.as_bytes()))?;
        }
        self.tell(&units, &found, seconds, json);
        Ok(())
    }

    fn target(&self) -> Option<Target> {
        [
            (TargetKind::Macs, self.macs),
            (TargetKind::Params, self.params),
            (TargetKind::Activations, self.activations),
        ]
        .into_iter()
        .find_map(|(kind, part)| Some(Target { kind, part: part? }))
    }

    /// By unit the part that may go at most, where a pattern names it or a layer that computes it.
    fn limits(&self, units: &Trace) -> Result<Limits, Failure> {
        let mut of_unit = vec![None; units.units.len()];
        let kept = self.keep.iter().map(|name| (name, 0.0, "--keep"));
        let limited = self.ratio.iter().map(|(name, part)| (name, *part, "--ratio"));
        for (pattern, part, option) in limited.chain(kept) {
            let mut any = false;
            for (unit, limit) in units.units.iter().zip(&mut of_unit) {
                // A layer stays as it is where its inputs do, too.
                let read = unit.input_related.iter().filter(|_| part == 0.0);
                let layers = unit.output_related.iter().chain(read).map(|c| c.name.as_str());
                if layers.chain([unit.name.as_str()]).any(|name| matches(pattern, name)) {
                    *limit = Some(part);
                    any = true;
                }
            }
            if !any {
                let names: Vec<&str> = units.units.iter().map(|u| u.name.as_str()).collect();
                let failure = Failure::new(format!("{option}: no unit or layer is called `{pattern}`"));
                return Err(match occam_config::suggest(pattern, names.into_iter()) {
                    Some(hint) => failure.with_help(format!("did you mean `{hint}`?")),
                    None => {
                        failure.with_help(format!("occam inspect {} --units lists all", self.model.display()))
                    }
                });
            }
        }
        let scope = if self.uniform { Scope::Uniform } else { Scope::Global };
        Ok(Limits {
            round_to: self.round_to.into(),
            max_ratio: self.max_ratio,
            of_unit,
            scope,
            ..Limits::default()
        })
    }

    fn solve(&self, model: &Imported, units: &Trace) -> Result<Found, Failure> {
        let subject = Subject { graph: &model.graph, weights: &model.weights, trace: units, seed: self.seed };
        let Some(importance) = Importance::find(&self.importance) else {
            return Err(Failure::new(format!("there is no importance `{}`", self.importance)));
        };
        let mut scores = importance.score(&subject)?;
        if let Some((_, normalizer)) = Normalizer::ALL.iter().find(|(name, _)| *name == self.normalizer) {
            normalizer.apply(&mut scores);
        }
        let bindings = sizes::open(&model.graph, &self.dim)?;
        let solver = Solver::new(&model.graph, units, scores, &self.limits(units)?, &bindings)?;
        match (self.target(), &self.subnet) {
            (_, Some(path)) => {
                let at = |message: String| Failure::new(format!("{}: {message}", path.display()));
                let text = std::fs::read_to_string(path).map_err(|e| at(e.to_string()))?;
                let choices = subnet::parse(&text).map_err(|e| at(e.to_string()))?;
                let widths = subnet::widths(units, &choices).map_err(|e| at(e.to_string()))?;
                Ok(solver.at(&widths)?)
            }
            (Some(target), None) => Ok(solver.solve(target)?),
            (None, None) => Err(Failure::new("nothing says how small the model is to be")),
        }
    }

    fn tell(&self, units: &Trace, found: &Found, seconds: f64, json: bool) {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let bytes = [size(&self.model), size(&self.output)];
        let (before, after) = (&found.before, &found.after);
        let changed: Vec<_> = (units.units.iter().enumerate())
            .filter(|(_, u)| u.kept_by.is_none())
            .map(|(i, u)| (u, found.selection.width(i)))
            .collect();
        if json {
            let list: Vec<_> = changed
                .iter()
                .map(|(u, width)| json!({ "unit": u.name, "before": u.channels, "after": width, "exact": u.exact }))
                .collect();
            let needs = |r: &occam_space::Resources, bytes: u64| json!({ "macs": r.macs, "params": r.params, "activations": r.activations, "bytes": bytes });
            print_json(&json!({
                "event": "prune", "output": self.output, "importance": self.importance, "units": list,
                "before": needs(before, bytes[0]), "after": needs(after, bytes[1]), "seconds": seconds,
            }));
            return;
        }
        let rows: Vec<Vec<String>> = changed
            .iter()
            .filter(|(u, width)| *width < u.channels)
            .map(|(u, width)| {
                let part = 100.0 * *width as f64 / u.channels as f64;
                vec![u.name.clone(), u.channels.to_string(), width.to_string(), format!("{part:.0} %")]
            })
            .collect();
        print_line(&table::render(&["unit", "before", "after", "kept"], &rows));
        let times = |a: u64, b: u64| format!("{:.2}x", a as f64 / b.max(1) as f64);
        let row = |what: &str, a: u64, b: u64, show: fn(u64) -> String| {
            vec![what.to_owned(), show(a), show(b), times(a, b)]
        };
        let totals = vec![
            row("MACs", before.macs, after.macs, table::count),
            row("parameters", before.params, after.params, table::count),
            row("activations", before.activations, after.activations, table::count),
            row("file", bytes[0], bytes[1], table::bytes),
        ];
        print_line(&format!("\n{}", table::render(&["", "before", "after", "smaller"], &totals)));
        let kept = units.units.len() - changed.len();
        print_line(&format!(
            "\n{}: {} of {} units are narrower, {kept} must stay as they are; found in {seconds:.2} s",
            self.output.display(),
            rows.len(),
            units.units.len()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_letters() {
        for (pattern, name, wanted) in [
            ("layer4.*", "layer4.0.conv1", true),
            ("*.conv1", "layer4.0.conv1", true),
            ("layer*conv1", "layer4.0.conv1", true),
            ("layer4", "layer4.0", false),
            ("*a*b", "xaxb", true),
            ("a*a", "a", false),
            ("*", "x", true),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
