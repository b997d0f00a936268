//! Arithmetic, comparisons and logic of two values that broadcast.

use std::cmp::Ordering;

use super::{Def, Site, broadcast, contents, sizes};
use crate::content::{Content, Size};
use crate::{Array, DType, Data, Error, Inferred, Result};

pub(super) const TABLE: &[Def] = &[
    Def::new("Add", |s| arithmetic(s, contents::sum)).axes(broadcast::axes),
    Def::new("Sub", |s| arithmetic(s, contents::difference)).axes(broadcast::axes),
    Def::new("Mul", |s| arithmetic(s, contents::product)).axes(broadcast::axes),
    Def::new("Div", |s| arithmetic(s, contents::quotient)).axes(broadcast::axes),
    Def::new("Mod", modulo).axes(broadcast::axes),
    Def::new("Pow", power).axes(broadcast::axes),
    Def::new("And", |s| logic(s, |d| d == DType::Bool, "truth values")).axes(broadcast::axes),
    Def::new("Or", |s| logic(s, |d| d == DType::Bool, "truth values")).axes(broadcast::axes),
    Def::new("Xor", |s| logic(s, |d| d == DType::Bool, "truth values")).axes(broadcast::axes),
    Def::new("BitwiseAnd", |s| logic(s, DType::is_integer, "integers")).axes(broadcast::axes),
    Def::new("BitwiseOr", |s| logic(s, DType::is_integer, "integers")).axes(broadcast::axes),
    Def::new("BitwiseXor", |s| logic(s, DType::is_integer, "integers")).axes(broadcast::axes),
    Def::new("BitShift", |s| {
        logic(s, |d| matches!(d, DType::U8 | DType::U16 | DType::U32 | DType::U64), "unsigned integers")
    })
    .axes(broadcast::axes),
    Def::new("Equal", |s| comparison(s, |_| true, Ordering::is_eq)).axes(broadcast::axes),
    Def::new("Less", |s| comparison(s, numbers, Ordering::is_lt)).axes(broadcast::axes),
    Def::new("LessOrEqual", |s| comparison(s, numbers, Ordering::is_le)).axes(broadcast::axes),
    Def::new("Greater", |s| comparison(s, numbers, Ordering::is_gt)).axes(broadcast::axes),
    Def::new("GreaterOrEqual", |s| comparison(s, numbers, Ordering::is_ge)).axes(broadcast::axes),
];

fn numbers(dtype: DType) -> bool {
    dtype != DType::Bool
}

/// The type of both operands.
fn same(site: &Site<'_>, takes: fn(DType) -> bool, what: &str) -> Result<DType> {
    let (a, b) = (site.fact(0)?, site.fact(1)?);
    if a.dtype != b.dtype || !takes(a.dtype) {
        return Err(Error::Op(format!("takes {what} of one type, found {a} and {b}")));
    }
    Ok(a.dtype)
}

/// Numbers in, the same type out; elements that are sizes become `f` of them.
fn arithmetic(site: &Site<'_>, f: fn(&Size, &Size) -> Size) -> Result<Vec<Inferred>> {
    let dtype = same(site, numbers, "numbers")?;
    let known = broadcast::sizes(&[site.known(0)?, site.known(1)?]);
    let content = known.and_then(|(shape, operands)| {
        let [a, b] = operands.as_slice() else { return None };
        contents::of(dtype, &shape, a.iter().zip(b).map(|(a, b)| f(a, b)).collect())
    });
    Ok(vec![broadcast::all(site, dtype)?.with(content)])
}

/// Without `fmod` floats have no remainder.
fn modulo(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let dtype = same(site, numbers, "numbers")?;
    if dtype.is_float() && !site.op.flag("fmod")? {
        return Err(Error::Op("`fmod` must be 1 for floats".into()));
    }
    arithmetic(site, if site.op.flag("fmod")? { |_, _| Size::Unknown } else { sizes::modulo })
}

/// Base and exponent may be of different types; the result has the base's.
fn power(site: &Site<'_>) -> Result<Vec<Inferred>> {
    let (a, b) = (site.fact(0)?, site.fact(1)?);
    if !numbers(a.dtype) || !numbers(b.dtype) {
        return Err(Error::Op(format!("takes numbers, found {a} and {b}")));
    }
    Ok(vec![broadcast::all(site, a.dtype)?])
}

fn logic(site: &Site<'_>, takes: fn(DType) -> bool, what: &str) -> Result<Vec<Inferred>> {
    let dtype = same(site, takes, what)?;
    Ok(vec![broadcast::all(site, dtype)?])
}

/// Truth out; known where symbols do not matter.
fn comparison(site: &Site<'_>, takes: fn(DType) -> bool, f: fn(Ordering) -> bool) -> Result<Vec<Inferred>> {
    same(site, takes, "values")?;
    let known = broadcast::sizes(&[site.known(0)?, site.known(1)?]);
    let content = known.and_then(|(shape, operands)| {
        let [a, b] = operands.as_slice() else { return None };
        let truth: Option<Vec<bool>> = a.iter().zip(b).map(|(a, b)| sizes::compare(a, b).map(f)).collect();
        Array::new(shape, Data::Bool(truth?)).ok().map(Content::Array)
    });
    Ok(vec![broadcast::all(site, DType::Bool)?.with(content)])
}

#[cfg(test)]
mod tests {
    use crate::content::{Content, Size};
    use crate::onnx::{Attribute, Onnx};
    use crate::ops::OpFamily;
    use crate::{Array, DType, Data, Dim, Fact, Inferred, Known};

