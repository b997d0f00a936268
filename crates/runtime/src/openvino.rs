//! OpenVINO, through its functions for C.
//!
//! The library is bound as it is found: versions differ in the numbers of their element types, so no table of them is
//! compiled in ([`Types`]).

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use occam_graph::{Array, Bindings, DType, Data, Dim, Fact};

use crate::error::{Error, Refused, Result};
use crate::inputs::random_inputs;
use crate::profile::{self, Budget, Step};
use crate::{Port, Runtime, Session, find};

/// The runtime's name, for people.
const NAME: &str = "OpenVINO";

/// An object of the library.
type Object = *mut c_void;

/// `ov_version_t`
#[repr(C)]
struct RawVersion {
    build: *const c_char,
    description: *const c_char,
}

/// `ov_shape_t`
#[repr(C)]
#[derive(Clone, Copy)]
struct RawShape {
    rank: i64,
    dims: *mut i64,
}

/// `ov_dimension_t`
#[repr(C)]
#[derive(Clone, Copy)]
struct RawDim {
    min: i64,
    max: i64,
}

/// `ov_partial_shape_t`
#[repr(C)]
struct RawPartialShape {
    rank: RawDim,
    dims: *mut RawDim,
}

/// `ov_profiling_info_t`
#[repr(C)]
struct RawInfo {
    status: c_int,
    /// Microseconds.
    real_time: i64,
    cpu_time: i64,
    node_name: *const c_char,
    exec_type: *const c_char,
    node_type: *const c_char,
}

/// `ov_profiling_info_list_t`
#[repr(C)]
struct RawInfos {
    list: *mut RawInfo,
    size: usize,
}

macro_rules! functions {
    ($($name:ident: $type:ty,)*) => {
        /// The functions that are used, as `openvino/c/openvino.h` declares them.
        #[derive(Clone, Copy)]
        struct Functions {
            $($name: $type,)*
            /// Since version 2023.1.
            ov_get_last_err_msg: Option<unsafe extern "C" fn() -> *const c_char>,
        }

        impl Functions {
    /// A property of a compiled model; none where the library does not tell.
    fn property(&self, compiled: &Owned, key: &CStr) -> Option<String> {
        let mut value = std::ptr::null_mut();
        // SAFETY: The function writes a string of C, which it gives away.
        unsafe {
            if (self.ov_compiled_model_get_property)(compiled.raw, key.as_ptr(), &mut value) != 0 || value.is_null() {
                return None;
            }
            let text = CStr::from_ptr(value).to_string_lossy().into_owned();
            (self.ov_free)(value);
            Some(text)
        }
    }

            /// # Safety
            /// The library is one of OpenVINO, and stays loaded.
            unsafe fn of(library: &libloading::Library) -> Result<Self, String> {
                // SAFETY: The types are those of the header, which have been the same since version 2023.0.
                unsafe {
                    Ok(Self {
                        $($name: *library
                            .get::<$type>(concat!(stringify!($name), "\0").as_bytes())
                            .map_err(|_| concat!("it has no function ", stringify!($name)).to_owned())?,)*
                        ov_get_last_err_msg: library.get(b"ov_get_last_err_msg\0").ok().map(|f| *f),
                    })
                }
            }
        }
    };
}

