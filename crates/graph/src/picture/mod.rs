//! A graph as a picture.
//!
//! Nodes are boxes in layers from top to bottom, each below everything that it reads; within a layer they are ordered so that
//! few edges cross (Sugiyama et al., 1981, doi:10.1109/TSMC.1981.4308636: layers by longest path, edges over several layers
//! through invisible places, order by barycenters).

mod layout;

use std::fmt::Write;

use crate::{Fact, Graph, Node, Op, Result, ValueId};
use layout::{Place, layout};

const ROW: f64 = 64.0;
const HEIGHT: f64 = 40.0;
const GAP: f64 = 24.0;
/// Width of a letter of the font, on average.
const LETTER: f64 = 6.2;

/// What is written into a box, beside what the graph knows.
pub type Note<'a> = &'a dyn Fn(&Node) -> Option<String>;

/// An SVG file of the graph: a box a node with its operator, its name and the shape of its first output; `note` may add to the
/// tool tip of a node.
///
/// # Errors
/// The graph breaks a rule of its own.
pub fn svg(graph: &Graph, title: &str, note: Note<'_>) -> Result<String> {
    let boxes = boxes(graph)?;
    let widths: Vec<f64> = boxes.iter().map(Box::width).collect();
    let edges = edges(graph, &boxes)?;
    let drawing = layout(&widths, &edges.iter().map(|e| (e.from, e.to)).collect::<Vec<_>>(), GAP);
    // The title is of a larger font.
    let heading = title.chars().count() as f64 * LETTER * 1.4;
    let (width, rows) = (drawing.width.max(heading) + 2.0 * GAP, drawing.layers as f64);
    let height = rows * ROW + 2.0 * GAP + 24.0;
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="Helvetica, Arial, sans-serif"><rect width="100%" height="100%" fill="#ffffff"/><text x="{GAP}" y="{GAP}" font-size="14" font-weight="bold" fill="#222">{}</text>"##,
        escape(title)
    );
    let (left, top) = (GAP, GAP + 24.0);
    let y = |layer: usize| top + layer as f64 * ROW;
    out.push_str(r##"<g fill="none" stroke="#9aa4b2" stroke-width="1.2">"##);
    for (edge, route) in edges.iter().zip(&drawing.routes) {
        curve(&mut out, route, &y, left, &edge.name);
    }
    out.push_str("</g>");
    for (b, place) in boxes.iter().zip(&drawing.places) {
        b.draw(&mut out, left + place.x, y(place.layer), graph, note);
    }
    out.push_str("</svg>\n");
    Ok(out)
}

/// A node, an input or an output of the graph.
struct Box {
    kind: Kind,
    head: String,
    name: String,
    shape: String,
    values: Vec<ValueId>,
    node: Option<crate::NodeId>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    End,
    Layer,
    Norm,
    Activation,
    Movement,
    Other,
    Onnx,
}

impl Kind {
    fn of(op: &Op) -> Self {
        match op {
            Op::Conv(_) | Op::Linear(_) | Op::MatMul(_) => Kind::Layer,
            Op::BatchNorm(_) | Op::LayerNorm(_) => Kind::Norm,
            Op::Activation(_) | Op::Softmax(_) => Kind::Activation,
            Op::Concat(_)
            | Op::Slice(_)
            | Op::Transpose(_)
            | Op::Flatten(_)
            | Op::Unflatten(_)
            | Op::ChannelShuffle(_) => Kind::Movement,
            Op::Onnx(_) => Kind::Onnx,
            _ => Kind::Other,
        }
    }

    fn color(self) -> &'static str {
        match self {
            Kind::End => "#e8eaed",
            Kind::Layer => "#cfe2ff",
            Kind::Norm => "#d9f2e3",
            Kind::Activation => "#ffe5cc",
            Kind::Movement => "#f3e3fb",
            Kind::Other => "#fff6c9",
            Kind::Onnx => "#ffd6d6",
        }
    }
}

impl Box {
    fn width(&self) -> f64 {
        let letters = (self.head.chars().count() as f64 * 1.15)
            .max(self.name.chars().count() as f64)
            .max(self.shape.chars().count() as f64);
        (letters * LETTER * 0.92 + 16.0).max(64.0)
    }

    fn draw(&self, out: &mut String, x: f64, y: f64, graph: &Graph, note: Note<'_>) {
        let width = self.width();
        let node = self.node.and_then(|id| graph.node(id).ok());
        let mut tip = node.map_or_else(|| self.name.clone(), |n| n.name.clone());
        if let Some(node) = node {
            for (key, value) in node.op.family().attributes() {
                let _ = write!(tip, "\n{key}: {value}");
            }
            if let Some(more) = note(node) {
                let _ = write!(tip, "\n{more}");
            }
        }
        let _ = write!(
            out,
            r##"<g><title>{}</title><rect x="{:.1}" y="{y:.1}" width="{width:.1}" height="{HEIGHT}" rx="5" fill="{}" stroke="#8a94a3"/>"##,
            escape(&tip),
            x - width / 2.0,
            self.kind.color()
        );
        for (text, dy, size, weight, color) in [
            (&self.head, 13.0, 11, "bold", "#222"),
            (&self.name, 24.0, 9, "normal", "#444"),
            (&self.shape, 35.0, 9, "normal", "#667"),
        ] {
            let _ = write!(
                out,
                r##"<text x="{x:.1}" y="{:.1}" font-size="{size}" font-weight="{weight}" fill="{color}" text-anchor="middle">{}</text>"##,
                y + dy,
                escape(text)
            );
        }
        out.push_str("</g>");
    }
}

