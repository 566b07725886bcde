//! What works on files and needs no daemon: `maestro user` and `maestro config`.

use serde_json::{Value, json};

use super::args::{Config, User};
use super::exit::{Exit, Stop};
use super::password;
use super::terminal::{Reader, Terminal};
use crate::broker::users::add_user;
use crate::config::{self, Problem, Severity, Sources, paths::Surroundings};

/// `maestro user`.
pub(super) fn user(user: &User, terminal: Terminal) -> Result<Exit, Stop> {
    let User::Add { name, role, config } = user;
    let sources = config.clone().map_or(Sources::Search, Sources::Only);
    let loaded = loaded(&sources);
    if loaded.problems.iter().any(|problem| problem.severity == Severity::Error) {
        let told = "the configuration has mistakes, so its users may be elsewhere: see 'maestro config check'";
        return Err(Stop::new(Exit::Config, told));
    }
    let Some(file) = loaded.config.broker.users else {
        let told = "no file of users: name one as broker.users in the configuration";
        return Err(Stop::new(Exit::Failed, told));
    };
    let password = password::new(name)?;
    add_user(&file, name, password.as_bytes(), *role)
        .map_err(|error| Stop::new(Exit::Failed, error.to_string()))?;
    let file = file.display();
    match terminal.reader {
        Reader::Person => terminal.print(format!("{name} is in {file} now\n"))?,
        Reader::Program => {
            terminal.show(&json!({ "user": name, "role": role, "file": file.to_string() }))?
        }
    }
    Ok(Exit::Succeeded)
}

/// `maestro config`: every problem with its place.
pub(super) fn config(config: &Config, terminal: Terminal) -> Result<Exit, Stop> {
    let Config::Check { file } = config;
    let problems = match file {
        Some(file) => config::check(file, &Surroundings::of_process()),
        None => loaded(&Sources::Search).problems,
    };
    for problem in &problems {
        match terminal.reader {
            Reader::Person => terminal.print(format!("{problem}\n"))?,
            Reader::Program => terminal.show(&record(problem))?,
        }
    }
    if problems.is_empty() {
        terminal.remark("no mistakes");
    }
    let bad = problems.iter().any(|problem| problem.severity == Severity::Error);
    Ok(if bad { Exit::Config } else { Exit::Succeeded })
}

fn loaded(sources: &Sources) -> config::Loaded {
    let around = Surroundings::of_process();
    config::read(sources, &around).settle(&around, None)
}

fn record(problem: &Problem) -> Value {
    json!({
        "severity": match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "message": problem.message,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "field": problem.path,
        "hint": problem.hint,
    })
}
