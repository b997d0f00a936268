//! A student that learns from one teacher (Hinton et al., 2015, arXiv:1503.02531).

use std::path::Path;
use std::sync::Arc;

use occam_config::{Error as ConfigError, Registry, Value};
use occam_data::streams::Draw;
use occam_data::{Batch, Seed};
use occam_engine::{Bound, Mode, Noise, Outputs, Request, collect};
use occam_graph::Weights;
use occam_train::{Algorithm, AlgorithmConfig, Env, Error, Model, Result, Step, StepContext, scalars, total};
use occam_zoo::Losses;
use serde::Deserialize;

use crate::entries::none_of;
use crate::{Distiller, DistillerConfig, Observed, Side, Subject};

/// Prefix of the student's parameters.
const STUDENT: &str = "architecture.";
/// Prefix of the teacher's parameters.
pub(crate) const TEACHER: &str = "teacher.";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    architecture: Value,
    distiller: Value,
    teacher: Value,
    #[serde(default)]
    teacher_ckpt: Option<Value>,
    #[serde(default)]
    teacher_trainable: bool,
    #[serde(default = "yes")]
    teacher_norm_eval: bool,
    #[serde(default = "yes")]
    student_trainable: bool,
    #[serde(default = "yes")]
    calculate_student_loss: bool,
    #[serde(default, rename = "teacher_module_inplace")]
    _teacher_module_inplace: bool,
    #[serde(default, rename = "module_inplace")]
    _module_inplace: bool,
    #[serde(default)]
    data_preprocessor: Option<Value>,
    #[serde(default)]
    init_cfg: Option<Value>,
}

fn yes() -> bool {
    true
}

struct Config {
    keys: Keys,
    distiller: Box<dyn DistillerConfig>,
    /// The whole dict, for the place of errors.
    value: Value,
}

fn parse(value: &Value, registry: &Registry) -> Result<Config, ConfigError> {
    let keys: Keys = value.parse()?;
    none_of("init_cfg", keys.init_cfg.as_ref())?;
    let distiller = registry.build::<dyn DistillerConfig>(&keys.distiller)?;
    Ok(Config { keys, distiller, value: value.clone() })
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn AlgorithmConfig>, ConfigError> {
    Ok(Box::new(parse(value, registry)?))
}

impl AlgorithmConfig for Config {
    fn build(self: Box<Self>, env: &Env<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(SingleTeacherDistill::new(*self, env)?))
    }
}

/// Trains a student by its own loss and by losses between what it and a teacher compute.
///
/// | key | default | |
/// |---|---|---|
/// | `architecture` | | the student: a model, or `dict(cfg_path=..)` |
/// | `teacher` | | the teacher: likewise |
/// | `distiller` | | what is compared; see [`ConfigurableDistiller`](crate::ConfigurableDistiller) |
/// | `teacher_ckpt` | None | safetensors file of the teacher's weights: bare, or a training checkpoint; a relative path starts from the current directory; a teacher that comes from an ONNX file needs none |
/// | `teacher_trainable` | False | whether the teacher learns, by its own loss too |
/// | `teacher_norm_eval` | True | whether the teacher normalizes by its running statistics |
/// | `student_trainable` | True | whether the student learns |
/// | `calculate_student_loss` | True | whether the student's own loss counts |
/// | `data_preprocessor` | the student's | how images are prepared, for both |
/// | `teacher_module_inplace`, `module_inplace` | False | accepted and without effect: no operation works in place |
///
/// A step is a forward pass of the teacher, without a tape unless it is trainable, one of the student, and the
/// gradient of `Σ teacher.* + Σ student.* + Σ distill.*` over all terms with `loss` in their name. `teacher.*` is
/// there where the teacher is trainable, `student.*` where `calculate_student_loss` is set, `distill.*` until
/// [`SingleTeacherDistill::stop_distillation`].
///
/// First values of the student are those that it would have alone with the same seed, so that runs with and without
/// a teacher can be compared in pairs. Those of the teacher, where there is no checkpoint, are independent of them.
///
/// Parameters are called `architecture.*` and `teacher.*`. A teacher that does not change is not in checkpoints.
///
/// The original evaluates only the normalization layers of the teacher by running statistics and leaves its dropout
/// active; here `teacher_norm_eval` evaluates the whole teacher.
pub struct SingleTeacherDistill {
    student: Model,
    teacher: Model,
    distiller: Box<dyn Distiller>,
    teacher_trainable: bool,
    teacher_norm_eval: bool,
    student_trainable: bool,
    calculate_student_loss: bool,
    distillation_stopped: bool,
    data_preprocessor: Option<Value>,
    warnings: Vec<String>,
}

