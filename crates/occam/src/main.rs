//! The `occam` command.

mod cli;
mod console;
mod diagnostic;
mod memory;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    memory::keep();
    let cli = cli::Cli::parse();
    let json = cli.json;
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::report_error(&error, json);
            ExitCode::from(2)
        }
    }
}
