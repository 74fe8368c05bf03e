//! Columns of text, as wide as they must be; on a narrow terminal the last column is wrapped. Pure.

/// Between two columns, as kubectl has it.
const GAP: usize = 3;
/// A last column narrower than this is not worth wrapping into.
const NARROWEST: usize = 16;

/// Rows of cells below a heading.
#[derive(Clone, Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<S: Into<String>>(heading: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![heading.into_iter().map(Into::into).collect()] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table's text. Without a `width` nothing is wrapped.
    pub(super) fn render(&self, width: Option<usize>) -> String {
        self.go_on(&mut Vec::new(), width)
    }

    /// The text of a table that goes on where another with these widths has ended; the first has none, and the heading.
    /// A column that needs more room than before has it from here on.
    pub(super) fn go_on(&self, widths: &mut Vec<usize>, width: Option<usize>) -> String {
        let begun = usize::from(!widths.is_empty());
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            widths.iter_mut().zip(row).for_each(|(widest, cell)| *widest = length(cell).max(*widest));
        }
        self.rows.iter().skip(begun).map(|row| line(row, widths, width)).collect()
    }
}

fn line(row: &[String], widths: &[usize], width: Option<usize>) -> String {
    let Some((last, before)) = row.split_last() else { return "\n".to_owned() };
    let padded =
        |(cell, width): (&String, &usize)| format!("{cell}{}", " ".repeat(width - length(cell) + GAP));
    let start: String = before.iter().zip(widths).map(padded).collect();
    let room = width.map(|width| width.saturating_sub(length(&start))).filter(|room| *room >= NARROWEST);
    let indent = format!("\n{}", " ".repeat(length(&start)));
    let text = format!("{start}{}", wrapped(last, room).join(&indent));
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n"))
}

/// The words of a text in lines of at most `width`, where a word alone is not longer.
pub(super) fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width.filter(|width| *width < length(text)) else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if length(line) + 1 + length(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[&[&str]], width: Option<usize>, expected: &str) {
        let mut table = Table::new(["NAME", "NOTE"]);
        for row in rows {
            table.row(row.iter().map(|cell| (*cell).to_owned()));
        }
        assert_eq!(table.render(width), expected, "{rows:?} {width:?}");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        check(&[], None, "NAME   NOTE\n");
        check(&[&["a", "b"], &["longer", ""]], None, "NAME     NOTE\na        b\nlonger\n");
        check(&[&["é", "b"]], None, "NAME   NOTE\né      b\n");
    }

    #[test]
    fn a_table_goes_on_without_its_heading() {
        let mut widths = Vec::new();
        let rows = [
            ("longer", "NAME     NOTE\nlonger   x\n"),
            ("a", "a        x\n"),
            ("longest", "longest   x\n"),
            ("b", "b         x\n"),
        ];
        for (name, expected) in rows {
            let mut table = Table::new(["NAME", "NOTE"]);
            table.row([name, "x"].map(str::to_owned));
            assert_eq!(table.go_on(&mut widths, None), expected);
        }
    }

    #[test]
    fn the_last_column_is_wrapped_on_a_narrow_terminal() {
        let note = "one two three four five six";
        check(&[&["a", note]], Some(80), "NAME   NOTE\na      one two three four five six\n");
        check(&[&["a", note]], Some(24), "NAME   NOTE\na      one two three\n       four five six\n");
        check(&[&["a", note]], Some(10), "NAME   NOTE\na      one two three four five six\n");
        check(
            &[&["a", "unbreakablylongword x"]],
            Some(24),
            "NAME   NOTE\na      unbreakablylongword\n       x\n",
        );
    }
}
