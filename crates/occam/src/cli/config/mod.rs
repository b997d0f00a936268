//! `occam config`

mod check;
mod diff;

use std::path::PathBuf;

use clap::Subcommand;

use super::Outcome;
use super::common::{ConfigArgs, SearchArgs};
use crate::console;

/// Look at configs: print, compare and check them
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    occam config print configs/quickstart.py\n  \
    occam config print configs/quickstart.py --cfg-options data_root=/data/fashion-mnist --json\n  \
    occam config diff configs/quickstart.py configs/fashion_mnist/resnet20.py\n  \
    occam config check configs")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a config with all its bases merged in
    #[command(after_help = "Examples:\n  occam config print configs/quickstart.py --json")]
    Print(ConfigArgs),
    /// Tell what differs between two configs with all their bases merged in
    #[command(after_help = "Examples:\n  \
        occam config diff configs/quickstart.py configs/fashion_mnist/resnet20.py\n\n\
        The exit code is 0 whether they differ or not, and 2 where one of them is wrong.")]
    Diff {
        /// The config file
        left: PathBuf,
        /// The one to compare it with
        right: PathBuf,
        #[command(flatten)]
        search: SearchArgs,
    },
    /// Tell what is wrong with configs, without data and without running anything
    #[command(after_help = "Examples:\n  \
        occam config check configs\n  \
        occam config check configs/quickstart.py --json\n\n\
        A config is right if it evaluates, if Occam has every component that a run would use, and if the\n\
        components that need no data take their arguments. Others are told, and the exit code is 2.")]
    Check {
        /// Config files, and folders of them
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        search: SearchArgs,
    },
}

impl Args {
    pub fn run(self, json: bool) -> Outcome {
        match self.command {
            Command::Print(args) => {
                let config = args.load()?;
                if json {
                    console::print_json(&config.to_json());
                } else {
                    console::print_line(config.to_python().trim_end());
                }
                Ok(())
            }
            Command::Diff { left, right, search } => {
                let loader = search.loader()?;
                diff::run(&loader.load(&left)?, &loader.load(&right)?, json);
                Ok(())
            }
            Command::Check { paths, search } => check::run(&paths, &search.loader()?, json),
        }
    }
}
