//! Tables for a terminal: columns as wide as their widest cell.

use std::io::{self, Write};

/// Writes a header and rows; a row without a cell for a column ends early.
pub(super) fn write(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let header = header.iter().map(|&cell| cell.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(column) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_blanks_at_their_end() {
        let mut out = Vec::new();
        let rows = [vec!["long name".to_owned(), "1".to_owned()], vec!["é".to_owned()]];

        write(&["NAME", "DAYS"], rows, &mut out).expect("written");

        assert_eq!(String::from_utf8(out).expect("text"), "NAME       DAYS\nlong name  1\né\n");
    }
}
