//! Weights survive a file bit for bit, and other programs read it.

// Clippy takes only functions marked `#[test]` for tests, not what they call.
#![allow(clippy::unwrap_used, clippy::panic)]

use half::{bf16, f16};
use indexmap::IndexMap;
use occam_graph::{Array, Data, Narrow, Weights};
use occam_io::safetensors::{load, save};
use proptest::prelude::*;

fn elements(kind: usize, bits: &[u64]) -> Data {
    match kind {
        0 => Data::F32(bits.iter().map(|&b| f32::from_bits(b as u32)).collect()),
        1 => Data::F64(bits.iter().map(|&b| f64::from_bits(b)).collect()),
        2 => Data::F16(bits.iter().map(|&b| f16::from_bits(b as u16)).collect()),
        3 => Data::BF16(bits.iter().map(|&b| bf16::from_bits(b as u16)).collect()),
        4 => Data::I8(bits.iter().map(|&b| b as i8).collect()),
        5 => Data::U8(bits.iter().map(|&b| b as u8).collect()),
        6 => Data::I32(bits.iter().map(|&b| b as i32).collect()),
        7 => Data::I64(bits.iter().map(|&b| b as i64).collect()),
        8 => Data::I16(bits.iter().map(|&b| b as i16).collect()),
        9 => Data::U16(bits.iter().map(|&b| b as u16).collect()),
        10 => Data::U32(bits.iter().map(|&b| b as u32).collect()),
        11 => Data::U64(bits.to_vec()),
        _ => Data::Bool(bits.iter().map(|&b| b & 1 == 1).collect()),
    }
}

fn array() -> impl Strategy<Value = Array> {
    (0..13usize, 0..4usize, 0..4usize, any::<bool>()).prop_flat_map(|(kind, a, b, scalar)| {
        let shape = if scalar { vec![] } else { vec![a, b] };
        let n: usize = shape.iter().product();
        prop::collection::vec(any::<u64>(), n)
            .prop_map(move |bits| Array::new(shape.clone(), elements(kind, &bits)).unwrap())
    })
}

/// Shape, type and bits in order: floats themselves would not compare equal where they are NaN.
fn bits(weights: &Weights) -> Vec<(&String, Vec<usize>, String, Vec<u8>)> {
    weights.iter().map(|(k, a)| (k, a.shape().to_vec(), a.dtype().to_string(), a.to_le_bytes())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everything_survives(
        weights in prop::collection::vec((any::<String>(), array()), 0..6),
        metadata in prop::collection::vec((any::<String>(), any::<String>()), 0..4),
    ) {
        let weights: Weights = weights.into_iter().collect();
        let metadata: IndexMap<String, String> = metadata.into_iter().collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        save(&path, &weights, &metadata).unwrap();

        let (read, read_metadata) = load(&path).unwrap();
        prop_assert_eq!(bits(&read), bits(&weights));
        prop_assert!(read_metadata.iter().eq(metadata.iter()));

        let file = std::fs::read(&path).unwrap();
        let other = safetensors::SafeTensors::deserialize(&file).unwrap();
        prop_assert_eq!(other.len(), weights.len());
        for (name, array) in &weights {
            let view = other.tensor(name).unwrap();
            prop_assert_eq!(view.shape(), array.shape());
            prop_assert_eq!(view.data(), array.to_le_bytes());
            let align = array.dtype().size();
            prop_assert_eq!(view.data().as_ptr().addr().wrapping_sub(file.as_ptr().addr()) % align, 0);
        }

        let again = folder.path().join("again");
        save(&again, &weights, &metadata).unwrap();
        prop_assert_eq!(std::fs::read(&again).unwrap(), file);
    }
}

/// A signalling NaN with a payload, in each float type.
#[test]
fn nan_payloads_survive() {
    let weights: Weights = [
        ("f32", Data::F32(vec![f32::from_bits(0x7f80_0001), f32::from_bits(0xffc1_2345)])),
        ("f64", Data::F64(vec![f64::from_bits(0x7ff0_0000_0000_0001), f64::from_bits(u64::MAX)])),
        ("f16", Data::F16(vec![f16::from_bits(0x7c01), f16::from_bits(0xffff)])),
        ("bf16", Data::BF16(vec![bf16::from_bits(0x7f81), bf16::from_bits(0xffff)])),
    ]
    .into_iter()
    .map(|(name, data)| (name.to_owned(), Array::new([2], data).unwrap()))
    .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan");
    save(&path, &weights, &IndexMap::new()).unwrap();
    assert_eq!(bits(&load(&path).unwrap().0), bits(&weights));
}

#[test]
fn floats_of_eight_bits_are_written_and_types_of_four_refused() {
    let codes = |of| Array::new([2], Data::Narrow(of, vec![1, 15])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("narrow");
    let weights = Weights::from_iter([("w".to_owned(), codes(Narrow::F8E4M3FN))]);
    save(&path, &weights, &IndexMap::new()).unwrap();
    assert_eq!(load(&path).unwrap().0, weights);
    let weights = Weights::from_iter([("w".to_owned(), codes(Narrow::I4))]);
    let error = save(&path, &weights, &IndexMap::new()).unwrap_err().to_string();
    assert!(error.contains("type i4"), "{error}");
}

#[test]
fn files_of_the_reference_writer_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other");
    let data = [1.0f32, 2.0].map(f32::to_le_bytes).concat();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2], &data).unwrap();
    let metadata = Some([("format".to_owned(), "pt".to_owned())].into());
    safetensors::serialize_to_file([("a.weight", view)], metadata, &path).unwrap();
    let (weights, metadata) = load(&path).unwrap();
    assert_eq!(weights["a.weight"].as_f32().unwrap(), [1.0, 2.0]);
    assert_eq!(metadata["format"], "pt");
}

#[test]
fn bad_files_and_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("cannot open"), "{error}");
    assert!(load(folder.path()).is_err());
    std::fs::write(&path, b"").unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("it is empty"));
    let weights = Weights::from_iter([("__metadata__".to_owned(), Array::full([1], 0.0))]);
    let error = save(&path, &weights, &IndexMap::new()).unwrap_err().to_string();
    assert!(error.contains("rename the tensor"), "{error}");
}