/// What is wanted of one model in a step.
struct Turn<'a> {
    model: &'a Model,
    side: Side,
    trainable: bool,
    mode: Mode,
    /// Whether its own loss counts.
    loss: bool,
    /// Whether it is compared with the other.
    compared: bool,
    /// What its dropout draws from.
    noise: Arc<dyn Noise>,
}

/// What one model computed in a step.
struct Pass {
    params: Bound,
    losses: Losses,
    observed: Observed,
    outputs: Outputs,
}

impl SingleTeacherDistill {
    /// Reads its config and builds both models.
    ///
    /// # Errors
    /// The config is wrong, the teacher's checkpoint cannot be read or is of another model, or nothing would be
    /// learned.
    pub fn from_config(value: &Value, env: &Env<'_>) -> Result<Self> {
        Self::new(parse(value, env.registry)?, env)
    }

    fn new(config: Config, env: &Env<'_>) -> Result<Self> {
        let Config { keys, distiller, value } = config;
        let student = env.task_model(&keys.architecture)?;
        let data_preprocessor = keys.data_preprocessor.or_else(|| student.data_preprocessor.clone());
        let mut student = Model::new(student, env.seed, &env.device)?;
        let mut teacher = Model::new(env.task_model(&keys.teacher)?, teacher_seed(env.seed), &env.device)?;

        let mut warnings = Vec::new();
        match &keys.teacher_ckpt {
            Some(path) => load(&mut teacher, path)?,
            None if keys.teacher_trainable || teacher.file().is_some() => {}
            None => {
                warnings.push("the teacher has no `teacher_ckpt`: it teaches what random weights give".into())
            }
        }
        let distiller = distiller.build(&Subject::from(&student), &Subject::from(&teacher))?;
        warnings.extend_from_slice(distiller.warnings());

        let student_learns =
            keys.student_trainable && (keys.calculate_student_loss || distiller.teaches(Side::Student));
        if !student_learns && !keys.teacher_trainable {
            let why = if keys.student_trainable {
                "no distillation loss depends on the student and `calculate_student_loss=False`"
            } else {
                "neither student nor teacher is trainable"
            };
            return Err(ConfigError::new(format!("nothing would be learned: {why}")).at(&value).into());
        }
        student.params.set_trainable(|_| keys.student_trainable);
        teacher.params.set_trainable(|_| keys.teacher_trainable);
        Ok(Self {
            student,
            teacher,
            distiller,
            teacher_trainable: keys.teacher_trainable,
            teacher_norm_eval: keys.teacher_norm_eval,
            student_trainable: keys.student_trainable,
            calculate_student_loss: keys.calculate_student_loss,
            distillation_stopped: false,
            data_preprocessor,
            warnings,
        })
    }

    /// The model that is learned from.
    pub fn teacher(&self) -> &Model {
        &self.teacher
    }

    /// Whether distillation losses are left out.
    pub fn distillation_stopped(&self) -> bool {
        self.distillation_stopped
    }

    /// Leaves distillation losses out from the next step on, or takes them in again. A teacher that is not trainable
    /// does not run meanwhile.
    pub fn stop_distillation(&mut self, stopped: bool) {
        self.distillation_stopped = stopped;
    }
}

impl Turn<'_> {
    fn run(&self, distiller: &dyn Distiller, batch: &Batch) -> Result<Pass> {
        let watch = distiller.watch(self.side);
        let params = if self.trainable { self.model.params.leaves() } else { self.model.params.constants() };
        let request = if self.compared { watch.request(self.mode) } else { Request::new(self.mode) };
        let request = Request { noise: Some(self.noise.clone()), ..request };
        let mut outputs = self.model.forward(&params, batch, &request)?;
        let mut sites = watch.sites();
        let mut losses = Losses::new();
        if self.loss || (self.compared && watch.needs_loss()) {
            losses = self.model.loss(&outputs, batch, &mut sites)?;
        }
        if !self.loss {
            losses.clear();
        }
        let observed = if self.compared {
            watch.gather(&mut outputs, sites, batch, self.model.device())?
        } else {
            Observed::default()
        };
        Ok(Pass { params, losses, observed, outputs })
    }
}

