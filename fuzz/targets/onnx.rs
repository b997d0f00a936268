//! ONNX files: reading, recognizing, finding what can be pruned, and writing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use occam_graph::recognize::recognize;
use occam_io::onnx::{ImportOptions, Message, export_imported, import_bytes};

fuzz_target!(|bytes: &[u8]| {
    for fold in [true, false] {
        let options = ImportOptions { fold, ..ImportOptions::default() };
        let Ok(mut imported) = import_bytes(bytes.to_vec(), &options) else { continue };
        if let Ok(written) = export_imported(&imported.graph, &imported.weights, &imported.origin) {
            let _ = import_bytes(written.encode_to_vec(), &options);
        }
        if recognize(&mut imported.graph, &mut imported.weights).is_ok() {
            // What was recognized can be written.
            let _ = export_imported(&imported.graph, &imported.weights, &imported.origin);
            let _ = imported.graph.to_string();
            let _ = occam_space::trace(&imported.graph, &Default::default());
        }
    }
});
