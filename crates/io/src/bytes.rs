//! Elements as little-endian bytes, the form both file formats have.

use std::borrow::Cow;

use occam_graph::{Array, Data};
use prost::bytes::Bytes;

/// The elements as little-endian bytes, one an element of narrow types; borrowed where memory has that order already.
pub(crate) fn le_bytes(array: &Array) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "big") {
        return array.to_le_bytes().into();
    }
    if let Some(bytes) = array.raw_bytes() {
        return bytes.into();
    }
    let bytes = match array.data() {
        Data::F32(v) => bytemuck::cast_slice(v),
        Data::F64(v) => bytemuck::cast_slice(v),
        Data::F16(v) => bytemuck::cast_slice(v),
        Data::BF16(v) => bytemuck::cast_slice(v),
        Data::I8(v) => bytemuck::cast_slice(v),
        Data::U8(v) => v,
        Data::I16(v) => bytemuck::cast_slice(v),
        Data::U16(v) => bytemuck::cast_slice(v),
        Data::I32(v) => bytemuck::cast_slice(v),
        Data::U32(v) => bytemuck::cast_slice(v),
        Data::I64(v) => bytemuck::cast_slice(v),
        Data::U64(v) => bytemuck::cast_slice(v),
        Data::Bool(v) => bytemuck::cast_slice(v),
        Data::Narrow(_, v) => v,
    };
    bytes.into()
}

/// The elements as shared little-endian bytes; without a copy where memory has that order already.
pub(crate) fn shared_le_bytes(array: &Array) -> Bytes {
    struct Elements(Array);

    impl AsRef<[u8]> for Elements {
        fn as_ref(&self) -> &[u8] {
            match le_bytes(&self.0) {
                Cow::Borrowed(bytes) => bytes,
                Cow::Owned(_) => &[],
            }
        }
    }

    match le_bytes(array) {
        Cow::Borrowed(_) => Bytes::from_owner(Elements(array.clone())),
        Cow::Owned(bytes) => bytes.into(),
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};
    use occam_graph::Data;

    use super::*;

    #[test]
    fn are_what_the_array_says() {
        let all = [
            Data::F32(vec![1.5, f32::NAN]),
            Data::F64(vec![-0.0, 1e300]),
            Data::F16(vec![f16::ONE, f16::NAN]),
            Data::BF16(vec![bf16::ONE, bf16::MIN]),
            Data::I8(vec![-1, 7]),
            Data::U8(vec![0, 255]),
            Data::I16(vec![i16::MIN, 258]),
            Data::U16(vec![u16::MAX, 258]),
            Data::I32(vec![i32::MIN, 258]),
            Data::U32(vec![u32::MAX, 258]),
            Data::U64(vec![u64::MAX, 258]),
            Data::I64(vec![i64::MIN, 258]),
            Data::Bool(vec![true, false]),
            Data::Narrow(occam_graph::Narrow::I4, vec![15, 8]),
        ];
        for data in all {
            let array = Array::new([2], data).unwrap();
            assert_eq!(*le_bytes(&array), array.to_le_bytes());
            assert_eq!(shared_le_bytes(&array), array.to_le_bytes());
        }
    }
}
