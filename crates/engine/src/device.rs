//! Where tensors live.

use std::fmt;
use std::str::FromStr;

use burn::backend::DispatchDevice;

use crate::{Error, Result};

/// A device, as `--device` names it: `cpu`, or `cuda` and `cuda:1` where the build has it.
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
        match name.parse()? {
            Name::Cpu => Ok(Self::cpu()),
            Name::Cuda(_) => refuse(name, "this build has no CUDA support; build with `--features cuda`"),
        }
    }
}

/// What a device is called, whether or not this build has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Cpu,
    /// The graphics card of that number.
    Cuda(usize),
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let (kind, index) = match name.split_once(':') {
            Some((kind, index)) => (kind, Some(index)),
            None => (name, None),
        };
        match (kind, index) {
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", None) => Ok(Self::Cuda(0)),
            ("cuda", Some(index)) => match index.parse() {
                Ok(index) => Ok(Self::Cuda(index)),
                Err(_) => refuse(name, "`cuda:` is followed by the number of a card, such as `cuda:0`"),
            },
            _ => refuse(name, "there is none of that name; there are `cpu`, `cuda` and `cuda:<number>`"),
        }
    }
}

fn refuse<T>(name: &str, message: &str) -> Result<T> {
    Err(Error::Device { name: name.into(), message: message.into() })
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

#[cfg(test)]
mod tests {
    use super::{Device, Name};

    #[test]
    fn names_are_taken_apart() {
        assert_eq!("cpu".parse::<Name>().unwrap(), Name::Cpu);
        assert_eq!("cuda".parse::<Name>().unwrap(), Name::Cuda(0));
        assert_eq!("cuda:3".parse::<Name>().unwrap(), Name::Cuda(3));
        for wrong in ["", "cpu:0", "cuda:", "cuda:-1", "cuda:one", "tpu"] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
        assert_eq!("cpu".parse::<Device>().unwrap(), Device::cpu());
    }
}
