//! How losses and records are wired.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{model, registry, value};
use occam_data::Seed;
use occam_distill::{Distiller, DistillerConfig, Side, Subject};

/// A distiller of one loss, with `from` replaced.
fn config(from: &str, to: &str) -> String {
    let text = "dict(type='ConfigurableDistiller',\n\
        student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc'),\n\
          neck=dict(type='ModuleOutputs', source='neck'),\n\
          gt=dict(type='ModuleInputs', source='head.loss_module')),\n\
        teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='head.fc')),\n\
        distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=2.0)),\n\
        connectors=None,\n\
        loss_forward_mappings=dict(loss_kl=dict(\n\
          preds_S=dict(recorder='fc', from_student=True),\n\
          preds_T=dict(recorder='logits', from_student=False))))";
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

fn build(text: &str) -> Result<Box<dyn Distiller>, String> {
    let [student, teacher] = [model(Seed(1)), model(Seed(2))];
    let config = registry().build::<dyn DistillerConfig>(&value(text)).map_err(|e| format!("{e:?}"))?;
    config.build(&Subject::from(&student), &Subject::from(&teacher)).map_err(|e| format!("{e:?}"))
}

#[test]
fn builds() {
    let distiller = build(&config("", "")).unwrap();
    assert!(distiller.teaches(Side::Student) && distiller.teaches(Side::Teacher));
    assert!(distiller.warnings().is_empty());
    assert!(!distiller.watch(Side::Student).needs_loss(), "recorders that no loss uses cost nothing");
}

#[test]
fn a_loss_without_loss_in_its_name_is_a_warning() {
    let text = config("", "").replace("loss_kl", "kl");
    let distiller = build(&text).unwrap();
    assert_eq!(distiller.warnings().len(), 1);
    assert!(distiller.warnings()[0].contains("\"kl\" is only logged"));
    assert!(!distiller.teaches(Side::Student));
}

#[test]
fn labels_and_a_classification_loss_can_be_wired() {
    let text =
        config("distill_losses=dict(", "distill_losses=dict(loss_ce=dict(type='mmcls.CrossEntropyLoss'), ");
    let text = text.replacen(
        "loss_forward_mappings=dict(",
        "loss_forward_mappings=dict(loss_ce=dict(cls_score=dict(recorder='fc', from_student=True), \
         label=dict(recorder='gt', from_student=True, data_idx=1)), ",
        1,
    );
    assert!(build(&text).unwrap().watch(Side::Student).needs_loss());
}

#[test]
fn nothing_to_distill_is_allowed() {
    let distiller = build("dict(type='ConfigurableDistiller')").unwrap();
    assert!(!distiller.teaches(Side::Student) && !distiller.teaches(Side::Teacher));
}

#[test]
fn wrong_wiring_is_explained() {
    let cases = [
        (
            ("connectors=None", "connectors=dict(a=dict(type='B'))"),
            "a.py:7:12: `connectors` is not supported; leave it out or None",
        ),
        (
            ("connectors=None", "connectors={}, distill_deliveries=dict(a=1)"),
            "a.py:7:35: `distill_deliveries` is not supported; leave it out or None",
        ),
        (
            ("loss_forward_mappings=dict(loss_kl", "loss_forward_mappings=dict(loss_lk"),
            "a.py:6:21: the loss \"loss_kl\" has no entry in `loss_forward_mappings`",
        ),
        (
            ("loss_forward_mappings=dict(", "loss_forward_mappings=dict(los_kl={}, "),
            "a.py:8:28: there is no loss \"los_kl\" in `distill_losses`",
        ),
        (("preds_S=", "preds_s="), "a.py:9:1: KLDivergence takes no argument \"preds_s\""),
        (
            ("preds_S=dict(recorder='fc', from_student=True),\n", ""),
            "a.py:8:36: the loss \"loss_kl\" lacks arguments of KLDivergence: preds_S",
        ),
        (("recorder='fc', ", ""), "a.py:9:9: missing key \"recorder\""),
        (("recorder='fc', from_student=True", "recorder='fc'"), "a.py:9:9: missing key \"from_student\""),
        (
            ("recorder='fc', from_student=True", "recorder='fc', from_student=1"),
            "a.py:9:42: expected a bool, found int 1",
        ),
        (("recorder='fc'", "recorder=1"), "a.py:9:23: `recorder` must be a str, found int"),
        (("recorder='fc'", "recorder='cf'"), "a.py:9:23: there is no recorder \"cf\" in `student_recorders`"),
        (
            ("recorder='fc'", "recorder='logits'"),
            "a.py:9:23: there is no recorder \"logits\" in `student_recorders`",
        ),
        (
            ("from_student=True", "from_student=True, connector='a'"),
            "a.py:9:58: `connector` is not supported; leave it out or None",
        ),
        (
            ("from_student=True", "from_student=True, connector_idx=0"),
            "a.py:9:62: `connector_idx` is not supported; leave it out or None",
        ),
        (("from_student=True", "from_student=True, record=0"), "a.py:9:48: unknown key \"record\""),
        (
            ("from_student=True", "from_student=True, record_idx=1"),
            "a.py:9:9: record_idx=1 is out of range: there is 1 record",
        ),
        (
            ("from_student=True", "from_student=True, data_idx=0"),
            "a.py:9:9: data_idx=0 chooses an item of a tuple, but the record is one tensor",
        ),
        (
            ("recorder='fc'", "recorder='neck'"),
            "a.py:9:9: the record is a tuple of 2, but one tensor is needed",
        ),
        (
            ("recorder='fc'", "data_idx=2, recorder='neck'"),
            "a.py:9:9: data_idx=2 is out of range: there are 2 items in the record",
        ),
        (("source='neck'", "source='nick'"), "a.py:3:40: the model has no module \"nick\""),
        (("ModuleOutputs", "ModuleOutput"), "a.py:2:37: unknown recorder \"ModuleOutput\""),
        (("KLDivergence", "KlDivergenze"), "a.py:6:39: unknown distillation loss \"KlDivergenze\""),
        (
            ("loss_kl=dict(type", "loss_kl=3, b=dict(type"),
            "a.py:6:32: the loss \"b\" has no entry in `loss_forward_mappings`",
        ),
        (("distill_losses=dict(", "distill_losses=[], losses=dict("), "a.py:6:20: unknown key \"losses\""),
        (("student_recorders=dict(", "student_recorders=3, x=dict("), "a.py:2:22: unknown key \"x\""),
    ];
    for ((from, to), wanted) in cases {
        let error = build(&config(from, to)).err().unwrap_or_else(|| panic!("{to} is accepted"));
        assert_eq!(error.lines().next().unwrap(), wanted, "{to}");
    }
    let error = |from: &str, to: &str| build(&config(from, to)).err().unwrap();
    let helped = error("recorder='fc'", "recorder='logits'");
    assert!(helped.contains("it is in `teacher_recorders`: set `from_student=False`"), "{helped}");
    let helped = error("preds_S=", "preds_s=");
    assert!(helped.contains("did you mean \"preds_S\"? its arguments: preds_S, preds_T"), "{helped}");
    let helped = error("source='neck'", "source='nick'");
    assert!(helped.contains("while looking for the source of `student_recorders.neck`"), "{helped}");
    assert!(helped.contains("did you mean \"neck\"?"), "{helped}");
}
