//! Text for people: cells with a style, aligned into tables, coloured on a terminal only.

use std::fmt::Write;

use serde_json::Value;

/// How a cell looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// As it is.
    #[default]
    Plain,
    /// A heading.
    Head,
    /// Less important.
    Dim,
    /// As it should be.
    Good,
    /// Not quite as it should be.
    Warn,
    /// Not as it should be.
    Bad,
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// A terminal.
    Coloured,
    /// A pipe, a file, or `NO_COLOR`.
    Plain,
}

/// One piece of text. Whatever came over the wire cannot move the cursor: control characters are
/// written as escapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn new(text: impl AsRef<str>, style: Style) -> Cell {
        Cell { text: harmless(text.as_ref()), style }
    }
    pub(super) fn plain(text: impl AsRef<str>) -> Cell {
        Cell::new(text, Style::Plain)
    }
    pub(super) fn head(text: impl AsRef<str>) -> Cell {
        Cell::new(text, Style::Head)
    }
    fn width(&self) -> usize {
        self.text.chars().count()
    }
    pub(super) fn print(&self, paint: Paint, out: &mut String) {
        let code = match (paint, self.style) {
            _ if self.text.is_empty() => return,
            (Paint::Plain, _) | (Paint::Coloured, Style::Plain) => return out.push_str(&self.text),
            (Paint::Coloured, Style::Head) => "1",
            (Paint::Coloured, Style::Dim) => "2",
            (Paint::Coloured, Style::Good) => "32",
            (Paint::Coloured, Style::Warn) => "33",
            (Paint::Coloured, Style::Bad) => "31",
        };
        let _ = write!(out, "\x1b[{code}m{}\x1b[0m", self.text); // a String takes everything
    }
}

/// The text without control characters.
pub(super) fn harmless(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// Rows with their columns aligned, two blanks between them, `indent` blanks before.
pub(super) fn table(rows: &[Vec<Cell>], indent: usize, paint: Paint) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(Cell::width).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let used = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
        let mut blanks = indent;
        for (cell, width) in row[..used].iter().zip(&widths) {
            out.extend(std::iter::repeat_n(' ', blanks));
            cell.print(paint, &mut out);
            blanks = width - cell.width() + 2;
        }
        out.push('\n');
    }
    out
}

/// A JSON document as aligned lines: keys and values, lists of objects as tables.
pub(super) fn document(value: &Value, indent: usize, paint: Paint) -> String {
    match value {
        Value::Object(fields) => {
            let mut out = String::new();
            let mut rows = Vec::new();
            for (key, value) in fields {
                match nested(value) {
                    false => {
                        rows.push(vec![Cell::new(key, Style::Dim), Cell::plain(scalar(value))])
                    }
                    true => {
                        out += &table(&std::mem::take(&mut rows), indent, paint);
                        out += &table(&[vec![Cell::head(key)]], indent, paint);
                        out += &document(value, indent + 2, paint);
                    }
                }
            }
            out + &table(&rows, indent, paint)
        }
        Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => {
            table(&records(items), indent, paint)
        }
        Value::Array(items) => {
            items.iter().map(|item| document(item, indent, paint)).collect::<String>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            table(&[vec![Cell::plain(scalar(value))]], indent, paint)
        }
    }
}

/// Objects as rows, under a heading with every key that one of them has.
fn records(items: &[Value]) -> Vec<Vec<Cell>> {
    let mut keys: Vec<&String> = Vec::new();
    for key in items.iter().filter_map(Value::as_object).flat_map(|fields| fields.keys()) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let mut rows = vec![keys.iter().map(Cell::head).collect::<Vec<_>>()];
    rows.extend(items.iter().map(|item| {
        keys.iter().map(|key| Cell::plain(item.get(key).map_or_else(String::new, scalar))).collect()
    }));
    rows
}

/// Whether the value takes lines of its own.
fn nested(value: &Value) -> bool {
    match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => items.iter().any(|item| item.is_object() || item.is_array()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// One value on one line.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if !nested(value) => {
            items.iter().map(scalar).collect::<Vec<_>>().join(", ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned_and_no_line_ends_with_blanks() {
        let rows = [
            vec![Cell::head("name"), Cell::head("state"), Cell::head("cause")],
            vec![Cell::plain("bridge"), Cell::new("ok", Style::Good), Cell::default()],
            vec![Cell::plain("é"), Cell::plain("failed"), Cell::plain("x")],
        ];
        assert_eq!(
            table(&rows, 0, Paint::Plain),
            "name    state   cause\nbridge  ok\né       failed  x\n"
        );
        assert_eq!(table(&rows[1..2], 1, Paint::Coloured), " bridge  \u{1b}[32mok\u{1b}[0m\n");
    }

    #[test]
    fn a_document_reads_like_a_form() {
        let value = json!({
            "pong": true, "uptime_s": 12.5, "addresses": ["a", "b"], "none": [], "empty": {},
            "memory": {"free_bytes": 1, "x": null},
            "disks": [{"name": "sda", "pct": 4}, {"name": "mmc0", "kind": {"a": 1}}],
            "time": "2026-11-22T16:00:00Z",
        });
        assert_eq!(
            document(&value, 0, Paint::Plain),
            "\
pong       true
uptime_s   12.5
addresses  a, b
none
empty      {}
memory
  free_bytes  1
  x           null
disks
  name  pct  kind
  sda   4
  mmc0       {\"a\":1}
time  2026-11-22T16:00:00Z
"
        );
        assert_eq!(document(&json!("word"), 0, Paint::Plain), "word\n");
        assert_eq!(document(&json!({}), 0, Paint::Plain), "");
    }

    #[test]
    fn a_text_from_the_wire_cannot_command_the_terminal() {
        assert_eq!(
            document(&json!({"a": "\u{1b}[2Jx\ny"}), 0, Paint::Coloured),
            "\u{1b}[2ma\u{1b}[0m  \\u{1b}[2Jx\\ny\n"
        );
    }
}
