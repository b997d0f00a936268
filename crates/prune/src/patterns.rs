//! Names with stars, as configs and the command line give them.

use occam_space::Trace;

/// Whether `name` is `pattern`, where `*` stands for any letters.
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// By unit the part of it that may go at most, where a pattern names it or a layer that computes it; the last pattern that
/// does counts. A part of 0 protects what a layer reads, too, so that it stays as it is.
///
/// # Errors
/// A pattern that names nothing.
pub fn limits(trace: &Trace, parts: &[(String, f64)]) -> Result<Vec<Option<f64>>, String> {
    let mut of_unit = vec![None; trace.units.len()];
    for (pattern, part) in parts {
        let mut any = false;
        for (unit, limit) in trace.units.iter().zip(&mut of_unit) {
            let read = unit.input_related.iter().filter(|_| *part == 0.0);
            let layers = unit.output_related.iter().chain(read).map(|c| c.name.as_str());
            if layers.chain([unit.name.as_str()]).any(|name| matches(pattern, name)) {
                *limit = Some(*part);
                any = true;
            }
        }
        if !any {
            return Err(pattern.clone());
        }
    }
    Ok(of_unit)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_letters() {
        for (pattern, name, wanted) in [
            ("layer4.*", "layer4.0.conv1", true),
            ("*.conv1", "layer4.0.conv1", true),
            ("layer*conv1", "layer4.0.conv1", true),
            ("layer4", "layer4.0", false),
            ("*a*b", "xaxb", true),
            ("a*a", "a", false),
            ("*", "x", true),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