functions! {
    ov_get_openvino_version: unsafe extern "C" fn(*mut RawVersion) -> c_int,
    ov_version_free: unsafe extern "C" fn(*mut RawVersion),
    ov_get_error_info: unsafe extern "C" fn(c_int) -> *const c_char,
    ov_free: unsafe extern "C" fn(*const c_char),
    ov_core_create: unsafe extern "C" fn(*mut Object) -> c_int,
    ov_core_read_model: unsafe extern "C" fn(Object, *const c_char, *const c_char, *mut Object) -> c_int,
    ov_core_compile_model:
        unsafe extern "C" fn(Object, Object, *const c_char, usize, *mut Object, ...) -> c_int,
    ov_model_free: unsafe extern "C" fn(Object),
    ov_compiled_model_free: unsafe extern "C" fn(Object),
    ov_compiled_model_get_property: unsafe extern "C" fn(Object, *const c_char, *mut *mut c_char) -> c_int,
    ov_compiled_model_inputs_size: unsafe extern "C" fn(Object, *mut usize) -> c_int,
    ov_compiled_model_outputs_size: unsafe extern "C" fn(Object, *mut usize) -> c_int,
    ov_compiled_model_input_by_index: unsafe extern "C" fn(Object, usize, *mut Object) -> c_int,
    ov_compiled_model_output_by_index: unsafe extern "C" fn(Object, usize, *mut Object) -> c_int,
    ov_compiled_model_create_infer_request: unsafe extern "C" fn(Object, *mut Object) -> c_int,
    ov_output_const_port_free: unsafe extern "C" fn(Object),
    ov_port_get_any_name: unsafe extern "C" fn(Object, *mut *mut c_char) -> c_int,
    ov_port_get_element_type: unsafe extern "C" fn(Object, *mut c_int) -> c_int,
    ov_port_get_partial_shape: unsafe extern "C" fn(Object, *mut RawPartialShape) -> c_int,
    ov_partial_shape_free: unsafe extern "C" fn(*mut RawPartialShape),
    ov_infer_request_free: unsafe extern "C" fn(Object),
    ov_infer_request_set_input_tensor_by_index: unsafe extern "C" fn(Object, usize, Object) -> c_int,
    ov_infer_request_get_output_tensor_by_index: unsafe extern "C" fn(Object, usize, *mut Object) -> c_int,
    ov_infer_request_infer: unsafe extern "C" fn(Object) -> c_int,
    ov_infer_request_get_profiling_info: unsafe extern "C" fn(Object, *mut RawInfos) -> c_int,
    ov_profiling_info_list_free: unsafe extern "C" fn(*mut RawInfos),
    ov_tensor_create: unsafe extern "C" fn(c_int, RawShape, *mut Object) -> c_int,
    ov_tensor_create_from_host_ptr: unsafe extern "C" fn(c_int, RawShape, *mut c_void, *mut Object) -> c_int,
    ov_tensor_get_shape: unsafe extern "C" fn(Object, *mut RawShape) -> c_int,
    ov_tensor_get_element_type: unsafe extern "C" fn(Object, *mut c_int) -> c_int,
    ov_tensor_get_byte_size: unsafe extern "C" fn(Object, *mut usize) -> c_int,
    ov_tensor_data: unsafe extern "C" fn(Object, *mut *mut c_void) -> c_int,
    ov_tensor_free: unsafe extern "C" fn(Object),
    ov_shape_free: unsafe extern "C" fn(*mut RawShape) -> c_int,
}

/// The numbers that a library gives element types, in the order of the header from `boolean` on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Types(Vec<(c_int, DType)>);

impl Types {
    /// From what an array of 24 elements of each number takes: versions put types in or leave some out, and the sizes say
    /// which. `bytes` is none for numbers that are no type of a fixed size.
    ///
    /// The order is `boolean, bf16, f16, f32, f64, i4, i8, i16, i32, i64`, then narrow types, `u8, u16, u32, u64`.
    fn of(bytes: impl Fn(c_int) -> Option<usize>) -> Option<Self> {
        use DType::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        let run = |first: c_int, sizes: &[usize]| {
            (first..).zip(sizes).all(|(code, &size)| bytes(code) == Some(24 * size))
        };
        let floats = (0..8).find(|&code| run(code, &[1, 2, 2, 4, 8]))?;
        let signed = floats + 6;
        if !run(signed, &[1, 2, 4, 8]) {
            return None;
        }
        let unsigned = (signed + 4..signed + 16).find(|&code| run(code, &[1, 2, 4, 8]))?;
        let all = [
            (floats, &[Bool, BF16, F16, F32, F64][..]),
            (signed, &[I8, I16, I32, I64]),
            (unsigned, &[U8, U16, U32, U64]),
        ];
        Some(Self(all.into_iter().flat_map(|(first, list)| (first..).zip(list.iter().copied())).collect()))
    }

    fn dtype(&self, code: c_int) -> Option<DType> {
        self.0.iter().find(|(c, _)| *c == code).map(|&(_, dtype)| dtype)
    }