/// The last parts of a name that fit.
fn short(name: &str) -> String {
    const MOST: usize = 28;
    let count = name.chars().count();
    if count <= MOST {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(count - MOST + 1).collect();
    format!("…{tail}")
}

fn sizes(fact: &Fact) -> String {
    fact.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

fn boxes(graph: &Graph) -> Result<Vec<Box>> {
    let mut boxes = Vec::new();
    let end = |head: &str, name: &str, fact: &Fact, values: Vec<ValueId>| Box {
        kind: Kind::End,
        head: head.into(),
        name: short(name),
        shape: sizes(fact),
        values,
        node: None,
    };
    for &v in graph.inputs() {
        let value = graph.value(v)?;
        boxes.push(end("input", &value.name, &value.fact, vec![v]));
    }
    for id in graph.order()? {
        let node = graph.node(id)?;
        let shape = node.outputs.first().map(|&v| graph.value(v).map(|v| sizes(&v.fact))).transpose()?;
        boxes.push(Box {
            kind: Kind::of(&node.op),
            head: node.op.family().name().into(),
            name: short(&node.name),
            shape: shape.unwrap_or_default(),
            values: node.outputs.clone(),
            node: Some(id),
        });
    }
    for (name, v) in graph.outputs() {
        boxes.push(end("output", name, &graph.value(*v)?.fact, Vec::new()));
    }
    Ok(boxes)
}

struct Edge {
    from: usize,
    to: usize,
    name: String,
}

fn edges(graph: &Graph, boxes: &[Box]) -> Result<Vec<Edge>> {
    let mut at = std::collections::HashMap::new();
    for (i, b) in boxes.iter().enumerate() {
        at.extend(b.values.iter().map(|&v| (v, i)));
    }
    let mut edges = Vec::new();
    let mut read = |v: ValueId, to: usize| -> Result<()> {
        if let Some(&from) = at.get(&v) {
            let value = graph.value(v)?;
            edges.push(Edge { from, to, name: format!("{} {}", value.name, value.fact) });
        }
        Ok(())
    };
    for (i, b) in boxes.iter().enumerate() {
        if let Some(id) = b.node {
            graph.node(id)?.inputs.iter().try_for_each(|&v| read(v, i))?;
        }
    }
    let first = boxes.len() - graph.outputs().len();
    graph.outputs().iter().enumerate().try_for_each(|(i, (_, v))| read(*v, first + i))?;
    Ok(edges)
}

/// A smooth line from the bottom of a box through all places to the top of another.
fn curve(out: &mut String, route: &[Place], y: &impl Fn(usize) -> f64, left: f64, name: &str) {
    let (Some(first), Some(last)) = (route.first(), route.last()) else { return };
    let mut path = format!("M{:.1},{:.1}", left + first.x, y(first.layer) + HEIGHT);
    for (a, b) in route.iter().zip(route.iter().skip(1)) {
        let (x0, y0) = (left + a.x, y(a.layer) + HEIGHT);
        let (x1, y1) = (left + b.x, y(b.layer));
        let middle = (y0 + y1) / 2.0;
        let _ = write!(path, " C{x0:.1},{middle:.1} {x1:.1},{middle:.1} {x1:.1},{y1:.1}");
        if b.layer != last.layer {
            let _ = write!(path, " L{x1:.1},{:.1}", y1 + HEIGHT);
        }
    }
    let _ = write!(out, r#"<path d="{path}"><title>{}</title></path>"#, escape(name));
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Control characters are not allowed in XML.
            c if c.is_control() && c != '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_and_edge_is_drawn() {
        let graph = crate::ops::examples::small_classifier().unwrap();
        let text = svg(&graph, "a < b", &|_| Some("note".into())).unwrap();
        let count = |needle: &str| text.matches(needle).count();
        let nodes = graph.nodes().count();
        assert_eq!(count("<rect"), 1 + nodes + graph.inputs().len() + graph.outputs().len());
        assert_eq!(count("<path"), nodes + 1);
        assert_eq!(count("note"), nodes);
        assert!(text.contains("a &lt; b") && text.ends_with("</svg>\n"));
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(short("backbone.layer1.0.conv1"), "backbone.layer1.0.conv1");
        assert_eq!(short(&"x".repeat(40)).chars().count(), 28);
    }
}
