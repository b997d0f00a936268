//! ONNX Runtime, through the crate `ort`.

use std::borrow::Cow;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use half::{bf16, f16};
use occam_graph::{Array, Bindings, DType, Data, Dim, Fact};
use ort::environment::Environment;
use ort::session::SessionInputValue;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType};

use crate::error::{Error, Refused, Result};
use crate::inputs::random_inputs;
use crate::profile::{self, Budget, Step};
use crate::{Port, Runtime, Session, find};

/// The runtime's name, for people.
const NAME: &str = "ONNX Runtime";

/// A library of ONNX Runtime that has been loaded.
pub struct OnnxRuntime {
    library: PathBuf,
    version: String,
    environment: Environment,
}

/// ONNX Runtime, 1.17 or later. A process loads it once, and keeps it.
///
/// The library is the file, or in the folder, that `OCCAM_ONNXRUNTIME` or else `ORT_DYLIB_PATH` names. Without these, it is
/// the first that can be loaded of those beside the program, in the system's folders of libraries, and in Python
/// environments: the active one, that of `python3` on the path, and the user's own. No Python is run.
///
/// # Errors
/// There is none, or it is too old, or it is no library of ONNX Runtime.
pub fn onnxruntime() -> Result<&'static OnnxRuntime> {
    static FOUND: OnceLock<OnnxRuntime> = OnceLock::new();
    static SEARCH: Mutex<()> = Mutex::new(());
    let _one_searches = SEARCH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = FOUND.get() {
        return Ok(runtime);
    }
    let runtime = search(&|name| std::env::var_os(name), std::env::current_exe().ok().as_deref())?;
    Ok(FOUND.get_or_init(|| runtime))
}

/// Looks for the library and loads it.
fn search(variables: &find::Variables<'_>, program: Option<&Path>) -> Result<OnnxRuntime> {
    if let Some((variable, path)) = find::ONNXRUNTIME.by_variable(variables) {
        let refuse = |why: String| Error::Named { variable, path: path.clone(), why };
        let library = if path.is_dir() {
            let first = find::ONNXRUNTIME.libraries(&path).into_iter().next();
            first.ok_or_else(|| refuse("there is no library of ONNX Runtime in this folder".into()))?
        } else {
            std::path::absolute(&path).map_err(|e| refuse(e.to_string()))?
        };
        if !library.is_file() {
            return Err(refuse("there is no such file".into()));
        }
        return OnnxRuntime::start(&library)?.map_err(refuse);
    }
    let looked = find::ONNXRUNTIME.folders(variables, program);
    let mut refused = Vec::new();
    for path in looked.iter().flat_map(|folder| find::ONNXRUNTIME.libraries(folder)) {
        match OnnxRuntime::start(&path)? {
            Ok(runtime) => return Ok(runtime),
            Err(why) => refused.push(Refused { path, why }),
        }
    }
    Err(Error::Missing { runtime: NAME, looked, refused })
}

impl OnnxRuntime {
    /// Loads the library; in the inner error is why it cannot be one.
    fn start(library: &Path) -> Result<Result<Self, String>> {
        let version = match version(library) {
            Ok(version) => version,
            Err(why) => return Ok(Err(why)),
        };
        let failed = |why: String| Error::Start { runtime: NAME, why };
        let environment = ort::init_from(library)
            .map_err(|e| failed(e.to_string()))?
            .with_name("occam")
            .with_telemetry(false)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        Ok(Ok(Self { library: library.to_owned(), version, environment }))
    }

    /// The library's file.
    pub fn library(&self) -> &Path {
        &self.library
    }
}

/// The version of a library that serves the interface which is needed, or why it does not; `ort` would panic on some of
/// the reasons.
fn version(library: &Path) -> Result<String, String> {
    type Base = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: Loading a library runs its initializers, which is what loading ONNX Runtime is for. The function is declared as
    // in `onnxruntime_c_api.h`; what it returns is a static of the library.
    unsafe {
        let loaded = libloading::Library::new(library).map_err(|e| format!("it cannot be loaded: {e}"))?;
        let base = loaded
            .get::<Base>(b"OrtGetApiBase")
            .map_err(|_| "it is no library of ONNX Runtime".to_owned())?;
        let base = base().as_ref().ok_or("it offers no interface")?;
        let version = CStr::from_ptr((base.GetVersionString)()).to_string_lossy().into_owned();
        let minor = version.split('.').nth(1).and_then(|m| m.parse::<u32>().ok());
        // Older libraries write a complaint when they are asked for an interface that they do not have.
        if minor.is_none_or(|m| m < ort::MINOR_VERSION) {
            return Err(format!("it is version {version}; 1.{} or later is needed", ort::MINOR_VERSION));
        }
        if (base.GetApi)(ort::sys::ORT_API_VERSION).is_null() {
            return Err(format!("version {version} has no interface of 1.{}", ort::MINOR_VERSION));
        }
        // Closed and opened again, a library would run its initializers twice.
        std::mem::forget(loaded);
        Ok(version)
    }
}