    fn code(&self, dtype: DType) -> Option<c_int> {
        self.0.iter().find(|(_, d)| *d == dtype).map(|&(code, _)| code)
    }
}

/// A library of OpenVINO that has been loaded.
pub struct OpenVino {
    library: PathBuf,
    version: String,
    functions: Functions,
    types: Types,
    core: Object,
}

// SAFETY: OpenVINO's core, compiled models and requests may be used from any thread; a request is used by one at a time.
unsafe impl Send for OpenVino {}
// SAFETY: As above; reading and compiling models with one core from several threads is allowed.
unsafe impl Sync for OpenVino {}

/// OpenVINO, 2023.0 or later. A process loads it once, and keeps it.
///
/// The library is `libopenvino_c`: the file, or in the folder, that `OCCAM_OPENVINO` names. Without it, the first that can be
/// loaded of those beside the program, in the system's folders of libraries, in `$INTEL_OPENVINO_DIR/runtime/lib/intel64`,
/// and in Python environments: the active one, that of `python3` on the path, and the user's own. No Python is run.
///
/// # Errors
/// There is none, or it is too old, or it is no library of OpenVINO.
pub fn openvino() -> Result<&'static OpenVino> {
    static FOUND: OnceLock<OpenVino> = OnceLock::new();
    static SEARCH: Mutex<()> = Mutex::new(());
    let _one_searches = SEARCH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = FOUND.get() {
        return Ok(runtime);
    }
    let runtime = search(&|name| std::env::var_os(name), std::env::current_exe().ok().as_deref())?;
    Ok(FOUND.get_or_init(|| runtime))
}

/// Looks for the library and loads it.
fn search(variables: &find::Variables<'_>, program: Option<&Path>) -> Result<OpenVino> {
    if let Some((variable, path)) = find::OPENVINO.by_variable(variables) {
        let refuse = |why: String| Error::Named { variable, path: path.clone(), why };
        let library = if path.is_dir() {
            let first = find::OPENVINO.libraries(&path).into_iter().next();
            first.ok_or_else(|| refuse("there is no library of OpenVINO in this folder".into()))?
        } else {
            std::path::absolute(&path).map_err(|e| refuse(e.to_string()))?
        };
        if !library.is_file() {
            return Err(refuse("there is no such file".into()));
        }
        return OpenVino::start(&library).map_err(refuse);
    }
    let looked = find::OPENVINO.folders(variables, program);
    let mut refused = Vec::new();
    for path in looked.iter().flat_map(|folder| find::OPENVINO.libraries(folder)) {
        match OpenVino::start(&path) {
            Ok(runtime) => return Ok(runtime),
            Err(why) => refused.push(Refused { path, why }),
        }
    }
    Err(Error::Missing { runtime: NAME, looked, refused })
}

/// An object that is freed when it is let go.
struct Owned {
    raw: Object,
    free: unsafe extern "C" fn(Object),
}

// SAFETY: As for `OpenVino`.
unsafe impl Send for Owned {}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: The library made the object and gave it away.
        unsafe { (self.free)(self.raw) }
    }
}

impl OpenVino {
    /// Loads the library, or says why it cannot be one.
    fn start(library: &Path) -> Result<Self, String> {
        // SAFETY: Loading a library runs its initializers, which is what loading OpenVINO is for.
        let loaded =
            unsafe { libloading::Library::new(library) }.map_err(|e| format!("it cannot be loaded: {e}"))?;
        // SAFETY: The library is never unloaded: it is forgotten below, or it has no such functions.
        let functions = unsafe { Functions::of(&loaded) }?;
        // Closed, its threads would run code that is gone.
        std::mem::forget(loaded);
        let mut raw = RawVersion { build: std::ptr::null(), description: std::ptr::null() };
        // SAFETY: The struct is the library's, which fills it with strings that are valid until they are freed.
        let version = unsafe {
            if (functions.ov_get_openvino_version)(&mut raw) != 0 || raw.build.is_null() {
                return Err("it does not tell its version".into());
            }
            let version = CStr::from_ptr(raw.build).to_string_lossy().into_owned();
            (functions.ov_version_free)(&mut raw);
            version
        };
        // `2026.4.1-22014-...`
        let version = version.split('-').next().unwrap_or_default().to_owned();
        let mut core = std::ptr::null_mut();
        // SAFETY: The function writes one pointer.
        let status = unsafe { (functions.ov_core_create)(&mut core) };
        if status != 0 {
            return Err(format!("it does not start: {}", functions.why(status)));
        }
        let types = Types::of(|code| functions.bytes(code)).ok_or("its element types are not known")?;
        Ok(Self { library: library.to_owned(), version, functions, types, core })
    }

