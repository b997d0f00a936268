//! A config without its data: synthetic images, and no checkpoints of others.

use occam_config::{Dict, Error as ConfigError, Kind, Registry, Value};
use occam_data::{Dataset, is_absent};

use super::{Length, Source};
use crate::Result;
use crate::runner::forget_checkpoints;

/// A config that can be tried anywhere, and how long its data would be.
pub(super) struct Tried {
    pub(super) config: Value,
    pub(super) train: Option<Length>,
    pub(super) val: Option<Length>,
}

/// `config` with synthetic images of the right size in the place of its data, and without what it loads weights from.
pub(super) fn without_data(config: &Value, registry: &Registry) -> Result<Tried> {
    let mut config = config.clone();
    for side in ["val", "test"] {
        own_data(&mut config, side);
    }
    let classes = config
        .get("model")
        .and_then(head_classes)
        .or_else(|| config.get("data_preprocessor.num_classes").and_then(Value::as_i64))
        .unwrap_or(1000);
    let train = side(&mut config, "train", classes, registry)?;
    let val = side(&mut config, "val", classes, registry)?;
    side(&mut config, "test", classes, registry)?;
    if let Some(dict) = config.as_dict_mut() {
        dict.insert("load_from", Value::new(Kind::None));
        dict.insert("resume", Value::from(false));
    }
    if let Some(model) = config.as_dict_mut().and_then(|dict| dict.get_mut("model")) {
        forget_checkpoints(model);
        if let Some(dict) = model.as_dict_mut() {
            dict.remove("teacher_ckpt");
        }
        if model.get("teacher.pretrained").and_then(Value::as_bool) == Some(true) {
            model.set("teacher.pretrained", Value::from(false))?;
        }
    }
    Ok(Tried { config, train, val })
}

/// Makes what a loop has as data of its own the data of its side, which is the same to it.
fn own_data(config: &mut Value, side: &str) {
    let own = |config: &mut Value, key: &str| {
        config.as_dict_mut()?.get_mut(&format!("{side}_cfg"))?.as_dict_mut()?.remove(key)
    };
    for key in ["dataloader", "evaluator"] {
        if let Some(value) = own(config, key).filter(|v| !v.is_none())
            && let Some(dict) = config.as_dict_mut()
        {
            dict.insert(format!("{side}_{key}"), value);
        }
    }
}

/// Replaces the data set of one loader, and says how many images it has.
fn side(config: &mut Value, side: &str, classes: i64, registry: &Registry) -> Result<Option<Length>> {
    let path = format!("{side}_dataloader.dataset");
    let Some(dataset) = config.get(&path).filter(|v| v.as_dict().is_some()) else { return Ok(None) };
    let (inner, times) = innermost(dataset);
    let kind = inner.type_name().unwrap_or_default();
    let (images, source) = match registry.build::<dyn Dataset>(dataset) {
        Ok(data) => {
            let named = i64::try_from(data.classes().len()).unwrap_or(i64::MAX);
            if named > 0 && named != classes {
                let message =
                    format!("the model predicts {classes} classes, but the {side} data has {named}");
                let help = format!("set `num_classes` of the head to {named}");
                return Err(ConfigError::new(message).at(dataset).with_help(help).into());
            }
            (Some(data.len()), Source::Data)
        }
        Err(error) if is_absent(&error) => {
            let images = usual_length(kind, side == "train").map(|n| n.saturating_mul(times));
            (images, if images.is_some() { Source::Usual } else { Source::Unknown })
        }
        Err(error) => return Err(error.into()),
    };
    let number = |key: &str| config.get(&format!("{side}_dataloader.{key}")).and_then(Value::as_i64);
    let batch = number("batch_size").unwrap_or(1).max(1);
    let workers = number("num_workers").and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let length = Length { images, source, batch: usize::try_from(batch).unwrap_or(1), workers };
    let images = match (side, images) {
        // Training runs by the real length, so that schedules are those of the real run.
        ("train", Some(images)) => i64::try_from(images).unwrap_or(i64::MAX).max(2 * batch),
        ("train", None) => 2 * batch,
        _ => batch,
    };
    let (size, channels) = usual_size(kind);
    let mut synthetic = Dict::new();
    synthetic.insert("type", Value::from("SyntheticDataset"));
    synthetic.insert("length", Value::from(images));
    synthetic.insert("size", Value::new(Kind::Tuple(size.map(Value::from).to_vec())));
    synthetic.insert("channels", Value::from(channels));
    synthetic.insert("num_classes", Value::from(classes));
    if let Some(pipeline) = inner.get("pipeline").and_then(Value::as_list) {
        let loaded =
            pipeline.iter().filter(|t| t.type_name() != Some("LoadImageFromFile")).cloned().collect();
        let span = inner.get("pipeline").and_then(|p| p.span.clone());
        synthetic.insert("pipeline", Value::new(Kind::List(loaded)).with_span(span));
    }
    config.set(&path, Value::from(synthetic))?;
    let loaders = config.as_dict_mut().and_then(|dict| dict.get_mut(&format!("{side}_dataloader")));
    if let Some(loader) = loaders.and_then(Value::as_dict_mut) {
        // One thread makes the images, so that the time of one is known.
        loader.insert("num_workers", Value::from(0_i64));
        loader.insert("persistent_workers", Value::from(false));
        loader.remove("prefetch_factor");
    }
    Ok(Some(length))
}

