//! Quantizers from configs.

use occam_config::{Error, Registry, Value};
use serde::Deserialize;

use super::rounding::QConfig;
use super::rules::Rules;
use super::tables::{Table, torch_kind};
use super::{Quantizer, Rule};

/// A table with rules.
///
/// | key | default | |
/// |---|---|---|
/// | `global_qconfig` | | by what weights and activations are rounded; see [`QConfig`] |
/// | `no_observer_modules` | `[]` | PyTorch's classes whose operators stay in floats, such as `'torch.nn.Linear'` |
/// | `skip` | `[]` | paths of modules that stay in floats; `*` stands for any letters |
/// | `overrides` | `[]` | pairs of a module's path or pattern and a config of its own, as `global_qconfig` |
/// | `export` | `'QDQ'` | of `OpenVINOQuantizer` alone: what files have, `'QDQ'`, integers, which ONNX Runtime reads too, or `'FakeQuantize'`, the original's form |
/// | `tracer` | | `skipped_module_names` stay in floats; the rest is accepted and means nothing: graphs are not traced here |
/// | `extra_redundant_fakequants` | | lists of classes, functions, methods and kinds of nodes (`output`) before or after which nothing is rounded: `extra_{module,function,method,op}_{prev,next}_wo_fakequant` |
#[derive(Debug)]
struct Own {
    table: Table,
    rules: Rules,
    warnings: Vec<String>,
}

impl Quantizer for Own {
    fn table(&self) -> &Table {
        &self.table
    }

