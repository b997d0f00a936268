//! Where the library of a runtime may be.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A variable of the environment by its name.
pub type Variables<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// A library to look for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Variables that name it, the first that is set counts.
    pub named: &'static [&'static str],
    /// Its name without what systems put around it, such as `onnxruntime` of `libonnxruntime.so.1.32.0`.
    pub stem: &'static str,
    /// Its folder in a Python environment's packages.
    pub package: &'static str,
    /// A variable that names where the runtime is installed, and the folder of libraries there.
    pub installed: Option<(&'static str, &'static str)>,
}

/// ONNX Runtime.
pub const ONNXRUNTIME: Wanted = Wanted {
    named: &["OCCAM_ONNXRUNTIME", "ORT_DYLIB_PATH"],
    stem: "onnxruntime",
    package: "onnxruntime/capi",
    installed: None,
};

/// OpenVINO's functions for C.
pub const OPENVINO: Wanted = Wanted {
    named: &["OCCAM_OPENVINO"],
    stem: "openvino_c",
    package: "openvino/libs",
    installed: Some(("INTEL_OPENVINO_DIR", "runtime/lib/intel64")),
};

impl Wanted {
    /// The library that a variable names: a file, or a folder with one in it.
    pub fn by_variable(&self, variables: &Variables<'_>) -> Option<(&'static str, PathBuf)> {
        self.named.iter().find_map(|&name| {
            let value = variables(name).filter(|v| !v.is_empty())?;
            Some((name, PathBuf::from(value)))
        })
    }

    /// Folders in which the library may be, each once, best first: beside the program, those of the system, those of Python
    /// environments (the active one, that of `python3` on the path, the user's own).
    pub fn folders(&self, variables: &Variables<'_>, program: Option<&Path>) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        if let Some(dir) = program.and_then(Path::parent) {
            folders.extend([dir.to_owned(), dir.join("lib"), dir.join("../lib")]);
        }
        let listed = |name: &str| {
            let list = variables(name).unwrap_or_default();
            std::env::split_paths(&list).filter(|p| p.is_absolute()).collect::<Vec<_>>()
        };
        folders.extend(listed("LD_LIBRARY_PATH"));
        if let Some((variable, inside)) = self.installed {
            folders.extend(
                variables(variable).filter(|v| !v.is_empty()).map(|dir| Path::new(&dir).join(inside)),
            );
        }
        if cfg!(target_os = "macos") {
            folders.extend(listed("DYLD_LIBRARY_PATH"));
            folders.push("/opt/homebrew/lib".into());
        }
        if cfg!(unix) {
            let triple = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
            folders.extend(["/usr/local/lib", "/usr/lib", &triple, "/usr/lib64", "/lib"].map(PathBuf::from));
        }
        let mut environments = Vec::new();
        environments.extend(
            ["VIRTUAL_ENV", "CONDA_PREFIX"]
                .iter()
                .filter_map(|v| variables(v).filter(|v| !v.is_empty()))
                .map(PathBuf::from),
        );
        let python = if cfg!(windows) { "python.exe" } else { "python3" };
        let found = listed("PATH").into_iter().find(|dir| dir.join(python).is_file());
        if let Some(dir) = found {
            // A virtual environment's `python3` is a link out of it, so both its place and its target count.
            let target = dir.join(python).canonicalize().ok();
            let bins = [Some(dir), target.as_deref().and_then(Path::parent).map(Path::to_owned)];
            environments.extend(bins.into_iter().flatten().filter_map(|b| b.parent().map(Path::to_owned)));
        }
        if let Some(home) = variables("HOME").or_else(|| variables("USERPROFILE")) {
            environments.push(Path::new(&home).join(".local"));
        }
        for environment in environments {
            folders.extend(packages(&environment).into_iter().map(|p| p.join(self.package)));
        }
        let mut seen = std::collections::HashSet::new();
        folders.retain(|f| seen.insert(f.canonicalize().unwrap_or_else(|_| f.clone())));
        folders
    }

    /// The libraries of that name in a folder, the plain name before those with a version.
    pub fn libraries(&self, folder: &Path) -> Vec<PathBuf> {
        let stem = self.stem;
        let named = |path: &Path| {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            match std::env::consts::OS {
                "windows" => name == format!("{stem}.dll"),
                "macos" => name.starts_with(&format!("lib{stem}.")) && name.ends_with(".dylib"),
                _ => name == format!("lib{stem}.so") || name.starts_with(&format!("lib{stem}.so.")),
            }
        };
        let mut files = entries(folder);
        files.retain(|path| named(path));
        files
    }
}

