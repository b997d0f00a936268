//! `occam config`

use clap::Subcommand;

use super::Outcome;
use super::common::ConfigArgs;
use crate::console;

/// Look at configs
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam config print configs/quickstart.py\n  \
    occam config print configs/quickstart.py --cfg-options data_root=/data/fashion-mnist --json")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a config with all its bases merged in
    #[command(after_help = "Examples:\n  occam config print configs/quickstart.py --json")]
    Print(ConfigArgs),
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        let Command::Print(args) = self.command;
        let config = args.load()?;
        if json {
            console::print_json(&config.to_json());
        } else {
            console::print_line(config.to_python().trim_end());
        }
        Ok(())
    }
}
