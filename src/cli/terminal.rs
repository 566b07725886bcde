//! Standard output and error: lines for people or for programs.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::exit::Stop;
use super::paint::{Paint, document};

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A person.
    Person,
    /// A program: one JSON document per line.
    Program,
}

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    pub(super) reader: Reader,
    pub(super) paint: Paint,
}

impl Terminal {
    /// Colours are for terminals, unless `NO_COLOR` says otherwise (no-color.org).
    pub(super) fn new(reader: Reader) -> Terminal {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let paint =
            if io::stdout().is_terminal() && !plain { Paint::Coloured } else { Paint::Plain };
        Terminal { reader, paint }
    }

    /// Writes, and at once: `sub` goes into a pipe that somebody watches.
    pub(super) fn print(&self, bytes: impl AsRef<[u8]>) -> Result<(), Stop> {
        let mut out = io::stdout().lock();
        out.write_all(bytes.as_ref())?;
        Ok(out.flush()?)
    }

    /// A document: aligned for a person, on one line for a program.
    pub(super) fn show(&self, value: &Value) -> Result<(), Stop> {
        match self.reader {
            Reader::Person => self.print(document(value, 0, self.paint)),
            Reader::Program => self.print(format!("{value}\n")),
        }
    }

    /// Something a person at the terminal wants to know meanwhile.
    pub(super) fn remark(&self, text: &str) {
        if self.reader == Reader::Person && io::stderr().is_terminal() {
            let _ = writeln!(io::stderr(), "{text}"); // nobody to tell then
        }
    }
}

/// Says why it ends.
pub(super) fn complain(told: &str) {
    let _ = writeln!(io::stderr(), "maestro: {}", super::paint::harmless(told)); // as above
}
