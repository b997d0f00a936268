//! Memory that tasks share, and memory that a thread keeps.

use std::cell::RefCell;
use std::mem::MaybeUninit;

/// A pointer into a buffer that several tasks write, each its own elements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: whoever writes through it writes elements that no other task touches (see the uses).
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new(data: &mut [f32]) -> Self {
        Self(data.as_mut_ptr())
    }

    /// # Safety
    /// Element `i` lies in the buffer.
    #[inline(always)]
    pub(crate) unsafe fn at(self, i: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(i) }
    }

    /// Elements that may not have been written yet.
    ///
    /// # Safety
    /// They lie in the buffer, and nobody else reads or writes them meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn slice<'a>(self, first: usize, len: usize) -> &'a mut [MaybeUninit<f32>] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(first).cast(), len) }
    }

    /// Writes a row from element `first` on.
    ///
    /// # Safety
    /// It lies in the buffer, and nobody else reads or writes its elements meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn put(self, first: usize, row: &[f32]) {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), self.0.add(first), row.len()) }
    }

    /// Writes zeros, and gives them.
    ///
    /// # Safety
    /// The elements lie in the buffer, and nobody else reads or writes them meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn zeros<'a>(self, first: usize, len: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise; no bit set is 0, so that all elements are written.
        unsafe {
            let at = self.0.add(first);
            std::ptr::write_bytes(at, 0, len);
            std::slice::from_raw_parts_mut(at, len)
        }
    }
}

/// A result that is written in full before it is read.
#[derive(Debug)]
pub(crate) struct Output {
    data: Vec<f32>,
    len: usize,
}

impl Output {
    pub(crate) fn new(len: usize) -> Self {
        Self { data: Vec::with_capacity(len), len }
    }

    pub(crate) fn shared(&mut self) -> Shared {
        Shared(self.data.as_mut_ptr())
    }

    /// # Safety
    /// Every element was written.
    pub(crate) unsafe fn finish(mut self) -> Vec<f32> {
        // SAFETY: the caller's promise, and the capacity is `len` at least.
        unsafe { self.data.set_len(self.len) };
        self.data
    }
}

/// Scratch of one thread, kept from call to call.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) a: Vec<f32>,
    pub(crate) b: Vec<f32>,
    pub(crate) c: Vec<f32>,
    pub(crate) d: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Runs `work` with this thread's scratch.
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.take();
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}

/// `n` elements of a scratch vector, whatever they are.
pub(crate) fn room(scratch: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if scratch.len() < n {
        scratch.resize(n, 0.0);
    }
    &mut scratch[..n]
}