    /// The library's file.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// A session of `file`; `profiled` says whether it notes the times of its steps.
    fn session(&self, file: &Path, threads: usize, profiled: bool) -> Result<Loaded> {
        let refuse = |why: String| Error::Load { runtime: NAME, file: file.to_owned(), why };
        let f = &self.functions;
        let path = CString::new(file.to_string_lossy().as_bytes()).map_err(|e| refuse(e.to_string()))?;
        let failed = |status: c_int| refuse(f.why(status));
        let model = f.made(f.ov_model_free, |out| {
            // SAFETY: The path is a string of C; without a second one, weights are looked for beside it.
            unsafe { (f.ov_core_read_model)(self.core, path.as_ptr(), std::ptr::null(), out) }
        });
        let model = model.map_err(failed)?;
        let threads = CString::new(threads.max(1).to_string()).map_err(|e| refuse(e.to_string()))?;
        let profiled = if profiled { c"YES" } else { c"NO" };
        let compiled = f.made(f.ov_compiled_model_free, |out| {
            // SAFETY: Four names with their values follow, as the count says.
            unsafe {
                (f.ov_core_compile_model)(
                    self.core,
                    model.raw,
                    c"CPU".as_ptr(),
                    8,
                    out,
                    c"PERFORMANCE_HINT".as_ptr(),
                    c"LATENCY".as_ptr(),
                    c"INFERENCE_NUM_THREADS".as_ptr(),
                    threads.as_ptr(),
                    c"PERF_COUNT".as_ptr(),
                    profiled.as_ptr(),
                    c"NUM_STREAMS".as_ptr(),
                    c"1".as_ptr(),
                )
            }
        });
        let compiled = compiled.map_err(failed)?;
        let precision = f.property(&compiled, c"INFERENCE_PRECISION_HINT").filter(|p| p != "f32");
        let request = f.made(f.ov_infer_request_free, |out| {
            // SAFETY: The function writes one pointer.
            unsafe { (f.ov_compiled_model_create_infer_request)(compiled.raw, out) }
        });
        let request = request.map_err(failed)?;
        let named = names(file);
        let ports = |count: unsafe extern "C" fn(Object, *mut usize) -> c_int,
                     get: unsafe extern "C" fn(Object, usize, *mut Object) -> c_int| {
            let mut n = 0;
            // SAFETY: The function writes one number.
            let status = unsafe { count(compiled.raw, &mut n) };
            if status != 0 {
                return Err(failed(status));
            }
            (0..n)
                .map(|i| {
                    // SAFETY: The index is below the count.
                    let port =
                        f.made(f.ov_output_const_port_free, |out| unsafe { get(compiled.raw, i, out) });
                    self.port(file, &port.map_err(failed)?, &named)
                })
                .collect::<Result<Vec<Port>>>()
        };
        let inputs = ports(f.ov_compiled_model_inputs_size, f.ov_compiled_model_input_by_index)?;
        let outputs = ports(f.ov_compiled_model_outputs_size, f.ov_compiled_model_output_by_index)?;
        Ok(Loaded {
            functions: self.functions,
            types: self.types.clone(),
            file: file.to_owned(),
            request,
            _compiled: compiled,
            inputs,
            outputs,
            precision,
        })
    }