/// The data set inside wrappers, and how often they repeat it.
fn innermost(dataset: &Value) -> (&Value, usize) {
    let (mut inner, mut times) = (dataset, 1_usize);
    loop {
        if let Some(n) = inner.get("times").and_then(Value::as_i64) {
            times = times.saturating_mul(usize::try_from(n).unwrap_or(1));
        }
        let next = inner.get("dataset").or_else(|| inner.get("datasets")?.as_list()?.first());
        match next.filter(|v| v.as_dict().is_some()) {
            Some(next) => inner = next,
            None => return (inner, times),
        }
    }
}

/// Images of the well known data sets.
fn usual_length(kind: &str, train: bool) -> Option<usize> {
    let (of_train, of_val) = match kind {
        "ImageNet" => (1_281_167, 50_000),
        "ImageNet21k" => (11_060_223, 522_500),
        "CIFAR10" | "CIFAR100" => (50_000, 10_000),
        "MNIST" | "FashionMNIST" => (60_000, 10_000),
        "CUB" => (5_994, 5_794),
        "VOC" => (5_011, 4_952),
        _ => return None,
    };
    Some(if train { of_train } else { of_val })
}

/// Height, width and channels of their images; those of photographs elsewhere.
fn usual_size(kind: &str) -> ([i64; 2], i64) {
    match kind {
        "CIFAR10" | "CIFAR100" => ([32, 32], 3),
        "MNIST" | "FashionMNIST" => ([28, 28], 1),
        _ => ([375, 500], 3),
    }
}

/// `num_classes` of the first head below `value`.
fn head_classes(value: &Value) -> Option<i64> {
    let key = if value.type_name() == Some("OnnxClassifier") { "num_classes" } else { "head.num_classes" };
    let own = value.get(key).and_then(Value::as_i64);
    own.or_else(|| value.as_dict()?.values().find_map(head_classes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use occam_config::Loader;

    fn registry() -> Registry {
        let mut registry = Registry::new();
        occam_data::register(&mut registry);
        registry
    }

    #[test]
    fn only_data_that_is_not_there_is_made_up() {
        let tried = |dataset: &str| {
            let text = format!("train_dataloader = dict(batch_size=4, dataset={dataset})");
            let config = Loader::new().load_str("c.py", &text).unwrap();
            without_data(&config, &registry()).map(|t| t.train.unwrap()).map_err(|e| e.to_string())
        };
        let load = "pipeline=[dict(type='LoadImageFromFile')]";
        let absent = tried(&format!("dict(type='CustomDataset', data_root='/nowhere', {load})")).unwrap();
        assert_eq!((absent.images, absent.source), (None, Source::Unknown));
        for (wrong, about) in [
            ("dict(type='CustomDatset')".to_owned(), "unknown dataset \"CustomDatset\""),
            (format!("dict(type='CustomDataset', data_rot='/nowhere', {load})"), "data_rot"),
            (format!("dict(type='CustomDataset', data_root=5, {load})"), "expected path string"),
            ("dict(type='SyntheticDataset', length=8, num_classes=3)".to_owned(), "the train data has 3"),
        ] {
            let error = tried(&wrong).unwrap_err();
            assert!(error.contains(about), "{wrong}: {error}");
        }
    }

    #[test]
    fn data_and_weights_are_gone_and_lengths_are_known() {
        let text = "
model = dict(type='ImageClassifier', pretrained='a.pth', head=dict(num_classes=7),
    backbone=dict(init_cfg=[dict(type='Kaiming'), dict(type='Pretrained', checkpoint='b.pth')]),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint='b.pth')),
    teacher=dict(cfg_path='d', pretrained=True), teacher_ckpt='t.pth')
train_dataloader = dict(batch_size=4, dataset=dict(type='RepeatDataset', times=3, dataset=dict(
    type='CIFAR10', pipeline=[dict(type='LoadImageFromFile'), dict(type='PackClsInputs')])))
val_dataloader = dict(batch_size=4, dataset=dict(type='CustomDataset', data_root='/nowhere', pipeline=[]))
load_from = 'x.pth'
";
        let config = Loader::new().load_str("c.py", text).unwrap();
        let tried = without_data(&config, &registry()).unwrap();
        assert_eq!(tried.train.unwrap().images, Some(150_000));
        assert_eq!(tried.val.unwrap().images, None);
        let expected = "
model = dict(type='ImageClassifier', head=dict(num_classes=7),
    backbone=dict(init_cfg=[dict(type='Kaiming')]), neck=dict(),
    teacher=dict(cfg_path='d', pretrained=False))
train_dataloader = dict(batch_size=4, dataset=dict(type='SyntheticDataset', length=150000, size=(32, 32), channels=3,
    num_classes=7, pipeline=[dict(type='PackClsInputs')]), num_workers=0, persistent_workers=False)
val_dataloader = dict(batch_size=4, dataset=dict(type='SyntheticDataset', length=4, size=(375, 500), channels=3,
    num_classes=7, pipeline=[]), num_workers=0, persistent_workers=False)
load_from = None
resume = False
";
        let expected = Loader::new().load_str("c.py", expected).unwrap();
        assert_eq!(tried.config, expected);
    }
}
