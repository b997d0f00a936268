//! `occam expand`

use std::collections::HashMap;
use std::path::PathBuf;

use occam_graph::recognize::recognize;
use occam_io::onnx::{ImportOptions, export_imported, import, write_model};
use occam_space::{Trace, TraceOptions, Unit, expand, trace};
use serde_json::json;

use super::Outcome;
use crate::console::{print_json, print_line};
use crate::diagnostic::Failure;
use crate::table;
use occam_prune::matches;

/// Most channels of a unit: what is beyond this is a slip of the hand.
const MOST: usize = 1 << 16;

/// Add channels that are 0 to an ONNX model: outputs stay as they are, widths become what hardware likes
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam expand model.onnx --round-to 16 -o wide.onnx\n  \
    occam expand model.onnx --width 'layer1.*=96' -o wide.onnx\n\n\
    Runtimes compute odd widths more slowly than the next multiple of 8 or 16. The new channels compute 0, and can learn where \
    the file is fine-tuned. The names of units: occam inspect model.onnx --units")]
pub struct Args {
    /// The ONNX file
    model: PathBuf,
    /// Where the wider model goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Units become as wide as sizes of layers must be to be multiples of this
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1024))]
    round_to: Option<u16>,
    /// Channels of units, by their own name or that of a layer that computes them, where `*` stands for any letters; may be given several times
    #[arg(long, value_name = "NAME=N", value_parser = super::run::parse_dim)]
    width: Vec<(String, usize)>,
}

/// How many channels each layer computes, by its name.
fn layers(units: &Trace) -> HashMap<&str, usize> {
    let mut layers = HashMap::new();
    for channel in units.units.iter().flat_map(|u| &u.output_related) {
        let end = layers.entry(channel.name.as_str()).or_insert(0);
        *end = channel.end.max(*end);
    }
    layers
}

/// Whether the layers that compute a unit compute nothing else: a multiple of its width is then one of theirs.
fn is_whole(unit: &Unit, layers: &HashMap<&str, usize>) -> bool {
    let mut own: HashMap<&str, usize> = HashMap::new();
    for channel in &unit.output_related {
        *own.entry(channel.name.as_str()).or_default() += channel.end - channel.start;
    }
    own.iter().all(|(name, count)| layers.get(name) == Some(count))
}