impl Algorithm for SingleTeacherDistill {
    fn data_preprocessor(&self) -> Option<&Value> {
        self.data_preprocessor.as_ref()
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn train_step(&mut self, batch: &Batch, context: &StepContext) -> Result<Step> {
        let compared = !self.distillation_stopped;
        let distiller = &*self.distiller;
        let mut losses = Losses::new();
        let mut add = |prefix: &str, terms: Losses| {
            losses.extend(terms.into_iter().map(|(name, term)| (format!("{prefix}.{name}"), term)));
        };

        let mut teacher = None;
        if compared || self.teacher_trainable {
            let mut pass = Turn {
                model: &self.teacher,
                side: Side::Teacher,
                trainable: self.teacher_trainable,
                mode: if self.teacher_norm_eval { Mode::Eval } else { Mode::Train },
                loss: self.teacher_trainable,
                compared,
                noise: context.noise(TEACHER),
            }
            .run(distiller, batch)?;
            add("teacher", std::mem::take(&mut pass.losses));
            teacher = Some(pass);
        }
        let mut student = Turn {
            model: &self.student,
            side: Side::Student,
            trainable: self.student_trainable,
            mode: Mode::Train,
            loss: self.calculate_student_loss,
            compared,
            noise: context.noise(STUDENT),
        }
        .run(distiller, batch)?;
        add("student", std::mem::take(&mut student.losses));
        if let (true, Some(teacher)) = (compared, &teacher) {
            add("distill", distiller.losses(&student.observed, &teacher.observed)?);
        }

        let values = scalars(&losses, context)?;
        let mut gradients = total(&losses)?.backward()?;
        let mut step = Step { losses: values, ..Step::default() };
        let mut keep = |prefix: &str, pass: &Pass| {
            let found = collect(&pass.params, &mut gradients);
            step.gradients.extend(found.into_iter().map(|(name, g)| (format!("{prefix}{name}"), g)));
        };
        keep(STUDENT, &student);
        self.student.keep_buffers(&student.outputs)?;
        if let Some(teacher) = &teacher {
            keep(TEACHER, teacher);
            self.teacher.keep_buffers(&teacher.outputs)?;
        }
        Ok(step)
    }

    fn architecture(&self) -> &Model {
        &self.student
    }

    fn models(&self) -> Vec<(&'static str, &Model)> {
        vec![(STUDENT, &self.student), (TEACHER, &self.teacher)]
    }

    fn models_mut(&mut self) -> Vec<(&'static str, &mut Model)> {
        vec![(STUDENT, &mut self.student), (TEACHER, &mut self.teacher)]
    }

    fn is_frozen(&self, prefix: &str) -> bool {
        prefix == TEACHER && !self.teacher_trainable && self.teacher_norm_eval
    }
}

/// A seed of first values that are independent of the student's.
fn teacher_seed(seed: Seed) -> Seed {
    fn word(mut stream: impl Draw) -> u64 {
        stream.next_u64()
    }
    Seed(word(seed.stream("distill.teacher", &[])))
}

/// Gives the teacher the weights of a file.
fn load(teacher: &mut Model, path: &Value) -> Result<()> {
    let Some(name) = path.as_str() else {
        let found = path.kind.python_name();
        return Err(ConfigError::new(format!("`teacher_ckpt` must be a str, found {found}")).at(path).into());
    };
    if name.contains("://") {
        return Err(ConfigError::new("weights are never downloaded")
            .at(path)
            .with_help("download the file and give its path")
            .into());
    }
    let place = |error: Error| {
        let error = ConfigError::from(error);
        let message = format!("the teacher cannot be loaded from {name:?}: {}", error.message());
        Error::Config(ConfigError::new(message).at(path))
    };
    let file = occam_io::weights::read(Path::new(name), &occam_io::weights::ReadOptions::default());
    let weights = file.map_err(|e| place(e.into()))?.weights;
    teacher.load(&own(teacher, weights)).map_err(place)
}

/// The weights of a checkpoint that are meant: under the model's own names, or else under those of an algorithm's
/// student.
fn own(model: &Model, mut weights: Weights) -> Weights {
    let missing = model.params.iter().any(|(name, _)| !weights.contains_key(name));
    if missing && weights.keys().any(|name| name.starts_with(STUDENT)) {
        weights = weights
            .into_iter()
            .filter_map(|(name, array)| Some((name.strip_prefix(STUDENT)?.to_owned(), array)))
            .collect();
    }
    weights
}
