//! Times of blocks that were measured, kept in a file between runs.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// On what times were measured: those of one place say nothing about another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The runtime with its version.
    pub runtime: String,
    /// The processor.
    pub cpu: String,
    /// Threads that the runtime computes with.
    pub threads: usize,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    place: Place,
    op: String,
    sizes: Vec<usize>,
    us: f64,
}

/// The points of an operator: microseconds by sizes.
pub type Points = BTreeMap<Vec<usize>, f64>;

/// Measured times of blocks at one place: microseconds by what a block computes and its sizes.
#[derive(Debug)]
pub struct Table {
    place: Place,
    file: Option<PathBuf>,
    points: HashMap<String, Points>,
}

impl Table {
    /// An empty table that no file keeps.
    pub fn new(place: Place) -> Self {
        Self { place, file: None, points: HashMap::new() }
    }

    /// The table of `place` in `file`, which need not exist: one line of JSON a time, those of other places among them. The
    /// file can be removed at any time. A line that cannot be read counts as absent.
    ///
    /// # Errors
    /// The file cannot be read, or is no such table.
    pub fn open(file: &Path, place: Place) -> Result<Self> {
        let mut table = Self { place, file: Some(file.to_owned()), points: HashMap::new() };
        for line in read(file)? {
            if line.place == table.place {
                table.put(&line.op, line.sizes, line.us);
            }
        }
        Ok(table)
    }

    /// Where it was measured.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Notes a time. Of two times of the same the lesser stays: other processes only add to them.
    pub fn put(&mut self, op: &str, sizes: Vec<usize>, us: f64) {
        let points = self.points.entry(op.to_owned()).or_default();
        let least = points.entry(sizes).or_insert(us);
        *least = least.min(us);
    }

    /// The times of an operator.
    pub fn points(&self, op: &str) -> Option<&Points> {
        self.points.get(op)
    }

    /// The time of an operator at these sizes, where it was measured.
    pub fn get(&self, op: &str, sizes: &[usize]) -> Option<f64> {
        self.points.get(op)?.get(sizes).copied()
    }

    /// Writes the file, with what others have written into it meanwhile.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&mut self) -> Result<()> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        let mut others = Vec::new();
        for line in read(&file)? {
            if line.place == self.place {
                self.put(&line.op, line.sizes, line.us);
            } else {
                others.push(line);
            }
        }
        let mut ops: Vec<_> = self.points.iter().collect();
        ops.sort_by_key(|(op, _)| op.as_str());
        let own = ops.into_iter().flat_map(|(op, points)| {
            points.iter().map(|(sizes, &us)| Line {
                place: self.place.clone(),
                op: op.clone(),
                sizes: sizes.clone(),
                us,
            })
        });
        let failed = |e: &dyn std::fmt::Display| table_error(&file, format!("it cannot be written: {e}"));
        if let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| failed(&e))?;
        }
        let lines: Vec<Line> = others.into_iter().chain(own).collect();
        occam_io::atomic_write(&file, |out| {
            for line in &lines {
                serde_json::to_writer(&mut *out, line)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })
        .map_err(|e| failed(&e))
    }
}

/// The lines of a file that can be read; none where there is no file.
fn read(file: &Path) -> Result<Vec<Line>> {
    let text = match std::fs::read(file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(table_error(file, format!("it cannot be read: {e}"))),
    };
    let sound = |l: &Line| l.us.is_finite() && l.us >= 0.0;
    let lines: Vec<Line> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).filter(sound).collect();
    // It would be overwritten.
    if lines.is_empty() && !text.trim().is_empty() {
        return Err(table_error(file, "it is no table of latencies; name another file".into()));
    }
    Ok(lines)
}

fn table_error(file: &Path, why: String) -> Error {
    Error::Latency(format!("{}: {why}", file.display()))
}

/// Where the table is kept where nobody says: `occam/latency.jsonl` in the user's folder of caches (`XDG_CACHE_HOME` or
/// `~/.cache`, on macOS `~/Library/Caches`, on Windows `LOCALAPPDATA`); none where the environment names no such folder.
pub fn default_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Caches"))
    } else {
        folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")))
    };
    Some(cache?.join("occam/latency.jsonl"))
}

/// The processor's name with what tells apart models of one name, on Linux; elsewhere its architecture.
pub fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let known: Vec<String> =
        ["model name", "cpu family", "model", "stepping"].into_iter().filter_map(field).collect();
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let name = if known.is_empty() { std::env::consts::ARCH.to_owned() } else { known.join("/") };
    format!("{name}, {cores} cores")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(threads: usize) -> Place {
        Place { runtime: "clock 1".into(), cpu: "none".into(), threads }
    }

    #[test]
    fn tables_outlive_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/latency.jsonl");
        let mut one = Table::open(&file, place(1)).unwrap();
        one.put("conv", vec![8, 16], 3.5);
        one.save().unwrap();
        // Another place, and another run at the same place that began before the first was done.
        let mut two = Table::open(&file, place(2)).unwrap();
        assert_eq!(two.get("conv", &[8, 16]), None);
        two.put("conv", vec![8, 16], 2.0);
        two.save().unwrap();
        let mut late = Table { place: place(1), file: Some(file.clone()), points: HashMap::new() };
        late.put("conv", vec![8, 8], 2.5);
        late.put("conv", vec![8, 16], 4.0);
        late.save().unwrap();
        let again = Table::open(&file, place(1)).unwrap();
        assert_eq!((again.get("conv", &[8, 16]), again.get("conv", &[8, 8])), (Some(3.5), Some(2.5)));
        assert_eq!(Table::open(&file, place(2)).unwrap().get("conv", &[8, 16]), Some(2.0));
        // A line that was damaged is measured again; the others stay.
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replacen("\"op\"", "op", 1)).unwrap();
        let lines =
            |threads| Table::open(&file, place(threads)).unwrap().points("conv").map_or(0, Points::len);
        assert_eq!(lines(1) + lines(2), 2);
        std::fs::remove_file(&file).unwrap();
        assert!(Table::open(&file, place(1)).unwrap().points("conv").is_none());
    }

    #[test]
    fn other_files_are_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("model.onnx");
        std::fs::write(&file, b"\x08\x07no table").unwrap();
        let error = Table::open(&file, place(1)).unwrap_err().to_string();
        assert!(error.ends_with("it is no table of latencies; name another file"), "{error}");
    }
}
