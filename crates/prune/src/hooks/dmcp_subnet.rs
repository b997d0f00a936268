//! Subnets near the target, once the chains of their widths have been learned.

use std::any::Any;
use std::io::Write;
use std::path::Path;

use occam_config::{Error, Registry, Value};
use occam_train::hooks::Hook;
use occam_train::{Result, Runner};
use serde::Deserialize;

use crate::algorithms::Dmcp;

/// Where subnets are written, in the work directory.
const FOLDER: &str = "model_sample";
/// The subnet of expected widths, as the original spells it.
const EXPECTED: &str = "excepted_ch.json";
/// How near the target a subnet must be, as a part of it.
const NEAR: f64 = 0.05;
/// How often one is drawn before it is given up.
const TRIES: u64 = 10_000;

/// `DMCPSubnetHook(subnet_sample_num=10)`: after the training of [`Dmcp`] draws that many subnets from the chains whose
/// multiply-accumulates are within 5 % of the target, at the size of the config's images, and writes them as
/// `model_sample/subnet_1.json`, `subnet_2.json`, .. into the work directory; the subnet of expected widths as `excepted_ch.json` (the
/// original's name). Each is a mutator's config with widths, for `fix_subnet` of a `sub_model`.
///
/// Where 10000 draws hit none, that is told and no more are drawn; the original goes on for ever.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DmcpSubnetHook {
    #[serde(default = "ten")]
    subnet_sample_num: u64,
}

fn ten() -> u64 {
    10
}

pub(super) fn build(value: &Value, _: &Registry) -> Result<Box<dyn Hook>, Error> {
    let hook: DmcpSubnetHook = value.parse()?;
    Ok(Box::new(hook))
}

fn write(path: &Path, subnet: &serde_json::Value) -> Result<()> {
    let text = format!("{subnet:#}\n");
    Ok(occam_io::atomic_write(path, |file| file.write_all(text.as_bytes()))?)
}

/// The algorithm, where it is the one that this hook serves.
fn dmcp(runner: &Runner) -> Result<&Dmcp> {
    let algorithm: &dyn Any = runner.algorithm();
    algorithm.downcast_ref().ok_or_else(|| {
        let error = Error::new("DMCPSubnetHook writes subnets of the algorithm DMCP, this is another");
        error.with_help("remove the hook from `custom_hooks`").into()
    })
}

impl Hook for DmcpSubnetHook {
    fn priority(&self) -> u32 {
        90
    }

    fn before_train(&mut self, runner: &mut Runner) -> Result<()> {
        dmcp(runner).map(drop)
    }

    fn after_train(&mut self, runner: &mut Runner) -> Result<()> {
        let folder = runner.work_dir().join(FOLDER);
        std::fs::create_dir_all(&folder)
            .map_err(|source| occam_train::Error::Io { path: folder.clone(), source })?;
        let (seed, image) = (runner.seed(), runner.image_size()?);
        let dmcp = dmcp(runner)?;
        let (target, macs_of) = (dmcp.target_macs(), dmcp.macs_of(image)?);
        let mut notes = Vec::new();
        for number in 1..=self.subnet_sample_num {
            let mut random = seed.stream("dmcp.subnets", &[number]);
            let mut found = None;
            for _ in 0..TRIES {
                let widths = dmcp.draw(&mut random)?;
                let macs = macs_of(&widths);
                if (macs - target).abs() <= NEAR * target {
                    found = Some((widths, macs));
                    break;
                }
            }
            let Some((widths, macs)) = found else {
                notes.push(format!(
                    "warning: none of {TRIES} subnets drawn is within 5 % of {:.3} million multiply-accumulates: the architecture \
                     must learn for longer, or with a larger `flop_loss_weight`",
                    target / 1e6
                ));
                break;
            };
            let name = format!("subnet_{number}.json");
            write(&folder.join(&name), &dmcp.subnet_of(&widths))?;
            notes.push(format!("wrote {FOLDER}/{name}: {:.3} million multiply-accumulates", macs / 1e6));
        }
        let widths = dmcp.expected_widths()?;
        let macs = macs_of(&widths);
        write(&folder.join(EXPECTED), &dmcp.subnet_of(&widths))?;
        notes.push(format!("wrote {FOLDER}/{EXPECTED}: {:.3} million multiply-accumulates", macs / 1e6));
        notes.iter().for_each(|note| runner.message(note));
        Ok(())
    }
}