    /// What an input or output is.
    fn port(&self, file: &Path, port: &Owned, named: &[Port]) -> Result<Port> {
        let f = &self.functions;
        let failed = |status: c_int| failed(file, f.why(status));
        let (mut name, mut code) = (std::ptr::null_mut(), 0);
        let mut raw = RawPartialShape { rank: RawDim { min: 0, max: 0 }, dims: std::ptr::null_mut() };
        // SAFETY: Each function fills what it is given; the name and the sizes are freed as the library wants it.
        let (name, dims) = unsafe {
            let status = (f.ov_port_get_any_name)(port.raw, &mut name);
            if status != 0 {
                return Err(failed(status));
            }
            let text = CStr::from_ptr(name).to_string_lossy().into_owned();
            (f.ov_free)(name);
            let status = (f.ov_port_get_element_type)(port.raw, &mut code);
            if status != 0 {
                return Err(failed(status));
            }
            let status = (f.ov_port_get_partial_shape)(port.raw, &mut raw);
            if status != 0 {
                return Err(failed(status));
            }
            let fixed = raw.rank.min == raw.rank.max && raw.rank.max > 0 && !raw.dims.is_null();
            let rank = if fixed { usize::try_from(raw.rank.max).unwrap_or(0) } else { 0 };
            let dims: Vec<RawDim> =
                if rank == 0 { Vec::new() } else { std::slice::from_raw_parts(raw.dims, rank).to_vec() };
            (f.ov_partial_shape_free)(&mut raw);
            (text, dims)
        };
        let Some(dtype) = self.types.dtype(code) else {
            let what = "of a type that arrays do not have".to_owned();
            return Err(Error::Port { file: file.to_owned(), name, what });
        };
        let own = named.iter().find(|p| p.name == name && p.fact.rank() == dims.len());
        let dims = dims.iter().enumerate().map(|(axis, d)| match usize::try_from(d.max) {
            Ok(size) if d.min == d.max => Dim::Known(size),
            _ => match own.and_then(|p| p.fact.shape.get(axis)) {
                Some(symbol @ Dim::Symbol(_)) => symbol.clone(),
                _ => Dim::symbol(&format!("{name}.{axis}")),
            },
        });
        Ok(Port { fact: Fact::new(dtype, dims.collect::<Vec<_>>()), name })
    }
}

/// The inputs of an ONNX file, which names sizes that OpenVINO only leaves open; none of other formats.
fn names(file: &Path) -> Vec<Port> {
    let model = occam_io::onnx::read_model(file).ok();
    let inputs = model.and_then(|m| occam_io::onnx::inputs(&m, file).ok()).unwrap_or_default();
    inputs.into_iter().map(|i| Port { name: i.name, fact: i.fact }).collect()
}

impl Functions {
    /// What went wrong: what the library says of its last error, or what its status means.
    fn why(&self, status: c_int) -> String {
        if let Some(last) = self.ov_get_last_err_msg {
            // SAFETY: The function gives away a string of C.
            let said = unsafe {
                let raw = last();
                let said = match raw.is_null() {
                    true => String::new(),
                    false => CStr::from_ptr(raw).to_string_lossy().into_owned(),
                };
                (self.ov_free)(raw);
                said
            };
            // Lines before the last name places in its sources.
            let line = said.lines().map(str::trim).rfind(|l| !l.is_empty());
            if let Some(line) = line {
                return line.to_owned();
            }
        }
        // SAFETY: The text is the library's own.
        let text = unsafe { (self.ov_get_error_info)(status) };
        if text.is_null() {
            return format!("status {status}");
        }
        // SAFETY: It is a string of C.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }

    /// An object that `make` writes.
    fn made(
        &self,
        free: unsafe extern "C" fn(Object),
        make: impl FnOnce(*mut Object) -> c_int,
    ) -> Result<Owned, c_int> {
        let mut raw = std::ptr::null_mut();
        match make(&mut raw) {
            0 if !raw.is_null() => Ok(Owned { raw, free }),
            0 => Err(-1),
            status => Err(status),
        }
    }

    /// What 24 elements of a type take.
    fn bytes(&self, code: c_int) -> Option<usize> {
        let mut dims = [24];
        let shape = RawShape { rank: 1, dims: dims.as_mut_ptr() };
        let tensor = self.made(self.ov_tensor_free, |out| {
            // SAFETY: The library copies the shape; a number that is no type is an error there.
            unsafe { (self.ov_tensor_create)(code, shape, out) }
        });
        let (tensor, mut bytes) = (tensor.ok()?, 0);
        // SAFETY: The function writes one number.
        let status = unsafe { (self.ov_tensor_get_byte_size)(tensor.raw, &mut bytes) };
        (status == 0).then_some(bytes)
    }
}

impl Runtime for OpenVino {
    fn name(&self) -> &'static str {
        "openvino"
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn load(&self, file: &Path, threads: usize) -> Result<Box<dyn Session>> {
        Ok(Box::new(self.session(file, threads, false)?))
    }

