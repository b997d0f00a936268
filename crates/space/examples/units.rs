//! Prints the channel units of an ONNX file.

use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let start = Instant::now();
        let imported = occam_io::onnx::import(&path, &Default::default())?;
        let loaded = start.elapsed();
        let trace = occam_space::trace(&imported.graph, &Default::default())?;
        println!(
            "{path}: {} units, {} prunable, read in {loaded:?}, in all {:?}",
            trace.units.len(),
            trace.prunable().count(),
            start.elapsed()
        );
        for u in &trace.units {
            let why = u.kept_by.as_ref().map(ToString::to_string).unwrap_or_default();
            println!("  {} {}{}", u.name, if u.exact { "" } else { "statistics " }, why);
        }
    }
    Ok(())
}
