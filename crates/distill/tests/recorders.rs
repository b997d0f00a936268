//! What recorders find in a model and what a run gives for it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{batch, model, registry, value};
use occam_data::Seed;
use occam_distill::{Observed, Record, Recorder, Records, Selection, Slot, Subject, Watch};
use occam_engine::{Mode, Tensor};
use occam_train::Model;

fn locate(model: &Model, config: &str) -> Result<Records, String> {
    let recorder = registry().build::<dyn Recorder>(&value(config)).map_err(|e| format!("{e:?}"))?;
    recorder.locate(&Subject::from(model)).map_err(|e| format!("{e:?}"))
}

fn select(model: &Model, config: &str, record_idx: i64, data_idx: Option<i64>) -> Selection {
    locate(model, config).unwrap().select(record_idx, data_idx).unwrap()
}

fn observe(model: &Model, selections: &[Selection]) -> Observed {
    let batch = batch(4);
    let mut watch = Watch::default();
    selections.iter().for_each(|s| watch.add(s));
    let mut outputs = model.forward(&model.params.constants(), &batch, &watch.request(Mode::Eval)).unwrap();
    let mut sites = watch.sites();
    if watch.needs_loss() {
        model.loss(&outputs, &batch, &mut sites).unwrap();
    }
    watch.gather(&mut outputs, sites, &batch, model.device()).unwrap()
}

/// Runs a model and gives the selected values.
fn record<const N: usize>(model: &Model, selections: [Selection; N]) -> [Tensor; N] {
    let observed = observe(model, &selections);
    selections.map(|s| observed.get(&s).unwrap())
}

#[test]
fn a_shared_module_has_several_records() {
    let model = model(Seed(1));
    let relu = "dict(type='ModuleOutputs', source='backbone.layer1.0.relu')";
    let Records::Known(records) = locate(&model, relu).unwrap() else { panic!("not in the graph") };
    assert_eq!(records.len(), 2);
    let [first, second, block, next] = record(
        &model,
        [
            select(&model, relu, 0, None),
            select(&model, relu, 1, None),
            select(&model, "dict(type='ModuleOutputs', source='backbone.layer1.0')", 0, None),
            select(&model, "dict(type='ModuleInputs', source='backbone.layer1.1')", 0, Some(0)),
        ],
    );
    assert_ne!(first.to_array().unwrap(), second.to_array().unwrap());
    assert_eq!(second.to_array().unwrap(), block.to_array().unwrap());
    assert_eq!(second.to_array().unwrap(), next.to_array().unwrap());
}

#[test]
fn tuples_are_tuples_even_of_one() {
    let model = model(Seed(1));
    let neck = locate(&model, "dict(type='ModuleOutputs', source='neck')").unwrap();
    assert!(matches!(&neck, Records::Known(r) if matches!(&r[0], Record::Tuple(v) if v.len() == 2)));
    let error = format!("{:?}", neck.select(0, None).unwrap_err());
    assert_eq!(
        error,
        "the record is a tuple of 2, but one tensor is needed\n\
         help: set `data_idx` to choose an item of the tuple, from 0"
    );
    let fc = locate(&model, "dict(type='ModuleInputs', source='head.fc')").unwrap();
    assert!(fc.select(0, None).unwrap_err().message().contains("a tuple of 1"));
    let [small, large, input] = record(
        &model,
        [neck.select(0, Some(0)).unwrap(), neck.select(0, Some(1)).unwrap(), fc.select(0, Some(0)).unwrap()],
    );
    assert_eq!(small.shape(), [4, 16]);
    assert_eq!(large.to_array().unwrap(), input.to_array().unwrap());
}

