//! The compiler of the contract, run by `build.rs`: `topics/*.toml` to the static tables whose types
//! stand in `src/contract/spec.rs`.
//!
//! ```text
//!   text --entry (serde, toml)--> File --check--> problems, all at once: topics/stats.toml:14: ..
//!                                   `----print--> Rust text
//! ```

mod check;
mod entry;
mod print;

use entry::File;

/// One file of `topics/`.
pub(crate) struct Source {
    /// The file's name without `.toml`: the subsystem.
    pub(crate) stem: String,
    /// What stands in it.
    pub(crate) text: String,
}

impl Source {
    fn problem(&self, at: usize, what: &str) -> String {
        let line = self.text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
        format!("topics/{}.toml:{line}: {what}", self.stem)
    }
}

/// First levels of topics and their `Kind`, in the order of `contract::Kind`.
const KINDS: [(&str, &str); 15] = [
    ("info", "Info"),
    ("status", "Status"),
    ("state", "State"),
    ("desired", "Desired"),
    ("cmd", "Cmd"),
    ("reply", "Reply"),
    ("task", "Task"),
    ("event", "Event"),
    ("log", "Log"),
    ("metric", "Metric"),
    ("client", "Client"),
    ("app", "App"),
    ("$maestro/api", "Api"),
    ("$maestro/batch", "Batch"),
    ("$SYS", "Sys"),
];

/// Compiles the files, or tells every problem as `topics/<stem>.toml:<line>: ..`.
pub(crate) fn compile(sources: &[Source]) -> Result<String, Vec<String>> {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for source in sources {
        match toml::from_str::<File>(&source.text) {
            Ok(file) => files.push((source, file)),
            Err(e) => {
                problems.push(source.problem(e.span().map_or(0, |span| span.start), e.message()));
            }
        }
    }
    check::check(&files, &mut problems);
    if problems.is_empty() { Ok(print::print(&files)) } else { Err(problems) }
}

/// Which class of topics a pattern belongs to: an index into [`KINDS`].
fn kind_of(pattern: &str) -> Option<usize> {
    KINDS.iter().position(|(prefix, _)| {
        pattern.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The name between the braces of a parameter's level.
fn parameter(level: &str) -> Option<&str> {
    level.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        compile(&[Source { stem: "stats".into(), text: text.into() }]).unwrap_err()
    }

    const GOOD: &str = "[[topic]]\npattern = 'state/stats/x'\ntype = 'a.B'\nmeaning = ''\nsince = ''\nexamples = ['{}']\n";

    #[test]
    fn a_wrong_entry_is_told_with_its_file_and_line() {
        let table = [
            (GOOD.replace("state/", "stats/"), 2, "begins with no class of topics"),
            (GOOD.replace("state/stats/x", "cmd/stats/x"), 2, "write a [[verb]]"),
            (GOOD.replace("stats/x", "stats/{x}"), 2, "parameters has no `x`"),
            (GOOD.replace("stats/x", "stats/+"), 2, "`+` is no level of a pattern"),
            (GOOD.replace("'{}'", "'{'"), 6, "the example is no JSON"),
            (GOOD.replace("'{}'", ""), 6, "at least one example"),
            (GOOD.replace("since", "sinse"), 5, "unknown field `sinse`"),
            (GOOD.replace("since = ''", "since = ''\nrole = 'root'"), 6, "role is one of"),
            (GOOD.replace("since = ''", "since = ''\nbridged = 'out'"), 6, "bridged is one of"),
            (format!("{GOOD}{GOOD}"), 8, "is told twice"),
            ("[[error]]\ncode = 'stats'\nmeaning = ''\n".into(), 2, "is not a dotted code"),
            ("[[error]]\ncode = 'x.y'\nmeaning = ''\n".into(), 2, "belongs into topics/x.toml"),
        ];
        for (text, line, what) in table {
            let told = problems(&text);
            let place = format!("topics/stats.toml:{line}: ");
            assert!(
                told.iter().any(|t| t.starts_with(&place) && t.contains(what)),
                "{told:?} {what}"
            );
        }
    }

    #[test]
    fn a_wrong_verb_is_told_with_its_file_and_line() {
        let good = "[[verb]]\nname = 'go'\nclass = 'change'\nresult = 'a.B'\ntimeout = '5s'\nmeaning = ''\nsince = ''\nexamples = [{ args = '', result = '{}' }]\n";
        assert!(compile(&[Source { stem: "stats".into(), text: good.into() }]).is_ok());
        let table = [
            (good.replace("'change'", "'write'"), 3, "class is one of"),
            (good.replace("'change'", "'change'\nrole = 'app'"), 4, "at least operator"),
            (good.replace("'5s'", "'5'"), 5, "timeout is written as"),
            (good.replace("result = 'a.B'", "subject = 'x'"), 1, "missing field `result`"),
            (good.replace("args = ''", "args = 'word'"), 8, "a bare word needs a subject"),
            (good.replace("class", "subject = 'x'\nclass"), 2, "a verb with a subject has args"),
        ];
        for (text, line, what) in table {
            let told = problems(&text);
            let place = format!("topics/stats.toml:{line}: ");
            assert!(
                told.iter().any(|t| t.starts_with(&place) && t.contains(what)),
                "{told:?} {what}"
            );
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let text = format!("{}{}", GOOD.replace("'{}'", ""), GOOD.replace("state/", "stats/"));
        assert_eq!(problems(&text).len(), 2);
    }
}