    fn profile(
        &self,
        file: &Path,
        threads: usize,
        bindings: &Bindings,
        budget: &Budget,
    ) -> Result<Vec<Step>> {
        let mut loaded = self.session(file, threads, true)?;
        let inputs = random_inputs(&loaded.inputs, bindings, 0)?;
        let mut times = Vec::new();
        budget.spend(|| {
            loaded.time(&inputs)?;
            times.extend(loaded.steps()?);
            Ok(())
        })?;
        Ok(profile::fastest(times))
    }
}

/// A file in OpenVINO.
struct Loaded {
    functions: Functions,
    types: Types,
    file: PathBuf,
    request: Owned,
    /// Let go after the request.
    _compiled: Owned,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    precision: Option<String>,
}

fn failed(file: &Path, why: String) -> Error {
    Error::Run { runtime: NAME, file: file.to_owned(), why }
}

impl Loaded {
    fn check(&self, status: c_int) -> Result<()> {
        if status == 0 { Ok(()) } else { Err(failed(&self.file, self.functions.why(status))) }
    }

    /// Gives the request its inputs. They are not copied: they must live until it has run.
    fn set(&self, inputs: &[(String, Array)]) -> Result<()> {
        let refuse = |name: &str, why: String| Error::Input { name: name.to_owned(), why };
        if let Some((name, _)) = inputs.iter().find(|(n, _)| self.inputs.iter().all(|p| p.name != *n)) {
            let known: Vec<&str> = self.inputs.iter().map(|p| p.name.as_str()).collect();
            let why = format!("the file has none of that name, but {}", known.join(", "));
            return Err(refuse(name, why));
        }
        let f = &self.functions;
        for (i, port) in self.inputs.iter().enumerate() {
            let Some((name, array)) = inputs.iter().find(|(name, _)| *name == port.name) else {
                return Err(refuse(&port.name, format!("it is missing; {} is wanted", port.fact)));
            };
            let fits = port.fact.dtype == array.dtype()
                && (port.fact.rank() == array.shape().len() || port.fact.shape.is_empty())
                && port.fact.shape.iter().zip(array.shape()).all(|(d, n)| d.known().is_none_or(|d| d == *n));
            if !fits {
                return Err(refuse(name, format!("{} is wanted, {array:?} given", port.fact)));
            }
            let code = self.types.code(array.dtype());
            let (Some(code), Some(data)) = (code, address(array.data())) else {
                return Err(refuse(name, format!("elements of type {} cannot be given", array.dtype())));
            };
            let mut dims: Vec<i64> = array.shape().iter().map(|&d| d as i64).collect();
            let shape = RawShape { rank: dims.len() as i64, dims: dims.as_mut_ptr() };
            let tensor = f.made(f.ov_tensor_free, |out| {
                // SAFETY: The elements are as many as the shape says, of the type of the number; they are only read.
                unsafe { (f.ov_tensor_create_from_host_ptr)(code, shape, data, out) }
            });
            let tensor = tensor.map_err(|status| failed(&self.file, f.why(status)))?;
            // SAFETY: The index is one of the inputs'; the request keeps the tensor.
            self.check(unsafe {
                (f.ov_infer_request_set_input_tensor_by_index)(self.request.raw, i, tensor.raw)
            })?;
        }
        Ok(())
    }

    fn infer(&self) -> Result<()> {
        // SAFETY: The inputs that were set are alive: callers hold them.
        self.check(unsafe { (self.functions.ov_infer_request_infer)(self.request.raw) })
    }