#[test]
fn the_root_takes_images_and_labels_and_gives_scores() {
    let model = model(Seed(1));
    let root = "dict(type='ModuleInputs', source='')";
    let [images, labels, output, fc] = record(
        &model,
        [
            select(&model, root, 0, Some(0)),
            select(&model, root, 0, Some(1)),
            select(&model, "dict(type='ModuleOutputs', source='')", 0, None),
            select(&model, "dict(type='ModuleOutputs', source='head.fc')", 0, None),
        ],
    );
    let batch = batch(4);
    assert_eq!(images.to_array().unwrap(), batch.inputs);
    let wanted: Vec<i64> = batch.samples.iter().map(|s| s.gt_label[0]).collect();
    assert_eq!(labels.to_array().unwrap(), occam_graph::Array::from_i64([4], wanted).unwrap());
    assert_eq!(output.to_array().unwrap(), fc.to_array().unwrap());
}

#[test]
fn calls_outside_the_graph_are_found() {
    let model = model(Seed(1));
    let inputs = "dict(type='ModuleInputs', source='head.loss_module')";
    let [score, labels, output, loss, root] = record(
        &model,
        [
            select(&model, inputs, 0, Some(0)),
            select(&model, inputs, 0, Some(1)),
            select(&model, "dict(type='ModuleOutputs', source='head.fc')", 0, None),
            select(&model, "dict(type='ModuleOutputs', source='head.loss_module')", 0, None),
            select(&model, "dict(type='ModuleInputs', source='')", 0, Some(1)),
        ],
    );
    assert_eq!(score.to_array().unwrap(), output.to_array().unwrap());
    assert_eq!(labels.to_array().unwrap(), root.to_array().unwrap());
    assert_eq!(loss.len(), 1);

    let late = select(&model, inputs, 1, Some(0));
    let error = observe(&model, std::slice::from_ref(&late)).get(&late).unwrap_err().to_string();
    assert_eq!(error, "record_idx=1 is out of range: there is 1 record");
}

#[test]
fn a_parameter_is_one_record() {
    let model = model(Seed(1));
    let weight = "dict(type='Parameter', source='head.fc.weight')";
    assert!(matches!(select(&model, weight, 0, None), Selection::Known(Slot::Value(_))));
    let [found] = record(&model, [select(&model, weight, 0, None)]);
    assert_eq!(
        found.to_array().unwrap(),
        model.params.get("head.fc.weight").unwrap().tensor.to_array().unwrap()
    );
}

#[test]
fn unknown_sources_are_explained() {
    let model = model(Seed(1));
    let error = |config: &str| locate(&model, config).unwrap_err();
    assert_eq!(
        error("dict(type='ModuleOutputs', source='head.fcc')"),
        "a.py:1:39: the model has no module \"head.fcc\"\n\
         help: did you mean \"head.fc\"? modules in \"head\": fc, loss_module"
    );
    assert_eq!(
        error("dict(type='ModuleInputs', source='head.loss_modul')"),
        "a.py:1:38: the model has no module \"head.loss_modul\"\n\
         help: did you mean \"head.loss_module\"? modules in \"head\": fc, loss_module"
    );
    assert_eq!(
        error("dict(type='ModuleOutputs', source='decoder')"),
        "a.py:1:39: the model has no module \"decoder\"\n\
         help: modules of the model: backbone, neck, head"
    );
    assert_eq!(
        error("dict(type='ModuleOutputs', source='backbone.layer1.2.conv1.1')"),
        "a.py:1:39: the model has no module \"backbone.layer1.2.conv1.1\"\n\
         help: did you mean \"backbone.layer1.0.conv1\"? modules in \"backbone.layer1\": 0, 1"
    );
    assert_eq!(
        error("dict(type='Parameter', source='head.fc.wieght')"),
        "a.py:1:35: the model has no parameter \"head.fc.wieght\"\n\
         help: did you mean \"head.fc.weight\"? parameters in \"head.fc\": weight, bias"
    );
    assert!(error("dict(type='ModuleOutputs', source=3)").starts_with("a.py:1:39: `source` must be a str"));
    assert!(error("dict(type='ModuleOutputs', sources='head')").contains("did you mean \"source\"?"));
}
