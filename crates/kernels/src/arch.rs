//! Which vectors are used: the widest that the processor has.

#[cfg(not(test))]
#[inline(always)]
pub(crate) fn arch() -> pulp::Arch {
    pulp::Arch::new()
}

#[cfg(test)]
pub(crate) use narrow::{arch, on_each};

#[cfg(test)]
#[path = "../tests/reference/conv.rs"]
mod reference;

/// Narrower vectors, for tests: what they compute on other processors is checked on this one.
#[cfg(test)]
mod narrow {
    use std::cell::Cell;

    use pulp::Arch;

    use super::reference;

    thread_local! {
        static FORCED: Cell<Option<Arch>> = const { Cell::new(None) };
    }

    pub(crate) fn arch() -> Arch {
        FORCED.get().unwrap_or_default()
    }

    /// Runs `work` with the widest vectors and without any: each on threads of its own, with which all is shared that it
    /// shares.
    pub(crate) fn on_each(work: impl Fn() + Send + Sync) {
        #[allow(unused_mut)]
        let mut all = vec![Arch::new(), Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        all.extend(pulp::x86::V3::try_new().map(Arch::V3));
        for arch in all {
            let force = move |_| FORCED.set(Some(arch));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).start_handler(force).build();
            pool.unwrap().install(&work);
        }
    }

    #[test]
    fn convolutions() {
        on_each(|| {
            for (i, d) in reference::each_way().iter().enumerate() {
                reference::check(d, i as u64).unwrap();
            }
        });
    }
}
