//! `log.jsonl` and `tensorboard/`: every scalar of a run.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::{Error, Result};

/// Appends one JSON object a line.
pub struct Journal {
    path: PathBuf,
    file: File,
    events: occam_io::EventWriter,
}

/// When scalars are written.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// `train`, `val` or another.
    pub mode: &'a str,
    /// Epochs finished.
    pub epoch: u64,
    /// Iterations finished.
    pub iter: u64,
    /// What TensorBoard counts.
    pub step: u64,
    /// Whether names in the line begin with the mode.
    pub hierarchy: bool,
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

impl Journal {
    /// Opens the logs of a work directory, after what is there already. Lines beyond iteration `iter`, from which a
    /// run goes on, and a line cut short are dropped, and those of a validation there if it was not `validated` yet.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn open(work_dir: &Path, iter: u64, validated: bool) -> Result<Self> {
        let path = work_dir.join("log.jsonl");
        if let Ok(text) = std::fs::read_to_string(&path) {
            let before = |line: &&str| {
                let value: Option<Value> = serde_json::from_str(line).ok();
                let known = |v: Value| {
                    let at = v.get("iter")?.as_u64()?;
                    let repeated = at == iter && !validated && v.get("mode")?.as_str()? != "train";
                    Some(at <= iter && !repeated)
                };
                value.and_then(known).unwrap_or(false)
            };
            let kept: Vec<&str> = text.lines().filter(before).collect();
            occam_io::atomic_write(&path, |f| kept.iter().try_for_each(|line| writeln!(f, "{line}")))?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| Error::Io { path: path.clone(), source })?;
        let suffix = std::process::id().to_string();
        let events = occam_io::EventWriter::create(&work_dir.join("tensorboard"), &suffix, now())?;
        Ok(Self { path, file, events })
    }

    /// Writes the scalars of one moment: a line `{"mode", "epoch", "iter", "time", ..}`, and events called
    /// `<mode>/<name>` at `step`.
    ///
    /// # Errors
    /// The disk failed.
    pub fn scalars(&mut self, at: Moment<'_>, values: &IndexMap<String, f64>) -> Result<()> {
        let Moment { mode, epoch, iter, step, hierarchy } = at;
        let mut line = Map::new();
        line.insert("mode".into(), json!(mode));
        line.insert("epoch".into(), json!(epoch));
        line.insert("iter".into(), json!(iter));
        line.insert("time".into(), json!((now() * 1000.0).round() / 1000.0));
        for (name, v) in values {
            let key = if hierarchy { format!("{mode}/{name}") } else { name.clone() };
            line.insert(key, json!(v));
            let step = i64::try_from(step).unwrap_or(i64::MAX);
            self.events.scalar(&format!("{mode}/{name}"), *v as f32, step, now())?;
        }
        self.events.flush()?;
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}