    fn rules(&self) -> &Rules {
        &self.rules
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    global_qconfig: Value,
    #[serde(default)]
    no_observer_modules: Option<Vec<String>>,
    #[serde(default)]
    skip: Vec<String>,
    #[serde(default)]
    overrides: Vec<(String, Value)>,
    #[serde(default)]
    tracer: Option<Value>,
    #[serde(default)]
    extra_redundant_fakequants: Option<Extra>,
    #[serde(default)]
    export: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Extra {
    extra_module_prev_wo_fakequant: Vec<String>,
    extra_module_next_wo_fakequant: Vec<String>,
    extra_function_prev_wo_fakequant: Vec<String>,
    extra_function_next_wo_fakequant: Vec<String>,
    extra_method_prev_wo_fakequant: Vec<String>,
    extra_method_next_wo_fakequant: Vec<String>,
    extra_op_prev_wo_fakequant: Vec<String>,
    extra_op_next_wo_fakequant: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tracer {
    #[serde(default)]
    #[allow(dead_code, reason = "graphs are not traced here")]
    skipped_methods: Option<Vec<String>>,
    #[serde(default)]
    skipped_module_names: Vec<String>,
    #[serde(default)]
    skipped_module_classes: Vec<String>,
}

/// What the tracer is to skip: paths and classes.
fn tracer(value: Option<&Value>) -> Result<(Vec<String>, Vec<String>), Error> {
    let Some(value) = value.filter(|v| !v.is_none()) else { return Ok(Default::default()) };
    if let Some(name) = value.type_name().filter(|n| n.rsplit('.').next() != Some("CustomTracer")) {
        return Err(Error::new(format!("there is no tracer `{name}`, but `CustomTracer`")).at(value));
    }
    let keys: Tracer = value.parse()?;
    Ok((keys.skipped_module_names, keys.skipped_module_classes))
}

fn backend(table: Table, value: &Value, registry: &Registry) -> Result<Box<dyn Quantizer>, Error> {
    let keys: Keys = value.parse()?;
    let mut own = Own {
        rules: Rules::all(QConfig::from_value(&keys.global_qconfig, registry)?),
        table,
        warnings: Vec::new(),
    };
    match keys.export.as_deref() {
        None | Some("QDQ") => {}
        Some("FakeQuantize") if own.table.name == "openvino" => own.table.fake_quantize = true,
        Some(other) => {
            let error = Error::new(format!("there is no form {other:?} of files for this quantizer"));
            let known = if own.table.name == "openvino" { "'QDQ' and 'FakeQuantize'" } else { "'QDQ'" };
            return Err(error.at(value.get("export").unwrap_or(value)).with_help(format!("known: {known}")));
        }
    }
    let (names, classes) = tracer(keys.tracer.as_ref())?;
    for class in keys.no_observer_modules.into_iter().flatten().chain(classes) {
        if !own.rules.add_type(&class, None) {
            own.warnings.push(format!("no operator is a `{class}`: it keeps nothing in floats"));
        }
    }
    for path in names.iter().chain(&keys.skip) {
        own.rules.add_module(path, None);
    }
    for (path, config) in &keys.overrides {
        own.rules.add_module(path, Some(QConfig::from_value(config, registry)?));
    }
    let extra = keys.extra_redundant_fakequants.unwrap_or_default();
    let before = [
        extra.extra_module_prev_wo_fakequant,
        extra.extra_function_prev_wo_fakequant,
        extra.extra_method_prev_wo_fakequant,
        extra.extra_op_prev_wo_fakequant,
    ];
    let after = [
        extra.extra_module_next_wo_fakequant,
        extra.extra_function_next_wo_fakequant,
        extra.extra_method_next_wo_fakequant,
        extra.extra_op_next_wo_fakequant,
    ];
    for (is_before, name) in
        before.into_iter().flatten().map(|n| (true, n)).chain(after.into_iter().flatten().map(|n| (false, n)))
    {
        match torch_kind(&name) {
            _ if is_before && name == "output" => own.table.plain_outputs = true,
            Some(kind) if is_before => own.table.plain_before.push(kind),
            Some(kind) => own.table.plain_after.push(kind),
            None => {
                own.warnings.push(format!("no operator is a `{name}`: nothing stays unrounded around it"))
            }
        }
    }
    Ok(Box::new(own))
}

pub(super) fn native(value: &Value, registry: &Registry) -> Result<Box<dyn Quantizer>, Error> {
    backend(Table::native(), value, registry)
}

pub(super) fn openvino(value: &Value, registry: &Registry) -> Result<Box<dyn Quantizer>, Error> {
    backend(Table::openvino(), value, registry)
}

pub(super) fn tensorrt(value: &Value, registry: &Registry) -> Result<Box<dyn Quantizer>, Error> {
    backend(Table::tensorrt(), value, registry)
}

pub(super) fn onnxruntime(value: &Value, registry: &Registry) -> Result<Box<dyn Quantizer>, Error> {
    backend(Table::onnxruntime(), value, registry)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Academic {
    qconfig_mapping: Mapping,
    #[serde(default)]
    tracer: Option<Value>,
    #[serde(default)]
    prepare_custom_config: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    #[serde(default, rename = "_global_")]
    global: Option<Value>,
    #[serde(default)]
    object_type: Vec<(String, Value)>,
    #[serde(default)]
    module_name: Vec<(String, Value)>,
}

/// `AcademicQuantizer(qconfig_mapping, tracer, prepare_custom_config)`: `qconfig_mapping` has `_global_`, a config, and
/// `object_type` and `module_name`, pairs of a class or a path and a config or None, which keeps it in floats.
pub(super) fn academic(value: &Value, registry: &Registry) -> Result<Box<dyn Quantizer>, Error> {
    let keys: Academic = value.parse()?;
    let config = |v: &Value| -> Result<Option<QConfig>, Error> {
        if v.is_none() { Ok(None) } else { QConfig::from_value(v, registry).map(Some) }
    };
    let mut rules = match keys.qconfig_mapping.global.as_ref().map(&config).transpose()?.flatten() {
        Some(all) => Rules::all(all),
        None => Rules { configs: Vec::new(), global: Rule::Float, types: Vec::new(), modules: Vec::new() },
    };
    let mut warnings = Vec::new();
    for (class, own) in &keys.qconfig_mapping.object_type {
        if !rules.add_type(class, config(own)?) {
            warnings.push(format!("no operator is a `{class}`: its config counts nowhere"));
        }
    }
    for (path, own) in &keys.qconfig_mapping.module_name {
        rules.add_module(path, config(own)?);
    }
    let (names, classes) = tracer(keys.tracer.as_ref())?;
    for path in &names {
        rules.add_module(path, None);
    }
    for class in &classes {
        rules.add_type(class, None);
    }
    if let Some(custom) = keys.prepare_custom_config.filter(|v| !v.is_none()) {
        let listed = |key: &str| custom.get(key).and_then(Value::as_list).is_some_and(|l| !l.is_empty());
        if listed("float_to_observed_custom_module_class") {
            return Err(Error::new("modules of Python are not known here").at(&custom));
        }
    }
    Ok(Box::new(Own { table: Table::academic(), rules, warnings }))
}
