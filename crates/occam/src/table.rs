//! Tables for terminals.

/// Columns padded to their widest cell: the first to the left, the others to the right.
pub fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count());
        cells.chain(header.get(i).map(|h| h.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &[String]| {
        let mut text = String::new();
        for (i, (cell, w)) in cells.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(w - cell.chars().count().min(*w));
            if i == 0 {
                text.push_str(&format!("{cell}{pad}"));
            } else {
                text.push_str(&format!("  {pad}{cell}"));
            }
        }
        text.trim_end().to_owned()
    };
    let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    let rule = widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>().join("  ");
    let mut out = vec![line(&header), rule];
    out.extend(rows.iter().map(|r| line(r)));
    out.join("\n")
}

/// `1234567` as `1.23 M`.
pub fn count(n: u64) -> String {
    let x = n as f64;
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.2} k", x / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M", x / 1e6),
        _ => format!("{:.2} G", x / 1e9),
    }
}

/// Bytes in units of 1024.
pub fn bytes(n: u64) -> String {
    let x = n as f64;
    match n {
        0..1_024 => format!("{n} B"),
        1_024..1_048_576 => format!("{:.1} KiB", x / 1024.0),
        _ => format!("{:.2} MiB", x / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows =
            vec![vec!["a".into(), super::count(1_234_567)], vec!["long name".into(), super::bytes(2048)]];
        insta::assert_snapshot!(super::render(&["model", "size"], &rows), @r"
        model         size
        ---------  -------
        a           1.23 M
        long name  2.0 KiB
        ");
    }
}
