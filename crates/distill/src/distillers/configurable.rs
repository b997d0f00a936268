//! Losses wired to records by config.

use indexmap::IndexMap;
use occam_config::{Error, Registry, Value};
use occam_graph::Source as Origin;
use occam_train::Result;
use occam_zoo::Losses;
use serde::Deserialize;

use super::{Distiller, DistillerConfig, Side};
use crate::entries::{Entry, choices, entries, list, none_of};
use crate::losses;
use crate::{DistillLoss, Observed, Recorder, Selection, Slot, Subject, Watch};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    student_recorders: Option<Value>,
    #[serde(default)]
    teacher_recorders: Option<Value>,
    #[serde(default)]
    distill_deliveries: Option<Value>,
    #[serde(default)]
    connectors: Option<Value>,
    #[serde(default)]
    distill_losses: Option<Value>,
    #[serde(default)]
    loss_forward_mappings: Option<Value>,
    #[serde(default)]
    init_cfg: Option<Value>,
}

/// Where one argument of a loss comes from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    recorder: Value,
    from_student: bool,
    #[serde(default)]
    record_idx: i64,
    #[serde(default)]
    data_idx: Option<i64>,
    #[serde(default)]
    connector: Option<Value>,
    #[serde(default)]
    connector_idx: Option<Value>,
}

/// Any losses of any records, wired by config.
///
/// | key | |
/// |---|---|
/// | `student_recorders`, `teacher_recorders` | recorders by name, of each model |
/// | `distill_losses` | losses by name |
/// | `loss_forward_mappings` | by loss and then by argument of the loss: which record it gets |
/// | `connectors`, `distill_deliveries` | not supported; must be left out, `None` or empty |
///
/// An argument is a dict:
///
/// | key | default | |
/// |---|---|---|
/// | `recorder` | | name of a recorder of that model |
/// | `from_student` | | whether of the student's or the teacher's recorders |
/// | `record_idx` | 0 | which call of the module; negative numbers count from the last |
/// | `data_idx` | None | which item, where a record is a tuple |
/// | `connector`, `connector_idx` | None | not supported |
///
/// A loss whose name has no `loss` in it is logged and not differentiated, which is a warning. Every argument of
/// every loss must be given. The original lets losses without arguments pass unused; here they are an error.
pub struct ConfigurableDistiller {
    student_recorders: Recorders,
    teacher_recorders: Recorders,
    terms: Vec<TermConfig>,
    warnings: Vec<String>,
}

/// Recorders of one model, by name.
type Recorders = IndexMap<String, Box<dyn Recorder>>;

/// A loss and its arguments, in the order in which it takes them.
struct TermConfig {
    name: String,
    loss: Box<dyn DistillLoss>,
    arguments: Vec<Argument>,
}

struct Argument {
    recorder: String,
    side: Side,
    record_idx: i64,
    data_idx: Option<i64>,
    /// The dict, for the place of errors.
    value: Value,
}

impl Side {
    /// The key of its recorders.
    fn recorders(self) -> &'static str {
        match self {
            Side::Student => "student_recorders",
            Side::Teacher => "teacher_recorders",
        }
    }

    fn other(self) -> Self {
        match self {
            Side::Student => Side::Teacher,
            Side::Teacher => Side::Student,
        }
    }
}

pub(super) fn build(value: &Value, registry: &Registry) -> Result<Box<dyn DistillerConfig>, Error> {
    Ok(Box::new(ConfigurableDistiller::from_config(value, registry)?))
}

impl ConfigurableDistiller {
    /// Reads its config and checks how losses and recorders are wired.
    ///
    /// # Errors
    /// A key is unknown or of the wrong type; a loss lacks arguments, or is given ones that it does not take; a
    /// recorder does not exist.
    pub fn from_config(value: &Value, registry: &Registry) -> Result<Self, Error> {
        let config: Config = value.parse()?;
        none_of("connectors", config.connectors.as_ref())?;
        none_of("distill_deliveries", config.distill_deliveries.as_ref())?;
        none_of("init_cfg", config.init_cfg.as_ref())?;

        let recorders = |side: Side, value: &Option<Value>| -> Result<Recorders, Error> {
            let build = |entry: Entry<'_>| {
                let recorder = registry.build::<dyn Recorder>(entry.value);
                let context = format!("while building `{}.{}`", side.recorders(), entry.name);
                Ok((entry.name.to_owned(), recorder.map_err(|e| e.with_context(context))?))
            };
            entries(side.recorders(), value.as_ref())?.into_iter().map(build).collect()
        };
        let student_recorders = recorders(Side::Student, &config.student_recorders)?;
        let teacher_recorders = recorders(Side::Teacher, &config.teacher_recorders)?;
        let known = |side: Side| match side {
            Side::Student => &student_recorders,
            Side::Teacher => &teacher_recorders,
        };

