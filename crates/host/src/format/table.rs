//! Text with tabs → aligned columns, as Go's `tabwriter` does with Docker's settings.
//!
//! A cell ends with a tab; what follows the last tab of a line belongs to no column. A column is a run
//! of adjacent lines that all have the cell, so a line without it ends the column.

/// The narrowest column.
const MINIMUM_WIDTH: usize = 10;
/// The space between columns.
const PADDING: usize = 3;

/// Aligns the tab-separated cells of `text` with Docker's widths: at least 10, 3 apart.
#[must_use]
pub fn align(text: &str) -> String {
    align_with(text, MINIMUM_WIDTH, PADDING)
}

/// Aligns the tab-separated cells of `text`.
#[must_use]
pub fn align_with(text: &str, minimum: usize, padding: usize) -> String {
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let widths = widths(&lines, minimum, padding);
    let mut output = String::with_capacity(text.len() * 2);
    for (line, widths) in lines.iter().zip(&widths) {
        for (column, cell) in line.iter().enumerate() {
            output.push_str(cell);
            if let Some(width) = widths.get(column) {
                let missing = width.saturating_sub(cell.chars().count());
                output.extend(std::iter::repeat_n(' ', missing));
            }
        }
        output.push('\n');
    }
    output
}

/// For each line the width of each of its tab-terminated cells.
fn widths(lines: &[Vec<&str>], minimum: usize, padding: usize) -> Vec<Vec<usize>> {
    let terminated = |line: &Vec<&str>| line.len().saturating_sub(1);
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|line| vec![0; terminated(line)]).collect();
    let columns = lines.iter().map(terminated).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            let has = |line: &Vec<&str>| terminated(line) > column;
            let run = lines[start..].iter().take_while(|line| has(line)).count();
            let block = start..start + run;
            let widest = lines[block.clone()]
                .iter()
                .map(|line| line[column].chars().count())
                .max();
            if let Some(widest) = widest {
                let width = (widest + padding).max(minimum);
                for line in &mut widths[block] {
                    line[column] = width;
                }
            }
            start += run + 1;
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_tabwriter_makes_them() {
        assert_eq!(
            align("CONTAINER ID\tIMAGE\tNAMES\n0123456789ab\tbusybox\tweb\n"),
            "CONTAINER ID   IMAGE     NAMES\n0123456789ab   busybox   web\n"
        );
        assert_eq!(align("ID\nabcdef\n"), "ID\nabcdef\n");
        assert_eq!(align(""), "");
    }

    #[test]
    fn a_line_without_the_cell_ends_the_column() {
        assert_eq!(
            align_with("a\tb\nlong cell\tb\n\nx\ty\n", 0, 1),
            "a         b\nlong cell b\n\nx y\n"
        );
    }

    #[test]
    fn trailing_empty_cells_are_kept() {
        assert_eq!(
            align("A\tB\t\n1\t2\t\n"),
            "A         B         \n1         2         \n"
        );
    }
}
