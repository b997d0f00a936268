//! Parameters of a model on a device.

use indexmap::IndexMap;
use occam_graph::{Graph, Role, Weights};

use crate::{Device, Error, Gradients, Result, Tensor};

/// One parameter.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its elements, without a tape.
    pub tensor: Tensor,
    /// What it is for.
    pub role: Role,
    /// Whether gradients are computed for it; never true of buffers and of what is frozen.
    pub trainable: bool,
    /// Whether the graph says that it never learns.
    pub frozen: bool,
}

/// Parameters by name, in the order of the model's state dict.
#[derive(Debug, Clone, Default)]
pub struct Params {
    map: IndexMap<String, Param>,
}

/// Parameters as one run sees them: leaves of a tape, or constants.
pub type Bound = IndexMap<String, Tensor>;

impl Params {
    /// The parameters of `graph`, with the elements of `weights`; all weights that are not frozen are trainable.
    ///
    /// # Errors
    /// One is missing in `weights`, or has another shape.
    pub fn new(graph: &Graph, weights: &Weights, device: &Device) -> Result<Self> {
        let mut map = IndexMap::new();
        for (_, value) in graph.params() {
            let refuse = |message: String| Error::Param { name: value.name.clone(), message };
            let array = weights.get(&value.name).ok_or_else(|| refuse("it was not given".into()))?;
            if value.fact.known_shape().as_deref() != Some(array.shape()) {
                return Err(refuse(format!("{} wanted, {array:?} given", value.fact)));
            }
            let role = value.role().unwrap_or(Role::Buffer);
            let tensor = Tensor::from_array(array, device)?;
            let frozen = value.frozen;
            let trainable = role == Role::Weight && !frozen;
            map.insert(value.name.clone(), Param { tensor, role, trainable, frozen });
        }
        Ok(Self { map })
    }

    /// Copies all elements to host memory.
    ///
    /// # Errors
    /// The device failed.
    pub fn to_weights(&self) -> Result<Weights> {
        self.map.iter().map(|(name, p)| Ok((name.clone(), p.tensor.to_array()?))).collect()
    }

    /// All parameters in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Param)> {
        self.map.iter().map(|(name, p)| (name.as_str(), p))
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// The parameter of that name.
    pub fn get(&self, name: &str) -> Option<&Param> {
        self.map.get(name)
    }

    /// Gives a parameter new elements of the same shape.
    ///
    /// # Errors
    /// There is none of that name, or the shapes differ.
    pub fn set(&mut self, name: &str, tensor: Tensor) -> Result<()> {
        let refuse = |message: String| Error::Param { name: name.into(), message };
        let param = self.map.get_mut(name).ok_or_else(|| refuse("there is none".into()))?;
        if param.tensor.shape() != tensor.shape() {
            return Err(refuse(format!("{:?} cannot become {tensor:?}", param.tensor)));
        }
        param.tensor = tensor.detach();
        Ok(())
    }

    /// Gives a parameter the elements that `f` makes of them. `f` may change them in their place: the tensor that it gets
    /// is the only one if no run still holds another.
    ///
    /// # Errors
    /// There is none of that name, `f` failed (the parameter is lost then) or changed the shape.
    pub fn update(&mut self, name: &str, f: impl FnOnce(Tensor) -> Result<Tensor>) -> Result<()> {
        let refuse = |message: String| Error::Param { name: name.into(), message };
        let param = self.map.get_mut(name).ok_or_else(|| refuse("there is none".into()))?;
        let shape = param.tensor.shape();
        let empty = Tensor::full(&[0], 0.0, &param.tensor.device());
        let moved = f(std::mem::replace(&mut param.tensor, empty))?;
        if moved.shape() != shape {
            return Err(refuse(format!("{shape:?} cannot become {moved:?}")));
        }
        param.tensor = moved.detach();
        Ok(())
    }

    /// Makes weights trainable or not; buffers and what is frozen never are.
    pub fn set_trainable(&mut self, wanted: impl Fn(&str) -> bool) {
        for (name, p) in &mut self.map {
            p.trainable = p.role == Role::Weight && !p.frozen && wanted(name);
        }
    }

    /// For a run that builds no tape.
    pub fn constants(&self) -> Bound {
        self.map.iter().map(|(name, p)| (name.clone(), p.tensor.clone())).collect()
    }

    /// For a run whose loss will be differentiated: trainable weights are leaves.
    pub fn leaves(&self) -> Bound {
        self.map
            .iter()
            .map(|(name, p)| {
                let tensor = if p.trainable { p.tensor.require_grad() } else { p.tensor.clone() };
                (name.clone(), tensor)
            })
            .collect()
    }
}

/// Takes the gradients of all leaves of `bound`; a leaf that the loss does not depend on has none.
pub fn collect(bound: &Bound, gradients: &mut Gradients) -> IndexMap<String, Tensor> {
    bound.iter().filter_map(|(name, leaf)| Some((name.clone(), gradients.take(leaf)?))).collect()
}