    /// Output `i` of the last run.
    fn output(&self, i: usize) -> Result<Array> {
        let f = &self.functions;
        let tensor = f.made(f.ov_tensor_free, |out| {
            // SAFETY: The index is one of the outputs'.
            unsafe { (f.ov_infer_request_get_output_tensor_by_index)(self.request.raw, i, out) }
        });
        let tensor = tensor.map_err(|status| failed(&self.file, f.why(status)))?;
        let (mut code, mut bytes, mut data) = (0, 0, std::ptr::null_mut());
        let mut raw = RawShape { rank: 0, dims: std::ptr::null_mut() };
        // SAFETY: Each function fills what it is given; the elements live as long as the tensor.
        let (shape, elements) = unsafe {
            self.check((f.ov_tensor_get_element_type)(tensor.raw, &mut code))?;
            self.check((f.ov_tensor_get_byte_size)(tensor.raw, &mut bytes))?;
            self.check((f.ov_tensor_get_shape)(tensor.raw, &mut raw))?;
            let rank = usize::try_from(raw.rank).unwrap_or(0);
            let shape: Vec<usize> = match rank {
                0 => Vec::new(),
                _ => std::slice::from_raw_parts(raw.dims, rank).iter().map(|&d| d as usize).collect(),
            };
            let _ = (f.ov_shape_free)(&mut raw);
            let elements: &[u8] = match bytes {
                0 => &[],
                _ => {
                    self.check((f.ov_tensor_data)(tensor.raw, &mut data))?;
                    std::slice::from_raw_parts(data.cast::<u8>(), bytes)
                }
            };
            (shape, elements)
        };
        let dtype = self.types.dtype(code);
        let dtype =
            dtype.ok_or_else(|| failed(&self.file, format!("output {i} has elements of no known type")))?;
        Ok(Array::from_le_bytes(dtype, shape, elements)?)
    }

    /// Names and seconds of the steps of the last run, in order.
    fn steps(&self) -> Result<Vec<(String, f64)>> {
        let f = &self.functions;
        let mut raw = RawInfos { list: std::ptr::null_mut(), size: 0 };
        // SAFETY: The function fills the list, whose strings live until it is freed.
        unsafe {
            self.check((f.ov_infer_request_get_profiling_info)(self.request.raw, &mut raw))?;
            let infos: &[RawInfo] =
                if raw.size == 0 { &[] } else { std::slice::from_raw_parts(raw.list, raw.size) };
            let ran = infos.iter().filter(|info| info.status == EXECUTED && !info.node_name.is_null());
            let steps = ran.map(|info| {
                (CStr::from_ptr(info.node_name).to_string_lossy().into_owned(), info.real_time as f64 * 1e-6)
            });
            let steps = steps.collect();
            (f.ov_profiling_info_list_free)(&mut raw);
            Ok(steps)
        }
    }
}

/// `ov_profiling_info_t::EXECUTED`
const EXECUTED: c_int = 2;

/// Where elements lie; none of narrow types.
fn address(data: &Data) -> Option<*mut c_void> {
    macro_rules! each {
        ($($of:ident)*) => {
            match data {
                $(Data::$of(v) => Some(v.as_ptr().cast_mut().cast()),)*
                Data::Narrow(..) => None,
            }
        };
    }
    each!(F32 F64 F16 BF16 I8 U8 I16 U16 I32 U32 I64 U64 Bool)
}

impl Session for Loaded {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn precision(&self) -> Option<&str> {
        self.precision.as_deref()
    }

    fn run(&mut self, inputs: &[(String, Array)]) -> Result<Vec<(String, Array)>> {
        self.set(inputs)?;
        self.infer()?;
        self.outputs.iter().enumerate().map(|(i, p)| Ok((p.name.clone(), self.output(i)?))).collect()
    }