impl Runtime for OnnxRuntime {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn load(&self, file: &Path, threads: usize) -> Result<Box<dyn Session>> {
        Ok(Box::new(self.session(file, threads, None)?))
    }

    fn profile(
        &self,
        file: &Path,
        threads: usize,
        bindings: &Bindings,
        budget: &Budget,
    ) -> Result<Vec<Step>> {
        // The name is completed with the time of day.
        let mut loaded = self.session(file, threads, Some(&file.with_extension("profile")))?;
        let inputs = random_inputs(&loaded.inputs, bindings, 0)?;
        let ran = budget.spend(|| loaded.time(&inputs));
        let ended = loaded.session.end_profiling().map_err(|e| failed(file, e.to_string()));
        let report = ended.and_then(|path| {
            let text = std::fs::read_to_string(&path).map_err(|e| failed(file, format!("{path}: {e}")));
            // What cannot be removed stays beside the file.
            let _ = std::fs::remove_file(&path);
            text
        });
        ran?;
        let report = report?;
        let steps = kernels(&report).ok_or_else(|| failed(file, "its profile cannot be read".into()))?;
        Ok(profile::fastest(steps))
    }
}

impl OnnxRuntime {
    /// A session of `file`, which notes its steps in a file whose name starts with `profile`.
    fn session(&self, file: &Path, threads: usize, profile: Option<&Path>) -> Result<Loaded> {
        let refuse = |why: String| Error::Load { runtime: NAME, file: file.to_owned(), why };
        let mut builder = ort::session::Session::builder(&self.environment)
            .map_err(|e| refuse(e.to_string()))?
            .with_intra_threads(threads.max(1))
            .map_err(|e| refuse(e.to_string()))?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(|e| refuse(e.to_string()))?;
        if let Some(profile) = profile {
            builder = builder.with_profiling(profile).map_err(|e| refuse(e.to_string()))?;
        }
        let session = builder.commit_from_file(file).map_err(|e| refuse(e.to_string()))?;
        let ports = |outlets: &[Outlet]| outlets.iter().map(|o| port(file, o)).collect::<Result<Vec<_>>>();
        let (inputs, outputs) = (ports(session.inputs())?, ports(session.outputs())?);
        Ok(Loaded { file: file.to_owned(), session, inputs, outputs })
    }
}

/// Names and seconds of the kernels in a profile, in order of their start, run after run; none where it is no profile.
fn kernels(profile: &str) -> Option<Vec<(String, f64)>> {
    let events: Vec<Event> = serde_json::from_str(profile).ok()?;
    let kernel = |e: Event| Some((e.name.strip_suffix("_kernel_time")?.to_owned(), e.dur? * 1e-6));
    Some(events.into_iter().filter(|e| e.cat == "Node").filter_map(kernel).collect())
}

/// An event of a profile, as ONNX Runtime writes it for Chrome's viewer of traces.
#[derive(serde::Deserialize)]
struct Event {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    /// Microseconds.
    dur: Option<f64>,
}

/// A file in ONNX Runtime.
struct Loaded {
    file: PathBuf,
    session: ort::session::Session,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Loaded {
    /// The inputs as ONNX Runtime takes them; they are not copied.
    fn values<'a>(
        &self,
        inputs: &'a [(String, Array)],
    ) -> Result<Vec<(Cow<'a, str>, SessionInputValue<'a>)>> {
        let refuse = |name: &str, why: String| Error::Input { name: name.to_owned(), why };
        for port in &self.inputs {
            if !inputs.iter().any(|(name, _)| *name == port.name) {
                return Err(refuse(&port.name, format!("it is missing; {} is wanted", port.fact)));
            }
        }
        let mut values = Vec::new();
        for (name, array) in inputs {
            let Some(port) = self.inputs.iter().find(|p| p.name == *name) else {
                let names: Vec<&str> = self.inputs.iter().map(|p| &*p.name).collect();
                return Err(refuse(
                    name,
                    format!("the file has none of that name, but {}", names.join(", ")),
                ));
            };
            let fits = port.fact.dtype == array.dtype()
                && (port.fact.rank() == array.shape().len() || port.fact.shape.is_empty())
                && port.fact.shape.iter().zip(array.shape()).all(|(d, n)| d.known().is_none_or(|d| d == *n));
            if !fits {
                return Err(refuse(name, format!("{} is wanted, {array:?} given", port.fact)));
            }
            values.push((Cow::Borrowed(&**name), tensor(name, array)?));
        }
        Ok(values)
    }
}