/// What widths of a unit are multiples of where sizes of layers are to be multiples of `multiple`: a channel of the unit may be
/// several of a layer.
fn step(unit: &Unit, multiple: usize) -> usize {
    fn gcd(a: usize, b: usize) -> usize {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    let each = unit.members.iter().map(|m| m.per_channel).fold(0, gcd);
    multiple / gcd(multiple, each).max(1)
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        if self.round_to.is_none() && self.width.is_empty() {
            return Err(Failure::new("nothing says how wide the model is to be")
                .with_help("give --round-to 16 for multiples of 16, or --width NAME=N for single units"));
        }
        let mut model = import(&self.model, &ImportOptions::default())?;
        recognize(&mut model.graph, &mut model.weights)?;
        let options = TraceOptions::default();
        let units = trace(&model.graph, &options)?;
        let widths = self.widths(&units)?;
        let (graph, weights) = expand(&model.graph, &model.weights, &units, &options, &widths)?;
        write_model(&self.output, &export_imported(&graph, &weights, &model.origin)?)?;
        let wider: Vec<(&str, usize, usize)> = (units.units.iter().zip(&widths))
            .filter(|(u, w)| u.channels < **w)
            .map(|(u, &w)| (u.name.as_str(), u.channels, w))
            .collect();
        let odd: Vec<(&str, String)> = (units.units.iter().zip(&widths))
            .filter(|(u, w)| self.round_to.is_some_and(|n| !w.is_multiple_of(step(u, n.into()))))
            .map(|(u, _)| {
                let other = match u.exact {
                    true => "layers that compute it compute other units, too",
                    false => "a layer takes statistics of its channels",
                };
                (u.name.as_str(), u.kept_by.as_ref().map_or(other.to_owned(), ToString::to_string))
            })
            .collect();
        let size = std::fs::metadata(&self.output).map_or(0, |m| m.len());
        if json {
            let list: Vec<_> = wider
                .iter()
                .map(|(name, before, after)| json!({ "unit": name, "before": before, "after": after }))
                .collect();
            let stay: Vec<_> =
                odd.iter().map(|(name, why)| json!({ "unit": name, "because": why })).collect();
            print_json(&json!({
                "event": "expand", "output": self.output, "bytes": size, "units": list, "stay": stay,
            }));
            return Ok(());
        }
        let rows: Vec<Vec<String>> = (wider.iter())
            .map(|(name, before, after)| vec![(*name).to_owned(), before.to_string(), after.to_string()])
            .collect();
        if !rows.is_empty() {
            print_line(&table::render(&["unit", "before", "after"], &rows));
        }
        for (name, why) in &odd {
            print_line(&format!("`{name}` stays as it is: {why}"));
        }
        let (count, all) = (wider.len(), units.units.len());
        print_line(&format!(
            "{}: {count} of {all} units are wider, {}",
            self.output.display(),
            table::bytes(size)
        ));
        Ok(())
    }

    /// How many channels each unit is to have.
    fn widths(&self, units: &Trace) -> Result<Vec<usize>, Failure> {
        let mut widths: Vec<usize> = units.units.iter().map(|u| u.channels).collect();
        if let Some(multiple) = self.round_to {
            let layers = layers(units);
            for (unit, width) in units.units.iter().zip(&mut widths) {
                if unit.kept_by.is_none() && unit.exact && is_whole(unit, &layers) {
                    *width = width.next_multiple_of(step(unit, multiple.into()));
                }
            }
        }
        for (pattern, wanted) in &self.width {
            if *wanted > MOST {
                return Err(Failure::new(format!("--width {pattern}={wanted}: more than {MOST} channels")));
            }
            let mut any = false;
            for (unit, width) in units.units.iter().zip(&mut widths) {
                let layers = unit.output_related.iter().map(|c| c.name.as_str());
                if layers.chain([unit.name.as_str()]).any(|name| matches(pattern, name)) {
                    if *wanted < unit.channels {
                        let (name, channels) = (&unit.name, unit.channels);
                        return Err(Failure::new(format!(
                            "--width {pattern}={wanted}: unit `{name}` has {channels} channels, and loses none here"
                        ))
                        .with_help("occam prune removes channels"));
                    }
                    *width = *wanted;
                    any = true;
                }
            }
            if !any {
                let failure = Failure::new(format!("--width: no unit or layer is called `{pattern}`"));
                let names = units.units.iter().map(|u| u.name.as_str());
                return Err(match occam_config::suggest(pattern, names) {
                    Some(hint) => failure.with_help(format!("did you mean `{hint}`?")),
                    None => {
                        failure.with_help(format!("occam inspect {} --units lists all", self.model.display()))
                    }
                });
            }
        }
        Ok(widths)
    }
}

#[cfg(test)]
mod tests {
    use occam_graph::ops::Conv;
    use occam_graph::{Builder, Fact, Role};

    use super::*;

    /// 24 channels, of which the groups of the next layer tie four runs of six: to have multiples of 16, the layers need 8
    /// and not 16 channels a run.
    #[test]
    fn tied_groups_become_no_wider_than_layers_need() {
        let mut b = Builder::new();
        let mut x = b.input("x", Fact::f32([1usize, 3, 4, 4])).unwrap();
        for (name, shape, groups) in
            [("a", [24, 3, 1, 1], 1), ("b", [24, 6, 1, 1], 4), ("c", [2, 24, 1, 1], 1)]
        {
            let w = b.param(&format!("{name}.weight"), &shape, Role::Weight).unwrap();
            x = b.op(name, Conv { groups, ..Conv::default() }, &[x, w]).unwrap();
        }
        b.output("y", x).unwrap();
        let units = trace(&b.finish().unwrap(), &TraceOptions::default()).unwrap();
        let unit = |name: &str| units.units.iter().find(|u| u.name.starts_with(name)).unwrap();
        assert_eq!((unit("a").channels, unit("b").channels), (6, 6));
        // Of what a grouped filter reads, a channel of `a` is one; of what it computes, four.
        assert_eq!((step(unit("a"), 16), step(unit("b"), 16)), (16, 4));
        assert_eq!(step(unit("c"), 16), 16);
    }
}
