//! Random inputs for files whose outputs do not matter.

use occam_data::Seed;
use occam_data::streams::Draw;
use occam_graph::{Array, Bindings, DType, Data, Dim, Fact};

use crate::{Error, Port, Result};

/// Random arrays for all `ports`; see [`random`].
///
/// # Errors
/// As [`random`].
pub fn random_inputs(ports: &[Port], bindings: &Bindings, seed: u64) -> Result<Vec<(String, Array)>> {
    ports.iter().map(|p| Ok((p.name.clone(), random(&p.name, &p.fact, bindings, seed)?))).collect()
}

/// A random array for the input `name`; a pure function of its arguments.
///
/// Floats are uniform in `[0, 1)`, `u8` in 0..255, other integers 0 or 1, which every table of embeddings has. A named size
/// that `bindings` does not hold is 1.
///
/// # Errors
/// Its size cannot be computed, it has 2³² elements or more, or elements of a type other than `f32`, `f64`, `f16`, `bf16`,
/// `u8`, `i8`, `i32`, `i64` and `bool`.
pub fn random(name: &str, fact: &Fact, bindings: &Bindings, seed: u64) -> Result<Array> {
    let refuse = |why| Error::Random { name: name.to_owned(), fact: fact.clone(), why };
    let shape = shape(fact, bindings)?;
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n < 1 << 32);
    let count = count.ok_or_else(|| refuse("it is too large"))?;
    let mut stream = Seed(seed).stream(name, &[]);
    let uniform: Vec<f32> = (0..count).map(|_| stream.uniform_f32()).collect();
    let data = match fact.dtype {
        DType::F32 => Data::F32(uniform),
        DType::F64 => Data::F64(uniform.into_iter().map(f64::from).collect()),
        DType::F16 => Data::F16(uniform.into_iter().map(half::f16::from_f32).collect()),
        DType::BF16 => Data::BF16(uniform.into_iter().map(half::bf16::from_f32).collect()),
        DType::U8 => Data::U8(uniform.into_iter().map(|x| (x * 255.0) as u8).collect()),
        DType::I8 => Data::I8(uniform.into_iter().map(|x| (x * 2.0) as i8).collect()),
        DType::I32 => Data::I32(uniform.into_iter().map(|x| (x * 2.0) as i32).collect()),
        DType::I64 => Data::I64(uniform.into_iter().map(|x| (x * 2.0) as i64).collect()),
        DType::Bool => Data::Bool(uniform.into_iter().map(|x| x < 0.5).collect()),
        _ => return Err(refuse("random elements of this type are not made")),
    };
    Ok(Array::new(shape, data)?)
}

/// The shape of an input under `bindings`; a named size that they do not hold is 1.
///
/// # Errors
/// A size that is computed from others overflows.
pub fn shape(fact: &Fact, bindings: &Bindings) -> Result<Vec<usize>> {
    let size = |d: &Dim| match d {
        Dim::Symbol(s) => Ok(bindings.get(&**s).copied().unwrap_or(1)),
        d => d.eval(bindings),
    };
    Ok(fact.shape.iter().map(size).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_a_function_of_name_and_seed() {
        let fact = Fact::f32([Dim::symbol("N"), Dim::Known(3)]);
        let bindings = Bindings::from([("N".into(), 2)]);
        let a = random("x", &fact, &bindings, 0).unwrap();
        assert_eq!(a.shape(), [2, 3]);
        assert_eq!(a, random("x", &fact, &bindings, 0).unwrap());
        assert_ne!(a, random("y", &fact, &bindings, 0).unwrap());
        assert_ne!(a, random("x", &fact, &bindings, 1).unwrap());
        assert_eq!(random("x", &fact, &Bindings::new(), 0).unwrap().shape(), [1, 3]);
    }

    #[test]
    fn impossible_ones_are_refused() {
        let message = |fact: Fact| random("x", &fact, &Bindings::new(), 0).unwrap_err().to_string();
        assert_eq!(
            message(Fact::new(DType::U64, [2usize])),
            "input `x` u64[2]: random elements of this type are not made"
        );
        assert!(message(Fact::f32([1usize << 40])).ends_with("it is too large"));
    }
}