/// Folders of Python packages in an environment.
fn packages(environment: &Path) -> Vec<PathBuf> {
    if cfg!(windows) {
        return vec![environment.join("Lib/site-packages")];
    }
    let lib = environment.join("lib");
    let mut versions: Vec<PathBuf> = entries(&lib)
        .into_iter()
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("python3")))
        .collect();
    if versions.is_empty() {
        // Told to people, who see where an environment would have it.
        versions.push(lib.join("python3"));
    }
    versions.iter().flat_map(|v| [v.join("site-packages"), v.join("dist-packages")]).collect()
}

/// What is in a folder, by name; nothing where it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn python_environments_are_looked_through() {
        let dir = tempfile::tempdir().unwrap();
        let [venv, other, home] = ["venv", "other", "home"].map(|d| dir.path().join(d));
        let capi = "lib/python3.12/site-packages/onnxruntime/capi";
        touch(&venv.join(capi).join("libonnxruntime.so.1.20.0"));
        touch(&other.join("bin/python3"));
        touch(&other.join(capi).join("libonnxruntime.so.1.17.0"));
        touch(&other.join(capi).join("libonnxruntime_providers_shared.so"));
        touch(&home.join(".local").join(capi).join("libonnxruntime.so"));
        let variables = |name: &str| match name {
            "VIRTUAL_ENV" => Some(venv.clone().into()),
            "PATH" => Some(format!("relative:{}", other.join("bin").display()).into()),
            "HOME" => Some(home.clone().into()),
            _ => None,
        };
        let folders = ONNXRUNTIME.folders(&variables, Some(&dir.path().join("occam")));
        assert_eq!(folders[0], dir.path());
        let found: Vec<PathBuf> = folders.iter().flat_map(|f| ONNXRUNTIME.libraries(f)).collect();
        let found: Vec<&Path> = found.iter().filter_map(|f| f.strip_prefix(dir.path()).ok()).collect();
        let wanted = [
            Path::new("venv").join(capi).join("libonnxruntime.so.1.20.0"),
            Path::new("other").join(capi).join("libonnxruntime.so.1.17.0"),
            Path::new("home/.local").join(capi).join("libonnxruntime.so"),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn openvino_is_found_where_pip_and_its_installer_put_it() {
        let dir = tempfile::tempdir().unwrap();
        let [venv, opt] = ["venv", "opt"].map(|d| dir.path().join(d));
        let libs = venv.join("lib/python3.11/site-packages/openvino/libs");
        touch(&libs.join("libopenvino_c.so.2641"));
        touch(&libs.join("libopenvino.so.2641"));
        touch(&opt.join("runtime/lib/intel64/libopenvino_c.so"));
        let variables = |name: &str| match name {
            "VIRTUAL_ENV" => Some(venv.clone().into()),
            "INTEL_OPENVINO_DIR" => Some(opt.clone().into()),
            _ => None,
        };
        let folders = OPENVINO.folders(&variables, None);
        let found: Vec<PathBuf> = folders.iter().flat_map(|f| OPENVINO.libraries(f)).collect();
        let found: Vec<&Path> = found.iter().filter_map(|f| f.strip_prefix(dir.path()).ok()).collect();
        let wanted = [
            Path::new("opt/runtime/lib/intel64/libopenvino_c.so"),
            Path::new("venv/lib/python3.11/site-packages/openvino/libs/libopenvino_c.so.2641"),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn occams_own_variable_comes_first() {
        let [own, ..] = ONNXRUNTIME.named else { panic!() };
        let both = |name: &str| ONNXRUNTIME.named.contains(&name).then(|| name.to_lowercase().into());
        assert_eq!(ONNXRUNTIME.by_variable(&both), Some((*own, "occam_onnxruntime".into())));
        assert_eq!(ONNXRUNTIME.by_variable(&|name| (name == *own).then(OsString::new)), None);
    }
}
