//! Did-you-mean.

/// Longest name that is compared; the cost grows with the product of two lengths.
const MAX_LEN: usize = 100;

/// The candidate that `name` most likely is a misspelling of.
///
/// `None` where nothing comes close: at most one edit for each three characters of `name`, or one
/// for a shorter name, counting a swap of neighbours as one edit and ignoring case. A name of one
/// character is close to nothing.
pub fn suggest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let len = name.chars().count();
    if len > MAX_LEN {
        return None;
    }
    let allowed = (len / 3).max(1).min(len.saturating_sub(1));
    candidates
        .filter(|candidate| candidate.len() <= MAX_LEN)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_nearest_name_or_none() {
        let names = ["ResNet", "ResNeXt", "MobileNetV2"];
        for (name, expected) in [
            ("ResNte", Some("ResNet")),
            ("resnext", Some("ResNeXt")),
            ("MobilNetV2", Some("MobileNetV2")),
            ("Swin", None),
            ("V", None),
            ("", None),
        ] {
            assert_eq!(suggest(name, names.into_iter()), expected, "{name}");
        }
    }
}
