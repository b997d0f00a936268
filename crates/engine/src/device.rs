//! Where tensors live.

use std::fmt;
use std::str::FromStr;

use burn::backend::DispatchDevice;

use crate::{Error, Result};

/// A device, as `--device` names it: `cpu`.
#[derive(Clone, PartialEq, Eq)]
pub struct Device(DispatchDevice);

impl Device {
    /// This machine's processor.
    pub fn cpu() -> Self {
        Self(DispatchDevice::Flex(Default::default()))
    }

    pub(crate) fn dispatch(&self) -> &DispatchDevice {
        &self.0
    }

    /// The device without its differentiating side.
    pub(crate) fn plain(device: DispatchDevice) -> Self {
        match device {
            DispatchDevice::Autodiff(inner) => Self((*inner).clone()),
            other => Self(other),
        }
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::cpu()
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cpu" => Ok(Self::cpu()),
            _ => Err(Error::Device { name: name.into(), message: "not part of this build; `cpu` is".into() }),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cpu")
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