fn failed(file: &Path, why: String) -> Error {
    Error::Run { runtime: NAME, file: file.to_owned(), why }
}

impl Session for Loaded {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>> {
        let values = self.values(inputs)?;
        let outputs = self.session.run(values).map_err(|e| failed(&self.file, e.to_string()))?;
        outputs
            .iter()
            .map(|(name, value)| {
                let array =
                    array(&value).map_err(|why| failed(&self.file, format!("output `{name}`: {why}")))?;
                Ok((name.to_owned(), array))
            })
            .collect()
    }

    fn time(&mut self, inputs: &[(String, Array)]) -> Result<Duration> {
        let values = self.values(inputs)?;
        let started = Instant::now();
        let outputs = self.session.run(values);
        let time = started.elapsed();
        outputs.map_err(|e| failed(&self.file, e.to_string()))?;
        Ok(time)
    }
}

/// What an input or output is.
fn port(file: &Path, outlet: &Outlet) -> Result<Port> {
    let name = outlet.name().to_owned();
    let refuse = |what: String| Error::Port { file: file.to_owned(), name: name.clone(), what };
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return Err(refuse("no array".into()));
    };
    let dtype = dtype(*ty).ok_or_else(|| refuse(format!("an array of type {ty}")))?;
    let dims = shape.iter().zip(dimension_symbols.iter()).enumerate().map(|(axis, (&size, symbol))| {
        match usize::try_from(size) {
            Ok(size) => Dim::Known(size),
            Err(_) if symbol.is_empty() => Dim::symbol(&format!("{name}.{axis}")),
            Err(_) => Dim::symbol(symbol),
        }
    });
    Ok(Port { fact: Fact::new(dtype, dims.collect::<Vec<_>>()), name: name.clone() })
}

/// The element type, where arrays have it as ONNX Runtime does: a number of whole bytes.
fn dtype(of: TensorElementType) -> Option<DType> {
    Some(match of {
        TensorElementType::Float32 => DType::F32,
        TensorElementType::Float64 => DType::F64,
        TensorElementType::Float16 => DType::F16,
        TensorElementType::Bfloat16 => DType::BF16,
        TensorElementType::Int8 => DType::I8,
        TensorElementType::Uint8 => DType::U8,
        TensorElementType::Int16 => DType::I16,
        TensorElementType::Uint16 => DType::U16,
        TensorElementType::Int32 => DType::I32,
        TensorElementType::Uint32 => DType::U32,
        TensorElementType::Int64 => DType::I64,
        TensorElementType::Uint64 => DType::U64,
        TensorElementType::Bool => DType::Bool,
        _ => return None,
    })
}

/// Runs `$body` with `$v` bound to the vector of whichever variant `$data` is, and `$none` for codes.
macro_rules! each {
    ($data:expr, $v:ident => $body:expr, $none:expr) => {
        match $data {
            Data::F32($v) => $body,
            Data::F64($v) => $body,
            Data::F16($v) => $body,
            Data::BF16($v) => $body,
            Data::I8($v) => $body,
            Data::U8($v) => $body,
            Data::I16($v) => $body,
            Data::U16($v) => $body,
            Data::I32($v) => $body,
            Data::U32($v) => $body,
            Data::I64($v) => $body,
            Data::U64($v) => $body,
            Data::Bool($v) => $body,
            Data::Narrow(..) => $none,
        }
    };
}

/// An array as ONNX Runtime takes it.
fn tensor<'a>(name: &str, array: &'a Array) -> Result<SessionInputValue<'a>> {
    let refuse = |why: String| Error::Input { name: name.to_owned(), why };
    each!(
        array.data(),
        v => match TensorRef::from_array_view((array.shape(), &**v)) {
            Ok(tensor) => Ok(tensor.into()),
            Err(e) => Err(refuse(e.to_string())),
        },
        Err(refuse(format!("elements of type {} cannot be given", array.dtype())))
    )
}

