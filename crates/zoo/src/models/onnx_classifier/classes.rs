//! Another number of classes.

use occam_graph::{Fact, Graph, Op, Source};

use crate::error::refuse;
use crate::{Init, Inits, Result};

/// Standard deviation of the first values, as those of a `LinearClsHead`.
const STD: f64 = 0.01;

/// Makes the model one of `classes` classes: where the file has another number, the last layer gets new first values.
///
/// # Errors
/// There are no classes, or the last layer is not linear, or others read its weights.
pub(super) fn set(graph: &mut Graph, inits: &mut Inits, classes: usize) -> Result<()> {
    let Some(&(_, output)) = graph.outputs().first() else { return Ok(()) };
    let present = graph.value(output)?.fact.shape.get(1).and_then(|d| d.known());
    if present == Some(classes) {
        return Ok(());
    }
    if classes == 0 {
        return refuse("`num_classes` must be at least 1");
    }
    let Source::Node(id, _) = graph.value(output)?.source else {
        return refuse("`num_classes`: no layer gives the scores");
    };
    let node = graph.node(id)?;
    let own = node.inputs.get(1..).unwrap_or_default().to_vec();
    let alone = own
        .iter()
        .all(|&v| graph.value(v).is_ok_and(|value| value.role().is_some()) && graph.readers(v).len() == 1);
    if node.op != Op::Linear(occam_graph::ops::Linear) || !alone {
        let present = present.map_or_else(|| "others".to_owned(), |n| n.to_string());
        return refuse(format!(
            "`num_classes={classes}` needs a last layer that is linear and can be made anew, but node `{}` ({}) gives \
             the scores of {present} classes",
            node.name,
            node.op.family().name()
        ));
    }
    for v in own {
        let value = graph.value(v)?;
        let (name, mut shape) = (value.name.clone(), value.fact.shape.clone());
        let init = if shape.len() == 2 { Init::Normal { std: STD } } else { Init::Constant(0.0) };
        if let Some(first) = shape.first_mut() {
            *first = classes.into();
        }
        graph.set_fact(v, Fact::f32(shape))?;
        inits.given.shift_remove(&name);
        inits.fills.insert(name, init);
    }
    graph.infer()?;
    Ok(graph.verify()?)
}
