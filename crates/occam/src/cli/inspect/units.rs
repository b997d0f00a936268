//! Channel units of a graph.

use occam_graph::Graph;
use occam_space::{Channel, Trace, TraceOptions, Unit, trace};
use serde_json::json;

use super::Args;
use crate::cli::Outcome;
use crate::console::{print_json, print_line};
use crate::diagnostic::Failure;
use crate::table;

/// Tells all units, or one of them.
pub fn tell(args: &Args, graph: &Graph, json: bool) -> Outcome {
    let trace = trace(graph, &TraceOptions::default())?;
    match &args.why {
        Some(name) => one(graph, &trace, name, json),
        None => all(&trace, json),
    }
}

fn all(trace: &Trace, json: bool) -> Outcome {
    if json {
        let units: Vec<_> = trace.units.iter().map(as_json).collect();
        print_json(&json!({ "units": units, "prunable": trace.prunable().count() }));
        return Ok(());
    }
    let note = |u: &Unit| match &u.kept_by {
        Some(why) => format!("kept: {why}"),
        None if u.exact => String::new(),
        None => "a layer takes statistics over them".into(),
    };
    let row = |u: &Unit| {
        vec![
            u.name.clone(),
            u.channels.to_string(),
            u.output_related.len().to_string(),
            u.input_related.len().to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = trace.units.iter().map(row).collect();
    let text = table::render(&["unit", "channels", "computed by", "read by"], &rows);
    let notes = ["", ""].into_iter().map(str::to_owned).chain(trace.units.iter().map(note));
    for (line, note) in text.lines().zip(notes) {
        print_line(format!("{line}  {note}").trim_end());
    }
    print_line(&format!("\n{} units, {} can be pruned", trace.units.len(), trace.prunable().count()));
    Ok(())
}

/// The unit of that name, or else the units that a layer of that name computes, or else those that it reads.
fn find<'a>(trace: &'a Trace, name: &str) -> Result<Vec<&'a Unit>, Failure> {
    let of = |list: fn(&Unit) -> &[Channel]| -> Vec<&'a Unit> {
        trace.units.iter().filter(|u| list(u).iter().any(|c| c.name == name)).collect()
    };
    let named: Vec<&Unit> = trace.units.iter().filter(|u| u.name == name).collect();
    for found in [named, of(|u| &u.output_related), of(|u| &u.input_related)] {
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let layers = trace.units.iter().flat_map(|u| u.output_related.iter().chain(&u.input_related));
    let names: Vec<&str> =
        layers.map(|c| c.name.as_str()).chain(trace.units.iter().map(|u| u.name.as_str())).collect();
    let failure = Failure::new(format!("--why: there is no unit and no layer `{name}`"));
    Err(match occam_config::suggest(name, names.into_iter()) {
        Some(hint) => failure.with_help(format!("did you mean `{hint}`?")),
        None => failure.with_help("occam inspect MODEL --units lists all units"),
    })
}

fn one(graph: &Graph, trace: &Trace, name: &str, json: bool) -> Outcome {
    for unit in find(trace, name)? {
        if json {
            print_json(&as_json(unit));
            continue;
        }
        print_line(&format!("{}: {} channels", unit.name, unit.channels));
        match &unit.kept_by {
            Some(why) => print_line(&format!("  cannot be pruned: {why}")),
            None if unit.exact => {
                print_line("  can be pruned; removing channels that are 0 changes nothing else")
            }
            None => print_line(
                "  can be pruned; a layer takes statistics over them, so all that stay change a little",
            ),
        }
        for (title, list) in [("computed by", &unit.output_related), ("read by", &unit.input_related)] {
            for c in list {
                print_line(&format!("  {title} {} [{}, {})", c.name, c.start, c.end));
            }
        }
        for member in &unit.members {
            let value = graph.value(member.value)?;
            if value.role().is_some() || value.constant().is_some() {
                let each = member.per_channel;
                print_line(&format!(
                    "  axis {} of {} {}: {each} a channel",
                    member.axis, value.name, value.fact
                ));
            }
        }
    }
    Ok(())
}

fn as_json(unit: &Unit) -> serde_json::Value {
    let list = |channels: &[Channel]| -> serde_json::Value {
        channels.iter().map(|c| json!({ "name": c.name, "start": c.start, "end": c.end })).collect()
    };
    json!({
        "name": unit.name, "channels": unit.channels, "prunable": unit.kept_by.is_none(),
        "kept_by": unit.kept_by.as_ref().map(ToString::to_string), "exact": unit.exact,
        "output_related": list(&unit.output_related), "input_related": list(&unit.input_related),
    })
}