    fn infer(op: Onnx, operands: &[Inferred]) -> Inferred {
        let known: Vec<Known<'_>> =
            operands.iter().map(|i| Known { fact: &i.fact, content: i.content.as_ref() }).collect();
        op.infer_known("node", &known).unwrap().remove(0)
    }

    fn sizes(v: &[Size]) -> Inferred {
        Inferred::new(DType::I64, [v.len()]).with(Some(Content::sizes(vec![v.len()], v.to_vec())))
    }

    fn ints(v: &[i64]) -> Inferred {
        Array::from_i64([v.len()], v.to_vec()).unwrap().into()
    }

    fn n() -> Size {
        Size::Dim(Dim::symbol("N"))
    }

    /// A chain of nodes that each read the one before twice must not be followed for ever.
    #[test]
    fn doubling_ends() {
        let mut x = sizes(&[n()]);
        for _ in 0..200 {
            x = infer(Onnx::new("Add", 14, 2), &[x.clone(), x]);
        }
        assert!(x.content.is_none());
    }

    #[test]
    fn arithmetic_of_sizes_stays_symbolic() {
        let op = |name: &str| Onnx::new(name, 14, 2);
        let shape = sizes(&[n(), Size::Int(8)]);
        let fourfold = infer(op("Mul"), &[shape.clone(), ints(&[4])]);
        assert_eq!(infer(op("Div"), &[fourfold.clone(), ints(&[4])]).content, shape.content);
        let halved = infer(op("Div"), &[fourfold, ints(&[8])]).content.unwrap().to_sizes().unwrap();
        assert_eq!(halved[1], Size::Int(4));
        assert!(matches!(&halved[0], Size::Dim(d) if d.to_string() == "floor(N*4 / 8)"), "{halved:?}");
        let back = infer(op("Sub"), &[infer(op("Add"), &[shape.clone(), ints(&[3])]), ints(&[3])]);
        assert_eq!(back.content, shape.content);
        let larger = infer(op("Max"), &[shape.clone(), ints(&[1])]).content.unwrap().to_sizes().unwrap();
        assert_eq!(larger, [Size::Unknown, Size::Int(8)]);
    }

    /// The way exporters choose between sizes and those of an `Expand`.
    #[test]
    fn a_choice_between_sizes_is_made() {
        let shape = sizes(&[n(), Size::Int(8)]);
        let wanted = ints(&[-1, 3]);
        let given = infer(Onnx::new("Equal", 13, 2), &[wanted.clone(), ints(&[-1])]);
        assert!(given.content.as_ref().unwrap().array().unwrap().data() == &Data::Bool(vec![true, false]));
        let chosen = infer(Onnx::new("Where", 16, 3), &[given, shape.clone(), wanted]);
        assert_eq!(chosen.content.unwrap().to_sizes().unwrap(), [n(), Size::Int(3)]);
        let positive = infer(Onnx::new("Greater", 13, 2), &[shape.clone(), ints(&[-1])]);
        assert!(positive.content.unwrap().array().unwrap().data() == &Data::Bool(vec![true, true]));
        assert_eq!(infer(Onnx::new("Equal", 13, 2), &[shape, ints(&[4])]).content, None);
    }

    #[test]
    fn sizes_pass_casts_and_products() {
        let shape = sizes(&[n(), Size::Int(8)]);
        let narrow =
            infer(Onnx::new("Cast", 13, 1).with("to", Attribute::Int(6)), std::slice::from_ref(&shape));
        assert_eq!(narrow.fact.dtype, DType::I32);
        assert_eq!(narrow.content.unwrap().to_sizes().unwrap(), [n(), Size::Int(8)]);
        let product = infer(Onnx::new("ReduceProd", 13, 1).with("keepdims", Attribute::Int(0)), &[shape]);
        assert_eq!(product.fact.rank(), 0);
        assert_eq!(product.content.unwrap().to_sizes().unwrap()[0].dim().unwrap().to_string(), "N*8");
    }

    #[test]
    fn shapes_broadcast_with_symbols() {
        let f = |shape: Vec<Dim>| Inferred::from(Fact { dtype: DType::F32, shape });
        let s = |name: &str| Dim::symbol(name);
        let add = |a: Vec<Dim>, b: Vec<Dim>| infer(Onnx::new("Add", 14, 2), &[f(a), f(b)]).fact.shape;
        assert_eq!(add(vec![s("N"), 4.into()], vec![4.into()]), vec![s("N"), 4.into()]);
        assert_eq!(add(vec![s("N"), 1.into()], vec![7.into(), s("M")]), vec![7.into(), s("M")]);
        assert_eq!(add(vec![s("N")], vec![s("M")]), vec![s("node.0")]);
        let (a, b) = (Fact::f32([2]), Fact::f32([3]));
        assert!(Onnx::new("Add", 14, 2).infer(&[&a, &b]).is_err());
        let operands = [&Fact::f32([2, 3]), &Fact::f32([3, 1])];
        assert!(Onnx::new("Add", 14, 2).infer(&operands).is_err());
    }

    #[test]
    fn channels_pass_where_nothing_is_repeated() {
        let (a, b) = (Fact::f32([2, 3, 4]), Fact::f32([3, 1]));
        let op = Onnx::new("Mul", 14, 2);
        let out = op.infer(&[&a, &b]).unwrap();
        let map = op.axes(&[&a, &b], &[&out[0]]);
        let links: Vec<(usize, usize)> = map.links.iter().map(|l| (l.a.axis, l.b.axis)).collect();
        assert_eq!(links, [(0, 0), (1, 1), (2, 2), (0, 1)]);
    }
}
