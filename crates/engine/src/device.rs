//! Where tensors live.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "cuda")]
use burn::backend::CubeDevice;
use burn::backend::DispatchDevice;

use crate::{Error, Result};

/// A device, as `--device` names it: `cpu`, or `cuda` and `cuda:1` where the build has it (the cargo feature `cuda`).
///
/// NVIDIA's driver is looked for when a device is named: a build with CUDA runs on machines without it.
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
            Name::Cuda(index) => cuda(name, index),
        }
    }
}

/// The graphics card of that number; whether the machine has it is asked before anything is computed.
#[cfg(feature = "cuda")]
fn cuda(name: &str, index: usize) -> Result<Device> {
    // The driver counts cards in 16 bits; what is beyond must not become another card.
    let device = if index > usize::from(u16::MAX) { None } else { CubeDevice::cuda(index).ok() };
    match device {
        Some(device) => Ok(Device(DispatchDevice::Cube(device))),
        None => match (0..=usize::from(u16::MAX)).take_while(|&i| CubeDevice::cuda(i).is_ok()).count() {
            0 => refuse(
                name,
                "no graphics card with a driver of NVIDIA was found; use `cpu`, or install the driver",
            ),
            count => refuse(name, &format!("the machine's cards are `cuda:0` to `cuda:{}`", count - 1)),
        },
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: &str, _: usize) -> Result<Device> {
    refuse(name, "this build has no CUDA support; build with `--features cuda`")
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
        match &self.0 {
            #[cfg(feature = "cuda")]
            DispatchDevice::Cube(CubeDevice::Cuda(device)) => write!(f, "cuda:{}", device.index),
            _ => f.write_str("cpu"),
        }
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
        assert_eq!(Device::cpu().to_string(), "cpu");
    }

    /// With a card a device of its name, without one a refusal that says what to do; never a panic.
    #[test]
    fn a_card_is_there_or_refused() {
        for name in ["cuda", "cuda:0", "cuda:999", "cuda:65536", "cuda:18446744073709551615"] {
            match name.parse::<Device>() {
                Ok(device) => assert!(device.to_string().starts_with("cuda:")),
                Err(e) => assert!(e.to_string().contains(name), "{e}"),
            }
        }
        assert!("cuda:65536".parse::<Device>().is_err());
    }
}
