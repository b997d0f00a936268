//! The `occam` command.

mod cli;
mod console;
mod diagnostic;
mod interrupt;
mod memory;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    memory::keep();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) if e.use_stderr() && std::env::args().any(|a| a == "--json") => {
            console::report_error(&diagnostic::Failure::new(e.to_string().trim_end()), true);
            return ExitCode::from(2);
        }
        Err(e) => e.exit(),
    };
    let json = cli.json;
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if interrupt::happened() {
                console::report_stop(&error, json);
                return ExitCode::from(interrupt::CODE);
            }
            console::report_error(&error, json);
            ExitCode::from(2)
        }
    }
}
