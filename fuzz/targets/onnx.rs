//! ONNX files: reading, recognizing, writing, and running on small inputs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use occam_graph::recognize::recognize;
use occam_io::onnx::{ImportOptions, export_imported, import_bytes};

fuzz_target!(|bytes: &[u8]| {
    for fold in [true, false] {
        let Ok(mut imported) = import_bytes(bytes.to_vec(), &ImportOptions { fold }) else { continue };
        let _ = export_imported(&imported.graph, &imported.weights, &imported.origin);
        if recognize(&mut imported.graph, &mut imported.weights).is_ok() {
            // What was recognized can be written.
            let _ = export_imported(&imported.graph, &imported.weights, &imported.origin);
            let _ = imported.graph.to_string();
        }
    }
});