    fn time(&mut self, inputs: &[(String, Array)]) -> Result<Duration> {
        self.set(inputs)?;
        let started = Instant::now();
        self.infer()?;
        Ok(started.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    /// What is said of the library that `OCCAM_OPENVINO` names.
    fn refused(path: &Path) -> String {
        let value = OsString::from(path);
        let error = search(&|name| (name == "OCCAM_OPENVINO").then(|| value.clone()), None).err().unwrap();
        assert!(error.help().unwrap().contains("pip install openvino"));
        let message = error.to_string();
        let named = format!("OCCAM_OPENVINO={}: ", path.display());
        message.strip_prefix(&named).unwrap_or_else(|| panic!("{message}")).to_owned()
    }

    #[test]
    fn other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(refused(&dir.path().join("none.so")), "there is no such file");
        assert_eq!(refused(dir.path()), "there is no library of OpenVINO in this folder");
        let text = dir.path().join("text.so");
        std::fs::write(&text, "no library").unwrap();
        assert!(refused(&text).starts_with("it cannot be loaded: "));
    }

    #[test]
    fn places_that_were_looked_at_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let environment = OsString::from(dir.path());
        match search(&|name| (name == "VIRTUAL_ENV").then(|| environment.clone()), None) {
            // The system has one.
            Ok(_) => {}
            Err(error) => {
                let message = error.to_string();
                assert!(message.starts_with("OpenVINO was not found; looked in "), "{message}");
                let pip = dir.path().join("lib/python3/site-packages/openvino/libs");
                assert!(message.contains(&pip.display().to_string()), "{message}");
                assert!(error.help().unwrap().contains("OCCAM_OPENVINO"));
            }
        }
    }

    /// Sizes in bits of the types of versions 2024.6, which has `undefined` and `dynamic`, and 2026.4.
    #[test]
    fn element_types_are_told_by_their_sizes() {
        const NEW: [usize; 25] =
            [0, 8, 16, 16, 32, 64, 4, 8, 16, 32, 64, 1, 2, 3, 4, 6, 8, 16, 32, 64, 4, 8, 8, 0, 4];
        let old: Vec<usize> = std::iter::once(0).chain(NEW).collect();
        let of = |bits: &[usize]| {
            let bytes = |code: c_int| {
                let bits = *bits.get(usize::try_from(code).ok()?)?;
                (bits > 0).then(|| bits * 24 / 8)
            };
            Types::of(bytes).unwrap()
        };
        let (new, old) = (of(&NEW), of(&old));
        for (dtype, code) in
            [(DType::Bool, 1), (DType::F16, 3), (DType::F32, 4), (DType::I64, 10), (DType::U8, 16)]
        {
            assert_eq!((new.code(dtype), old.code(dtype)), (Some(code), Some(code + 1)), "{dtype}");
            assert_eq!(new.dtype(code), Some(dtype));
        }
        assert_eq!(new.dtype(14), None, "4 bits");
        assert!(Types::of(|_| Some(24)).is_none());
    }

    /// Runs where the library is there.
    #[test]
    fn runs_what_the_exporter_ran() {
        let Ok(runtime) = openvino() else { return };
        assert!(runtime.version().starts_with("20"), "{}", runtime.version());
        let golden = occam_testing::workspace().join("tests/golden/onnx");
        let arrays = occam_io::npz::load(golden.join("arrays.npz")).unwrap();
        let file = golden.join("small.onnx");
        let mut session = runtime.load(&file, 1).unwrap();
        assert_eq!(session.inputs()[0].fact.to_string(), "f32[batch, 3, 32, 32]");
        let inputs = [("input".to_owned(), arrays["input"].clone())];
        let outputs = session.run(&inputs).unwrap();
        for (a, b) in outputs[0].1.as_f32().unwrap().iter().zip(arrays["output"].as_f32().unwrap()) {
            // Where the processor has them, bfloat16 is what OpenVINO computes with.
            assert!((a - b).abs() <= 0.05 * b.abs().max(1.0), "{a}, not {b}");
        }
        assert!(session.time(&inputs).unwrap() > Duration::ZERO);
        let error = session.run(&[]).unwrap_err().to_string();
        assert!(error.starts_with("input `input`: it is missing; f32[batch"), "{error}");
        let budget = Budget { warmup: 0, least: 1, most: 1, time: Duration::ZERO };
        let steps = runtime.profile(&file, 1, &Bindings::from([("batch".into(), 2)]), &budget).unwrap();
        assert!(!steps.is_empty());
        let other = tempfile::NamedTempFile::with_suffix(".onnx").unwrap();
        let error = runtime.load(other.path(), 1).err().unwrap().to_string();
        assert!(error.contains("OpenVINO cannot load it"), "{error}");
    }
}
