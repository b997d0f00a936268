//! Commands and their arguments. One a file.

mod bench;
mod common;
mod compress;
mod config;
mod convert;
mod dry_run;
mod expand;
mod export;
mod inspect;
mod prune;
mod ptq;
mod quantize;
mod run;
mod runtimes;
mod sizes;
mod test;
mod train;

use clap::{Parser, Subcommand};

use crate::diagnostic::Failure;

/// Result of a command.
pub type Outcome = Result<(), Failure>;

/// Makes trained vision models smaller and faster, and proves it.
#[derive(Parser)]
#[command(name = "occam", version, max_term_width = 100)]
#[command(after_help = "Examples:\n  \
    occam compress configs/quickstart.py\n  \
    occam train configs/fashion_mnist/resnet20.py --work-dir work_dirs/resnet20\n  \
    occam prune model.onnx --macs 0.5 -o small.onnx\n  \
    occam quantize model.onnx --data images -o int8.onnx\n  \
    occam inspect configs/fashion_mnist/resnet20.py\n\n\
    Every command has its own examples: occam train --help")]
pub struct Cli {
    /// Tell everything as JSON, one object a line, on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Threads to compute with [default: all cores]
    #[arg(long, global = true, env = "OCCAM_THREADS", hide_env_values = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Compress(compress::Args),
    Train(train::Args),
    Test(Box<test::Args>),
    Export(export::Args),
    Inspect(inspect::Args),
    Prune(Box<prune::Args>),
    Quantize(Box<quantize::Args>),
    Ptq(ptq::Args),
    Expand(expand::Args),
    Run(run::Args),
    Convert(convert::Args),
    Bench(bench::Args),
    Config(config::Args),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// The command failed; its message is for the user.
    pub fn run(self) -> Outcome {
        if let Some(threads) = self.threads {
            // Nothing has computed yet, so the pool is not made yet.
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads.into())
                .build_global()
                .map_err(|e| Failure::new(format!("{threads} threads cannot be started: {e}")))?;
        }
        match self.command {
            Command::Compress(args) => args.run(self.json),
            Command::Train(args) => args.run(self.json),
            Command::Test(args) => args.run(self.json),
            Command::Export(args) => args.run(self.json),
            Command::Inspect(args) => args.run(self.json),
            Command::Prune(args) => args.run(self.json),
            Command::Quantize(args) => args.run(self.json),
            Command::Ptq(args) => args.run(self.json),
            Command::Expand(args) => args.run(self.json),
            Command::Run(args) => args.run(self.json),
            Command::Convert(args) => args.run(self.json),
            Command::Bench(args) => args.run(self.json),
            Command::Config(args) => args.run(self.json),
        }
    }
}