        let losses = entries("distill_losses", config.distill_losses.as_ref())?;
        let mappings = entries("loss_forward_mappings", config.loss_forward_mappings.as_ref())?;
        for Entry { name, key, value } in &losses {
            if !mappings.iter().any(|mapping| mapping.name == *name) {
                return Err(Error::new(format!("the loss {name:?} has no entry in `loss_forward_mappings`"))
                    .with_help("say there which record each of its arguments gets")
                    .with_span(key.cloned())
                    .at(value));
            }
        }
        let mut terms = Vec::new();
        let mut warnings = Vec::new();
        for Entry { name, key, value } in &mappings {
            let Some(config) = losses.iter().find(|loss| loss.name == *name) else {
                return Err(Error::new(format!("there is no loss {name:?} in `distill_losses`"))
                    .with_help(choices("known losses", name, losses.iter().map(|loss| loss.name)))
                    .with_span(key.cloned())
                    .at(value));
            };
            let context =
                |error: Error| error.with_context(format!("while building `distill_losses.{name}`"));
            let loss = losses::build(config.value, registry).map_err(context)?;
            if !name.contains("loss") {
                warnings.push(format!(
                    "the distillation loss {name:?} is only logged: a name needs `loss` in it to be learned from"
                ));
            }
            let kind = config.value.type_name().unwrap_or(name);
            let arguments = arguments(name, kind, &*loss, value, known)?;
            terms.push(TermConfig { name: (*name).to_owned(), loss, arguments });
        }
        Ok(Self { student_recorders, teacher_recorders, terms, warnings })
    }
}

/// The arguments of one loss: the entry `name` of `loss_forward_mappings`.
fn arguments<'a>(
    name: &str,
    kind: &str,
    loss: &dyn DistillLoss,
    value: &Value,
    recorders: impl Fn(Side) -> &'a Recorders,
) -> Result<Vec<Argument>, Error> {
    let given = entries(&format!("loss_forward_mappings.{name}"), Some(value))?;
    let wanted = loss.args();
    for entry in &given {
        if !wanted.contains(&entry.name) {
            return Err(Error::new(format!("{kind} takes no argument {:?}", entry.name))
                .with_help(choices("its arguments", entry.name, wanted.iter().copied()))
                .with_span(entry.key.cloned())
                .at(entry.value));
        }
    }
    let missing = wanted.iter().copied().filter(|arg| !given.iter().any(|entry| entry.name == *arg));
    let missing = list(missing.collect::<Vec<_>>().iter().copied());
    wanted
        .iter()
        .map(|arg| match given.iter().find(|entry| entry.name == *arg) {
            Some(entry) => argument(entry.value, &recorders),
            None => {
                Err(Error::new(format!("the loss {name:?} lacks arguments of {kind}: {missing}")).at(value))
            }
        })
        .collect()
}

/// Where one argument of a loss comes from.
fn argument<'a>(value: &Value, recorders: &impl Fn(Side) -> &'a Recorders) -> Result<Argument, Error> {
    let rule: Rule = value.parse()?;
    for (key, found) in [("connector", &rule.connector), ("connector_idx", &rule.connector_idx)] {
        if let Some(found) = found {
            return Err(Error::new(format!("`{key}` is not supported; leave it out or None")).at(found));
        }
    }
    let Some(recorder) = rule.recorder.as_str() else {
        let found = rule.recorder.kind.python_name();
        return Err(Error::new(format!("`recorder` must be a str, found {found}")).at(&rule.recorder));
    };
    let side = if rule.from_student { Side::Student } else { Side::Teacher };
    if !recorders(side).contains_key(recorder) {
        let help = if recorders(side.other()).contains_key(recorder) {
            let instead = if rule.from_student { "False" } else { "True" };
            format!("it is in `{}`: set `from_student={instead}`", side.other().recorders())
        } else {
            choices("known recorders", recorder, recorders(side).keys().map(String::as_str))
        };
        return Err(Error::new(format!("there is no recorder {recorder:?} in `{}`", side.recorders()))
            .with_help(help)
            .at(&rule.recorder));
    }
    Ok(Argument {
        recorder: recorder.to_owned(),
        side,
        record_idx: rule.record_idx,
        data_idx: rule.data_idx,
        value: value.clone(),
    })
}

