//! The text of a file while it is parsed: told and mended section by section, so that a mistake in one
//! hides nothing in the others.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Options, Parser, ScanError};

use super::problem::{Mark, Report, Severity};

/// Groups within groups.
const DEEPEST: usize = 64;
/// Broken sections that are told before the rest of the file is given up.
const MOST_BREAKS: usize = 16;

/// The text that is parsed, and what was changed in it to go on after a mistake.
pub(super) struct Page {
    pub(super) file: u16,
    pub(super) lines: Vec<String>,
    /// Columns that a line got by having its tabs replaced.
    shifted: HashMap<u32, u32>,
    pub(super) mended: bool,
}

/// Where and why the parser stopped.
pub(super) struct Broken {
    /// Counted from 1.
    line: usize,
    /// Counted from 0.
    column: usize,
    message: String,
}

impl Page {
    pub(super) fn new(text: &str, file: u16) -> Page {
        let lines = text.split_inclusive('\n').map(str::to_owned).collect();
        Page { file, lines, shifted: HashMap::new(), mended: false }
    }

    pub(super) fn mark(&self, line: usize, column: usize) -> Mark {
        let line = count(line);
        let shift = self.shifted.get(&line).copied().unwrap_or(0);
        let column = (count(column) + 1).saturating_sub(shift).max(1);
        Mark { file: self.file, line, column }
    }

    pub(super) fn tell(&self, broken: &Broken, report: &Report) {
        let message = format!("not YAML: {}", broken.message.trim_end_matches('.'));
        let at = self.mark(broken.line, broken.column);
        report.add(at, "", Severity::Error, message);
    }

    /// Reads section by section, each from its top-level key to the next one: what is wrong in one says
    /// nothing about the others. Tells the tabs and what is no YAML, and takes them out.
    pub(super) fn mend(&mut self, report: &Report) {
        let mut told = 0;
        for section in self.sections() {
            while let Some(broken) = self.broken(&section) {
                self.mended = true;
                // a tab is often noticed at the end of the line before
                let near = [broken.line - 1, broken.line];
                let tab = near.into_iter().find_map(|line| Some((line, self.indenting_tab(line)?)));
                if let Some((line, column)) = tab {
                    let at = self.mark(line + 1, column);
                    let told = ("a tab cannot indent".to_owned(), Some("use spaces".to_owned()));
                    report.add_with_hint(at, "", Severity::Error, told);
                    self.replace_tabs(line, &section);
                    continue;
                }
                self.tell(&broken, report);
                self.lines[section.clone()].fill("\n".into());
                told += 1;
            }
            if told == MOST_BREAKS {
                return;
            }
        }
    }

    /// From each line that begins with a key to the next; the whole when it is written as JSON.
    fn sections(&self) -> Vec<std::ops::Range<usize>> {
        let key = |line: &&String| {
            line.starts_with(|c: char| !c.is_whitespace() && !matches!(c, '#' | '-' | '}' | ']'))
        };
        let first = self.lines.iter().find(key);
        if first.is_none_or(|line| line.starts_with(['{', '['])) {
            return std::iter::once(0..self.lines.len()).collect();
        }
        let starts = (0..self.lines.len()).filter(|line| key(&&self.lines[*line]));
        let starts: Vec<usize> = std::iter::once(0).chain(starts).collect();
        let ends = starts.iter().skip(1).copied().chain([self.lines.len()]);
        starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
    }

    /// Where the lines stop being YAML, taken alone.
    fn broken(&self, lines: &std::ops::Range<usize>) -> Option<Broken> {
        let text = self.lines[lines.clone()].concat();
        let error = Parser::new_from_str_with_options(&text, options()).find_map(Result::err)?;
        let mut broken = Broken::new(&error);
        broken.line = (broken.line + lines.start).min(lines.end);
        Some(broken)
    }

    /// The column, from 0, of a tab among the white space that a line (counted from 0) begins with.
    fn indenting_tab(&self, line: usize) -> Option<usize> {
        let text = self.lines.get(line)?;
        text[..indent(text)].find('\t')
    }

    /// Replaces a line's tabs by as many spaces as let the most of the section be read.
    fn replace_tabs(&mut self, line: usize, section: &std::ops::Range<usize>) {
        let original = self.lines[line].clone();
        let (white, rest) = original.split_at(indent(&original));
        let with = |width: usize| white.replace('\t', &" ".repeat(width)) + rest;
        let mut best = (0, 1);
        for width in [2, 4, 8, 1] {
            self.lines[line] = with(width);
            let reach = self.broken(section).map_or(usize::MAX, |broken| broken.line);
            if reach > best.0 {
                best = (reach, width);
            }
        }
        self.lines[line] = with(best.1);
        if best.0 <= line + 1 {
            self.lines[line] = "\n".into(); // no width makes sense of it
        }
        let tabs = white.matches('\t').count();
        self.shifted.insert(count(line + 1), count(tabs * (best.1 - 1)));
    }
}

impl Broken {
    pub(super) fn new(error: &ScanError) -> Broken {
        let (line, column) = (error.marker().line().max(1), error.marker().col());
        Broken { line, column, message: error.info() }
    }
}

/// The bytes of white space that a line begins with.
fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

pub(super) fn options() -> Options {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = DEEPEST;
    options.block_nesting_limit = DEEPEST;
    options
}

pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
