//! Normalizations of their own for each width (Yu et al., Slimmable Neural Networks, 2019, arXiv:1812.08928).

use indexmap::IndexMap;
use occam_engine::{Bound, Tensor};
use occam_graph::{Dim, Graph, Op, Role, ValueId};
use occam_train::Result;
use occam_zoo::TaskModel;

use super::Subnet;

/// By name of a batch normalization's parameter the one that stands for it.
type Names = IndexMap<String, String>;

/// Which parameters a subnet's batch normalizations have in the place of the whole model's.
///
/// A normalization of `n` channels in a subnet that has more in the whole model is
/// `<module>.candidate_bn.<n>`, as the original's `SwitchableBatchNorm2d` calls it; subnets with the same `n` there share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// From the whole model's name to its own.
    to: Names,
    from: Names,
}

impl Switch {
    /// Of a subnet of `graph`.
    ///
    /// # Errors
    /// The graph is broken.
    pub fn of(graph: &Graph, subnet: &Graph) -> occam_graph::Result<Self> {
        let width = |graph: &Graph, id: ValueId| -> occam_graph::Result<Option<usize>> {
            Ok(graph.value(id)?.fact.shape.first().and_then(Dim::known))
        };
        let (mut to, mut from) = (Names::new(), Names::new());
        for (_, node) in graph.nodes() {
            let Op::BatchNorm(_) = node.op else { continue };
            for &id in node.inputs.iter().skip(1) {
                let value = graph.value(id)?;
                let (Some(own), Some((module, leaf))) = (width(subnet, id)?, value.name.rsplit_once('.'))
                else {
                    continue;
                };
                if value.role().is_some() && width(graph, id)? != Some(own) {
                    let name = format!("{module}.candidate_bn.{own}.{leaf}");
                    from.insert(name.clone(), value.name.clone());
                    to.insert(value.name.clone(), name);
                }
            }
        }
        Ok(Self { to, from })
    }

    /// The name under which the whole model keeps what the subnet calls `name`.
    pub fn name<'a>(&'a self, name: &'a str) -> &'a str {
        self.to.get(name).map_or(name, String::as_str)
    }

    /// Adds its parameters to `task`, with the first values of those for which they stand. Says whether there were any new.
    ///
    /// # Errors
    /// A value of that name is another.
    pub fn add_to(&self, task: &mut TaskModel, subnet: &Graph) -> occam_graph::Result<bool> {
        let mut added = false;
        for (own, base) in
            self.from.iter().filter(|(own, _)| task.graph.find(own).is_none()).collect::<Vec<_>>()
        {
            let Some(value) = subnet.find(base).map(|id| subnet.value(id)).transpose()? else { continue };
            let id = task.graph.add_param(own, value.fact.clone(), value.role().unwrap_or(Role::Weight))?;
            if value.frozen {
                task.graph.freeze(id)?;
            }
            task.inits.fill_like(own, base);
            added = true;
        }
        Ok(added)
    }

    /// The leaves of the whole model as the subnet reads them, for [`Subnet::bind`].
    pub fn choose(&self, leaves: &Bound) -> Bound {
        let mut chosen = leaves.clone();
        for (base, own) in &self.to {
            if let Some(tensor) = leaves.get(own) {
                chosen.insert(base.clone(), tensor.clone());
            }
        }
        chosen
    }

    /// Buffers that a run of the subnet gave, by the names under which the whole model keeps them.
    pub fn rename(&self, buffers: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
        buffers.into_iter().map(|(name, tensor)| (self.name(&name).to_owned(), tensor)).collect()
    }

    /// The parameters of a subnet, made of the whole model's.
    ///
    /// # Errors
    /// As [`Subnet::bind`].
    pub fn bind(&self, subnet: &Subnet, leaves: &Bound) -> Result<Bound> {
        subnet.bind(&self.choose(leaves))
    }
}