impl DistillerConfig for ConfigurableDistiller {
    fn build(
        self: Box<Self>,
        student: &Subject<'_>,
        teacher: &Subject<'_>,
    ) -> Result<Box<dyn Distiller>, Error> {
        let locate = |side: Side, subject: &Subject<'_>, recorders: &Recorders| {
            let mut records = IndexMap::new();
            for (name, recorder) in recorders {
                let context = format!("while looking for the source of `{}.{name}`", side.recorders());
                records.insert(name.clone(), recorder.locate(subject).map_err(|e| e.with_context(context))?);
            }
            Ok::<_, Error>(records)
        };
        let student_records = locate(Side::Student, student, &self.student_recorders)?;
        let teacher_records = locate(Side::Teacher, teacher, &self.teacher_recorders)?;

        let mut wired = Wired { warnings: self.warnings, ..Wired::default() };
        for term in self.terms {
            let mut arguments = Vec::with_capacity(term.arguments.len());
            for argument in term.arguments {
                let (subject, records, watch, teaches) = match argument.side {
                    Side::Student => {
                        (student, &student_records, &mut wired.student, &mut wired.teaches_student)
                    }
                    Side::Teacher => {
                        (teacher, &teacher_records, &mut wired.teacher, &mut wired.teaches_teacher)
                    }
                };
                let records = records
                    .get(&argument.recorder)
                    .ok_or_else(|| Error::new(format!("there is no recorder {:?}", argument.recorder)))?;
                let selection = records.select(argument.record_idx, argument.data_idx).map_err(|e| {
                    e.at(&argument.value).with_context(format!("in `loss_forward_mappings.{}`", term.name))
                })?;
                watch.add(&selection);
                *teaches |= term.name.contains("loss") && is_computed(&selection, subject);
                arguments.push((argument.side, selection));
            }
            wired.terms.push(Term { name: term.name, loss: term.loss, arguments });
        }
        Ok(Box::new(wired))
    }
}

/// Whether a value depends on the model, as images and labels do not.
fn is_computed(selection: &Selection, subject: &Subject<'_>) -> bool {
    match selection {
        Selection::Known(Slot::Labels) => false,
        Selection::Known(Slot::Value(v)) => {
            subject.graph().value(*v).is_ok_and(|value| value.source != Origin::Input)
        }
        Selection::Site { .. } => true,
    }
}

/// A distiller that knows the two models.
#[derive(Default)]
struct Wired {
    terms: Vec<Term>,
    student: Watch,
    teacher: Watch,
    teaches_student: bool,
    teaches_teacher: bool,
    warnings: Vec<String>,
}

struct Term {
    name: String,
    loss: Box<dyn DistillLoss>,
    arguments: Vec<(Side, Selection)>,
}

impl Distiller for Wired {
    fn watch(&self, side: Side) -> &Watch {
        match side {
            Side::Student => &self.student,
            Side::Teacher => &self.teacher,
        }
    }

    fn losses(&self, student: &Observed, teacher: &Observed) -> Result<Losses> {
        let observed = |side: Side| match side {
            Side::Student => student,
            Side::Teacher => teacher,
        };
        let term = |term: &Term| {
            let arguments: Result<Vec<_>> =
                term.arguments.iter().map(|(side, selection)| observed(*side).get(selection)).collect();
            arguments.and_then(|arguments| term.loss.forward(&arguments))
        };
        self.terms
            .iter()
            .map(|t| {
                let context = format!("in the distillation loss {:?}", t.name);
                let value = term(t).map_err(|e| Error::from(e).with_context(context))?;
                Ok((t.name.clone(), value))
            })
            .collect()
    }

    fn teaches(&self, side: Side) -> bool {
        match side {
            Side::Student => self.teaches_student,
            Side::Teacher => self.teaches_teacher,
        }
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}