/// What ONNX Runtime gave, as an array; the error says what it is instead.
fn array(value: &DynValue) -> Result<Array, String> {
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err("it is no array".into());
    };
    macro_rules! take {
        ($($dtype:ident: $t:ty),*) => {
            match dtype(*ty) {
                $(Some(DType::$dtype) => {
                    let (shape, elements) = value.try_extract_tensor::<$t>().map_err(|e| e.to_string())?;
                    (shape.to_vec(), Data::$dtype(elements.to_vec()))
                })*
                _ => return Err(format!("it is an array of type {ty}")),
            }
        };
    }
    let (shape, data) = take!(
        F32: f32, F64: f64, F16: f16, BF16: bf16, I8: i8, U8: u8, I16: i16, U16: u16, I32: i32, U32: u32, I64: i64,
        U64: u64, Bool: bool
    );
    let shape: Vec<usize> = shape.into_iter().map(|d| usize::try_from(d).unwrap_or(0)).collect();
    Array::new(shape, data).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    /// What is said of the library that `OCCAM_ONNXRUNTIME` names.
    fn refused(path: &Path) -> String {
        let value = OsString::from(path);
        let found = search(&|name| (name == find::ONNXRUNTIME.named[0]).then(|| value.clone()), None);
        let error = found.err().unwrap();
        assert!(error.help().unwrap().contains("pip install onnxruntime"));
        let message = error.to_string();
        let named = format!("OCCAM_ONNXRUNTIME={}: ", path.display());
        message.strip_prefix(&named).unwrap_or_else(|| panic!("{message}")).to_owned()
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(refused(&dir.path().join("none.so")), "there is no such file");
        assert_eq!(refused(dir.path()), "there is no library of ONNX Runtime in this folder");
        let text = dir.path().join("text.so");
        std::fs::write(&text, "no library").unwrap();
        assert!(refused(&text).starts_with("it cannot be loaded: "));
    }

    /// Libraries that look like one; made with `rustc`, which runs tests.
    #[test]
    #[cfg(target_os = "linux")]
    fn other_libraries_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let build = |name: &str, source: &str| {
            let (file, library) = (dir.path().join(name).with_extension("rs"), dir.path().join(name));
            std::fs::write(&file, source).unwrap();
            let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
            let done = std::process::Command::new(rustc)
                .args(["--edition=2024", "--crate-type=cdylib", "-Cpanic=abort", "-o"])
                .args([&library, &file])
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            library
        };
        let other = build("other.so", "#[unsafe(no_mangle)] pub extern \"C\" fn add() {}");
        assert_eq!(refused(&other), "it is no library of ONNX Runtime");
        let base = |version: &str| {
            format!(
                "use std::ffi::{{c_char, c_void}};
                #[repr(C)] pub struct Base(
                    extern \"C\" fn(u32) -> *const c_void, extern \"C\" fn() -> *const c_char);
                extern \"C\" fn api(_: u32) -> *const c_void {{ std::ptr::null() }}
                extern \"C\" fn version() -> *const c_char {{ c\"{version}\".as_ptr() }}
                static BASE: Base = Base(api, version);
                #[unsafe(no_mangle)] pub extern \"C\" fn OrtGetApiBase() -> *const Base {{ &BASE }}"
            )
        };
        let old = build("old.so", &base("1.9.0"));
        assert_eq!(refused(&old), "it is version 1.9.0; 1.17 or later is needed");
        let empty = build("empty.so", &base("1.40.0"));
        assert_eq!(refused(&empty), "version 1.40.0 has no interface of 1.17");
        let nothing = build(
            "nothing.so",
            "#[unsafe(no_mangle)] pub extern \"C\" fn OrtGetApiBase() -> *const u8 { std::ptr::null() }",
        );
        assert_eq!(refused(&nothing), "it offers no interface");
        // Without a variable the next is tried, and all are told.
        let python = dir.path().join("lib/python3.12/site-packages/onnxruntime/capi");
        std::fs::create_dir_all(&python).unwrap();
        std::fs::copy(&old, python.join("libonnxruntime.so.1.9.0")).unwrap();
        let environment = OsString::from(dir.path());
        match search(&|name| (name == "VIRTUAL_ENV").then(|| environment.clone()), None) {
            // The system has one.
            Ok(_) => {}
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains("libonnxruntime.so.1.9.0 (it is version 1.9.0; 1.17"), "{message}");
                assert!(message.contains("; looked in /usr/local/lib"), "{message}");
            }
        }
    }
}
