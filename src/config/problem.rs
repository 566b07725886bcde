//! What is wrong with a file, and where: one [`Problem`] per mistake, all of them at once.

use std::cell::RefCell;
use std::fmt;

/// A place in one of the files that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// Which file, an index into the files of the [`Report`].
    pub file: u16,
    /// Counted from 1; 0 means the file as a whole.
    pub line: u32,
    /// In characters, counted from 1.
    pub column: u32,
}

/// Whether the file can be used as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used; this part of it has no effect, or another one than its writer may think.
    Warning,
}

/// One mistake in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named to us.
    pub file: String,
    /// Counted from 1; 0 means the file as a whole.
    pub line: u32,
    /// In characters, counted from 1; 0 means the file as a whole.
    pub column: u32,
    /// Which setting, as a JSON Pointer: `/bridges/0/url`. Empty for the file as a whole.
    pub path: String,
    /// Whether the file is refused for it.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        match self.line {
            0 => write!(f, "{}: {severity}: ", self.file)?,
            line => write!(f, "{}:{line}:{}: {severity}: ", self.file, self.column)?,
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", dotted(&self.path))?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A JSON Pointer as people write key paths: `/bridges/0/url` -> `bridges[0].url`.
fn dotted(pointer: &str) -> String {
    let mut dotted = String::new();
    for level in pointer.split('/').skip(1) {
        if !level.is_empty() && level.bytes().all(|b| b.is_ascii_digit()) {
            dotted.push_str(&format!("[{level}]"));
        } else {
            if !dotted.is_empty() {
                dotted.push('.');
            }
            dotted.push_str(&level.replace("~1", "/").replace("~0", "~"));
        }
    }
    dotted
}

/// Where the problems of one load are gathered.
#[derive(Debug, Default)]
pub struct Report {
    files: Vec<String>,
    problems: RefCell<Vec<Problem>>,
}

impl Report {
    /// Names a file, so that marks can point into it.
    pub fn file(&mut self, name: impl Into<String>) -> u16 {
        self.files.push(name.into());
        u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX)
    }

    /// Adds one problem.
    pub fn add(&self, at: Mark, path: &str, severity: Severity, message: impl Into<String>) {
        self.add_with_hint(at, path, severity, (message.into(), None));
    }

    /// Adds one problem with what to write instead.
    pub fn add_with_hint(
        &self,
        at: Mark,
        path: &str,
        severity: Severity,
        (message, hint): (String, Option<String>),
    ) {
        let file = self.files.get(usize::from(at.file)).cloned().unwrap_or_default();
        let problem = Problem {
            file,
            line: at.line,
            column: at.column,
            path: path.to_owned(),
            severity,
            message,
            hint,
        };
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Whether there is nothing but warnings so far.
    pub fn usable(&self) -> bool {
        self.problems.borrow().iter().all(|p| p.severity == Severity::Warning)
    }

    /// Whether an error was found at or below `path`.
    pub fn has_error_below(&self, path: &str) -> bool {
        let below = |found: &str| {
            found.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.problems.borrow().iter().any(|p| p.severity == Severity::Error && below(&p.path))
    }

    /// All problems, file by file in the order the files were read, by line within each.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        let order = |name: &str| self.files.iter().position(|file| file == name);
        problems.sort_by_key(|p| (order(&p.file), p.line, p.column));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_like_a_compilers() {
        let mut report = Report::default();
        let file = report.file("maestro.yaml");
        report.add_with_hint(
            Mark { file, line: 3, column: 5 },
            "/bridges/0/url",
            Severity::Error,
            ("not a URL".into(), Some("mqtts://host:8883".into())),
        );
        assert_eq!(
            report.into_problems()[0].to_string(),
            "maestro.yaml:3:5: error: bridges[0].url: not a URL (mqtts://host:8883)"
        );
    }

    #[test]
    fn problems_come_in_the_order_of_the_file() {
        let mut report = Report::default();
        let file = report.file("a");
        report.add(Mark { file, line: 9, column: 1 }, "/z", Severity::Warning, "late");
        report.add(Mark { file, line: 2, column: 4 }, "/a", Severity::Error, "early");
        assert!(!report.usable());
        assert!(report.has_error_below("/a") && !report.has_error_below("/z"));
        assert!(report.has_error_below(""));
        let lines: Vec<u32> = report.into_problems().iter().map(|p| p.line).collect();
        assert_eq!(lines, [2, 9]);
    }
}
