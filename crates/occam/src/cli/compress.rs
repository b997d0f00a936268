//! `occam compress`

use std::path::{Path, PathBuf};

use occam_train::recipe::{RecipeOptions, Summary, run};
use serde_json::json;

use super::Outcome;
use super::common::{ConfigArgs, DeviceArgs};
use crate::console::{self, print_json, print_line};
use crate::diagnostic::Failure;
use crate::{interrupt, table};

/// Run a recipe: models and data in, smaller models and figures out
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam compress configs/quickstart.py\n  \
    occam compress configs/quickstart.py --cfg-options data_root=/data/fashion-mnist --work-dir w\n  \
    occam compress configs/quickstart.py --work-dir w --resume\n\n\
    The work directory holds the exported models, summary.json, and a folder for every training.")]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where results go [default: work_dirs/<name of the config>]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Go on where an earlier call stopped
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let config = self.config.load()?;
        let registry = occam::registry();
        let loader = self.config.loader()?;
        let work_dir = self.config.work_dir(self.work_dir.as_deref(), &config);
        let options = RecipeOptions {
            registry: &registry,
            loader: &loader,
            work_dir: work_dir.clone(),
            device: self.device.device()?,
            resume: self.resume,
            reporter: console::reporter(json),
        };
        interrupt::listen();
        let summary = run(&config, options).map_err(|e| self.stopped(e.into(), &work_dir))?;
        if json {
            print_json(&json!({ "event": "result", "work_dir": work_dir, "summary": summary }));
        } else {
            print_line(&figures(&summary));
            print_line(&format!("\nresults are in {}", work_dir.display()));
        }
        Ok(())
    }
}

impl Args {
    /// An error; one after Ctrl-C says how the recipe goes on.
    fn stopped(&self, failure: Failure, work_dir: &Path) -> Failure {
        if !interrupt::happened() {
            return failure;
        }
        let (config, work_dir) = (self.config.config.display(), work_dir.display());
        failure.with_help(format!("go on with: occam compress {config} --work-dir {work_dir} --resume"))
    }
}

/// The table of a summary, and by how much each model beats the one before it.
fn figures(summary: &Summary) -> String {
    let rows: Vec<Vec<String>> = summary
        .models
        .iter()
        .map(|m| {
            let accuracy = if m.seeds.len() > 1 {
                format!(
                    "{:.2} ± {:.2} ({} seeds), file {:.2}",
                    m.top1_mean,
                    m.top1_std,
                    m.seeds.len(),
                    m.top1
                )
            } else {
                format!("{:.2}", m.top1)
            };
            vec![
                m.name.clone(),
                accuracy,
                table::count(m.macs),
                table::count(m.params),
                m.bytes.map_or_else(|| "-".into(), table::bytes),
                format!("{:.2} ms", m.latency_ms),
            ]
        })
        .collect();
    let mut text = table::render(&["model", "top-1 %", "MACs", "params", "file", "latency"], &rows);
    for pair in summary.models.windows(2) {
        if let [a, b] = pair
            && a.seeds == b.seeds
            && a.params == b.params
            && let Some((mean, std)) = summary.gain(&b.name, &a.name)
        {
            let spread = if b.seeds.len() > 1 {
                format!(" ± {std:.2} (same seeds, {} pairs)", b.seeds.len())
            } else {
                String::new()
            };
            text.push_str(&format!("\n\n{} against {}: {mean:+.2} points{spread}", b.name, a.name));
        }
    }
    text
}
