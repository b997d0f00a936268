//! Which runtime runs a file.

use clap::ValueEnum;
use occam_quant::profiles::{self, PROFILES, Profile};
use occam_quant::simulate::Simulated;
use occam_runtime::{Error, Own, Runtime, onnxruntime, openvino};

use crate::diagnostic::Failure;

/// What runs ONNX files.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeName {
    /// ONNX Runtime
    Onnxruntime,
    /// OpenVINO
    Openvino,
    /// Occam's own executor
    #[value(alias = "own")]
    Occam,
    /// The integers that ONNX Runtime computes on a processor, see --cpu
    Simulator,
}

/// The profile of a processor, by its name.
///
/// # Errors
/// There is none of that name.
pub fn parse_cpu(name: &str) -> Result<&'static Profile, String> {
    profiles::profile(name).ok_or_else(|| {
        let known: Vec<&str> = PROFILES.iter().map(|p| p.name).collect();
        format!("there is no such processor; known are {}", known.join(", "))
    })
}

/// A runtime that has been found.
pub struct Found {
    /// The simulator, where it is that.
    pub simulated: Option<Simulated>,
    other: &'static dyn Runtime,
}

impl Found {
    /// The runtime.
    pub fn get(&self) -> &dyn Runtime {
        match &self.simulated {
            Some(simulated) => simulated,
            None => self.other,
        }
    }

    /// Name and version.
    pub fn named(&self) -> String {
        format!("{} {}", self.get().name(), self.get().version())
    }
}

/// What is asked for; the simulator where only a processor is named, else ONNX Runtime.
///
/// # Errors
/// The runtime's library is not there or of no use.
pub fn open(name: Option<RuntimeName>, cpu: Option<&'static Profile>) -> Result<Found, Failure> {
    let name = name.unwrap_or(if cpu.is_some() { RuntimeName::Simulator } else { RuntimeName::Onnxruntime });
    let simulated = match (name, cpu) {
        (RuntimeName::Simulator, cpu) => Some(Simulated::new(cpu.unwrap_or_else(profiles::host))),
        (_, None) => None,
        (_, Some(_)) => {
            return Err(Failure::new(
                "--cpu is for --runtime simulator: others run on the processor at hand",
            ));
        }
    };
    let other: &'static dyn Runtime = match name {
        RuntimeName::Onnxruntime => onnxruntime().map_err(advised)?,
        RuntimeName::Openvino => openvino().map_err(advised)?,
        RuntimeName::Occam | RuntimeName::Simulator => &Own,
    };
    Ok(Found { simulated, other })
}

/// A failure of a runtime, with what can be done about it.
pub fn advised(error: Error) -> Failure {
    let failure = Failure::new(error.to_string());
    match error.help() {
        Some(help) => failure.with_help(help),
        None => failure,
    }
}
