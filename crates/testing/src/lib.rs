//! Golden numbers: results that PyTorch and the original computed, with inputs that a formula makes on both sides.
//!
//! The formula and the scripts are in `tools/golden/`, the results in `tests/golden/`. For tests only: what does
//! not fit panics.
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]

use std::path::PathBuf;

use indexmap::IndexMap;
use occam_graph::{Array, Data, Graph, Weights};

/// 64-bit FNV-1a.
pub fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn splitmix64(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `n` numbers in `[0, 1)` from a name.
pub fn unit(name: &str, n: usize) -> Vec<f64> {
    let seed = fnv1a(name);
    (1..=n as u64)
        .map(|i| {
            let z = splitmix64(seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            (z >> 40) as f64 / f64::from(1u32 << 24)
        })
        .collect()
}

/// An `f32` array in `[low, high)` from a name.
pub fn fill(name: &str, shape: &[usize], low: f64, high: f64) -> Array {
    let values = unit(name, shape.iter().product());
    let data = values.into_iter().map(|u| (low + (high - low) * u) as f32).collect();
    Array::from_f32(shape, data).unwrap()
}

/// `n` class indices from a name.
pub fn labels(name: &str, n: usize, classes: usize) -> Vec<i64> {
    unit(name, n).into_iter().map(|u| (u * classes as f64).floor() as i64).collect()
}

/// A parameter's values, in the range that its name and shape stand for.
pub fn parameter(name: &str, shape: &[usize]) -> Array {
    let kind = name.rsplit('.').next().unwrap_or(name);
    match kind {
        "weight" if shape.len() > 1 => {
            let fan_in = shape.iter().product::<usize>() / shape[0];
            let high = (6.0 / fan_in as f64).sqrt();
            fill(name, shape, -high, high)
        }
        "weight" | "running_var" | "gamma" | "layer_scale" => fill(name, shape, 0.5, 1.5),
        "bias" | "running_mean" => fill(name, shape, -0.1, 0.1),
        "cls_token" | "dist_token" | "pos_embed" | "absolute_pos_embed" | "relative_position_bias_table" => {
            fill(name, shape, -0.5, 0.5)
        }
        other => panic!("no range for parameters called `{other}`"),
    }
}

/// Values for all parameters of a graph.
pub fn weights(graph: &Graph) -> Weights {
    graph
        .params()
        .map(|(_, v)| {
            let shape = v.fact.known_shape().expect("parameter shapes are known");
            (v.name.clone(), parameter(&v.name, &shape))
        })
        .collect()
}

/// The workspace's folder.
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// One file of `tests/golden`.
pub struct Golden {
    arrays: Weights,
    metadata: IndexMap<String, String>,
}

impl Golden {
    /// Reads `tests/golden/<name>.safetensors`.
    pub fn load(name: &str) -> Self {
        let path = workspace().join(format!("tests/golden/{name}.safetensors"));
        let (arrays, metadata) = occam_io::safetensors::load(&path).unwrap();
        Self { arrays, metadata }
    }

    /// The array called `key`.
    pub fn get(&self, key: &str) -> &Array {
        self.arrays.get(key).unwrap_or_else(|| panic!("the golden has no `{key}`"))
    }

    /// The array called `key` as `f64`.
    pub fn values(&self, key: &str) -> Vec<f64> {
        values(self.get(key))
    }

    /// Names of all arrays.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    /// A metadata entry read as JSON.
    pub fn json(&self, key: &str) -> serde_json::Value {
        let text = self.metadata.get(key).unwrap_or_else(|| panic!("the golden has no `{key}`"));
        serde_json::from_str(text).unwrap()
    }
}

/// Elements as `f64`.
pub fn values(array: &Array) -> Vec<f64> {
    match array.data() {
        Data::F32(v) => v.iter().map(|&x| f64::from(x)).collect(),
        Data::F64(v) => v.clone(),
        Data::I64(v) => v.iter().map(|&x| x as f64).collect(),
        other => panic!("no floats: {}", other.dtype()),
    }
}

/// Largest difference, relative to the largest expected magnitude.
pub fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "different sizes");
    let scale = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
    let worst = found.iter().zip(expected).fold(0f64, |m, (a, b)| m.max((a - b).abs()));
    if found.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    if scale == 0.0 { worst } else { worst / scale }
}

/// Refuses a larger [`relative_error`] than `tolerance`.
#[track_caller]
pub fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    let error = relative_error(found, expected);
    assert!(error <= tolerance, "{what}: relative error {error:.3e} is above {tolerance:.1e}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows made by `tools/golden/formula.py`.
    #[test]
    fn the_formula_is_pythons() {
        let text = std::fs::read_to_string(workspace().join("tests/golden/formula.json")).unwrap();
        let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
        for row in rows.as_array().unwrap() {
            let name = row["name"].as_str().unwrap();
            let shape: Vec<usize> =
                row["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap() as usize).collect();
            let array = fill(name, &shape, row["low"].as_f64().unwrap(), row["high"].as_f64().unwrap());
            let bits: Vec<String> =
                array.as_f32().unwrap().iter().map(|v| format!("{:08x}", v.to_bits())).collect();
            let wanted: Vec<&str> =
                row["bits"].as_array().unwrap().iter().map(|b| b.as_str().unwrap()).collect();
            let wanted: Vec<String> = wanted.iter().map(|b| b.trim_start_matches("0x").to_owned()).collect();
            assert_eq!(bits, wanted, "{name}");
        }
    }
}
