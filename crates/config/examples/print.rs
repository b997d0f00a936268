//! Prints a config as JSON: `print CONFIG [ROOT ...]`, where the roots are the search path of bases
//! like `mmcls::...`. With `--python` first, prints it as Python text instead.

use std::path::Path;
use std::process::ExitCode;

use occam_config::Loader;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let python = arguments.next_if_eq("--python").is_some();
    let Some(path) = arguments.next() else {
        eprintln!("usage: print [--python] CONFIG [ROOT ...]");
        return ExitCode::from(2);
    };
    match Loader::new().with_search_path(arguments).load(Path::new(&path)) {
        Ok(config) if python => print!("{}", config.to_python()),
        Ok(config) => println!("{}", config.to_json()),
        Err(error) => {
            eprintln!("{error:?}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
