//! Occam makes trained vision models smaller and faster, and proves it.
//!
//! The facade over its crates: configs ([`config`]), graphs ([`graph`]), their meaning ([`interp`]), files ([`io`]), the engine ([`engine`]), data
//! ([`data`]), architectures ([`zoo`]), training ([`train`]), distillation ([`distill`]), where models may change ([`space`]),
//! pruning ([`prune`]) and quantization ([`quant`]).
//!
//! ```
//! let registry = occam::registry();
//! assert!(registry.names::<dyn occam::zoo::Backbone>().contains(&"ResNet"));
//! ```

pub use occam_config as config;
pub use occam_data as data;
pub use occam_distill as distill;
pub use occam_engine as engine;
pub use occam_graph as graph;
pub use occam_interp as interp;
pub use occam_io as io;
pub use occam_prune as prune;
pub use occam_quant as quant;
pub use occam_space as space;
pub use occam_train as train;
pub use occam_zoo as zoo;

/// All components of this build, by name. A program with components of its own registers them after these.
pub fn registry() -> config::Registry {
    let mut registry = config::Registry::new();
    data::register(&mut registry);
    zoo::register(&mut registry);
    train::register(&mut registry);
    distill::register(&mut registry);
    prune::register(&mut registry);
    quant::register(&mut registry);
    registry
}
