//! Processors and runtimes as quantization sees them: which integers they are fast with, and which they compute wrong sums of.

use occam_graph::DType;

/// What a target computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Its name, such as `x86-avx2`.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// Types of activations that layers are fast with, best first.
    pub activations: &'static [DType],
    /// Types of weights that layers are fast with, best first.
    pub weights: &'static [DType],
    /// Bits of weights with which no sum saturates: 7 halves their range, as `reduce_range` does.
    pub weight_bits: u32,
    /// Whether the zero points of weights must be 0.
    pub symmetric_weights: bool,
    /// Whether the zero points of activations must be 0.
    pub symmetric_activations: bool,
    /// Whether weights may have a scale for each output channel.
    pub per_channel: bool,
    /// Whether the sums of two neighbouring products of unsigned and signed integers saturate at 16 bits (`vpmaddubsw`).
    pub pairs: bool,
}

use DType::{I8, U8};

/// All profiles.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "x86-vnni",
        about: "ONNX Runtime on x86 with VNNI (Ice Lake, Zen 4 and later)",
        activations: &[U8],
        weights: &[I8, U8],
        weight_bits: 8,
        symmetric_weights: false,
        symmetric_activations: false,
        per_channel: true,
        pairs: false,
    },
    Profile {
        name: "x86-avx512",
        about: "ONNX Runtime on x86 with AVX-512 and without VNNI (Skylake-X)",
        activations: &[U8],
        weights: &[I8, U8],
        weight_bits: 7,
        symmetric_weights: false,
        symmetric_activations: false,
        per_channel: true,
        pairs: true,
    },
    Profile {
        name: "x86-avx2",
        about: "ONNX Runtime on x86 with AVX2 and without VNNI (Haswell to Zen 3)",
        activations: &[U8],
        weights: &[I8, U8],
        weight_bits: 7,
        symmetric_weights: false,
        symmetric_activations: false,
        per_channel: true,
        pairs: true,
    },
    Profile {
        name: "arm",
        about: "ONNX Runtime on 64-bit ARM",
        activations: &[I8, U8],
        weights: &[I8],
        weight_bits: 8,
        symmetric_weights: true,
        symmetric_activations: false,
        per_channel: true,
        pairs: false,
    },
    Profile {
        name: "openvino",
        about: "OpenVINO on x86 with VNNI; without it as x86-avx2",
        activations: &[U8, I8],
        weights: &[I8],
        weight_bits: 8,
        symmetric_weights: true,
        symmetric_activations: false,
        per_channel: true,
        pairs: false,
    },
    Profile {
        name: "tensorrt",
        about: "TensorRT",
        activations: &[I8],
        weights: &[I8],
        weight_bits: 8,
        symmetric_weights: true,
        symmetric_activations: true,
        per_channel: true,
        pairs: false,
    },
];

/// The profile of that name.
pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|p| p.name == name)
}

/// The profile of ONNX Runtime on the processor at hand.
pub fn host() -> &'static Profile {
    let name = host_name();
    profile(name).unwrap_or(&PROFILES[0])
}

#[cfg(target_arch = "x86_64")]
fn host_name() -> &'static str {
    let has =
        std::arch::is_x86_feature_detected!("avx512vnni") || std::arch::is_x86_feature_detected!("avxvnni");
    match has {
        true => "x86-vnni",
        false if std::arch::is_x86_feature_detected!("avx512bw") => "x86-avx512",
        false => "x86-avx2",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn host_name() -> &'static str {
    "arm"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_bits_keep_pairs_within_sixteen() {
        for p in PROFILES {
            assert_eq!(profile(p.name), Some(p));
            let largest = 1i32 << (p.weight_bits - 1);
            let pair = 2 * 255 * largest;
            assert!(!(p.pairs && p.weight_bits == 8), "{}", p.name);
            assert!(!p.pairs || pair <= i32::from(i16::MAX), "{}", p.name);
        }
        assert!(profile("z80").is_none());
        assert!(PROFILES.contains(host()));
    }
}
