//! What can be typed.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::contract::{Role, nearest};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "maestro",
    version,
    about = "One small daemon for a Linux gateway; its MQTT broker is its whole local API",
    after_help = "maestro <subsystem> <verb> [ARG].. is short for maestro cmd <subsystem>/<verb> [ARG]..\n\n\
                  Exit codes: 0 succeeded, 1 failed, 2 usage, 3 refused, 4 no end in time, \
                  5 unreachable, 78 bad configuration.",
    disable_help_subcommand = true
)]
pub(super) struct CommandLine {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(subcommand)]
    pub(super) deed: Deed,
}

/// Which box is meant, and as whom.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which box, and as whom")]
pub(super) struct Target {
    /// The broker: unix:///path, mqtt://host[:port] or mqtts://host[:port] [default: the local
    /// daemon's socket]
    #[arg(long, global = true, value_name = "URL")]
    pub(super) url: Option<String>,
    /// The root of the topics; through a cloud <prefix>/<gateway id>
    #[arg(long, global = true, value_name = "TOPIC", default_value = "maestro")]
    pub(super) root: String,
    /// User name; the password comes from MAESTRO_PASSWORD or is asked for
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) username: Option<String>,
    /// mqtts: certificates (PEM) of whom to trust
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
    /// mqtts: own certificate (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    pub(super) cert: Option<PathBuf>,
    /// mqtts: own key (PEM)
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    pub(super) key: Option<PathBuf>,
    /// One JSON document per line, for programs
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Deed {
    /// Runs the daemon
    Run {
        /// The configuration, in place of /etc/maestro/maestro.yaml
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// For tests: write down what would reboot or power off the box, do not do it
        #[arg(long, value_name = "FILE", hide = true)]
        record_reboot: Option<PathBuf>,
        /// For tests: what panics after the start, `broker`, `storage` or `subsystem`.
        #[arg(long, hide = true, value_name = "WHAT")]
        rehearse_panic: Option<String>,
    },
    /// Shows how the box is, on one screen
    Status,
    /// Sends a command, waits for its end and shows the result
    Cmd(Cmd),
    /// Publishes a message
    Pub(Pub),
    /// Prints messages as they come, one `topic payload` a line
    Sub(Sub),
    /// Shows the contract: topics, verbs, errors, schemas, the AsyncAPI document
    Api {
        #[command(subcommand)]
        page: Option<Page>,
    },
    /// Says who the daemon takes you for, and what you may do
    Whoami,
    /// Users with passwords
    #[command(subcommand)]
    User(User),
    /// Configuration files
    #[command(subcommand)]
    Config(Config),
    /// Prints the completions of a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// `maestro jobs restart thermo`
    #[command(external_subcommand)]
    Short(Vec<OsString>),
}

impl CommandLine {
    /// Reads the words of the process; the short form of a command is read as its long one.
    pub(super) fn read(words: &[OsString]) -> Result<CommandLine, clap::Error> {
        let line = CommandLine::try_parse_from(words)?;
        let Deed::Short(short) = &line.deed else { return Ok(line) };
        let before = &words[..words.len() - short.len()];
        let [subsystem, verb, args @ ..] = &short[..] else {
            return Err(unknown(&short.first().cloned().unwrap_or_default()));
        };
        if verb.to_string_lossy().starts_with('-') {
            return Err(unknown(subsystem));
        }
        let command = [subsystem.as_os_str(), verb.as_os_str()].join(OsStr::new("/"));
        let long = ["cmd".into(), command];
        CommandLine::try_parse_from(before.iter().chain(&long).chain(args))
    }
}

/// What clap itself says where there is no short form.
fn unknown(word: &OsStr) -> clap::Error {
    let word = word.to_string_lossy();
    let command = CommandLine::command();
    let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    let hint = match nearest(&word, known) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "'maestro --help' lists what there is".to_owned(),
    };
    let told = format!("'{word}' is not a command: {hint}\n");
    CommandLine::command().error(clap::error::ErrorKind::InvalidSubcommand, told)
}

/// `maestro cmd`.
#[derive(Args, Clone, Debug)]
pub(super) struct Cmd {
    /// What to do: <subsystem>/<verb>, `maestro api verbs` lists them
    #[arg(value_name = "SUBSYSTEM/VERB")]
    pub(super) verb: String,
    /// Nothing, a bare word (the verb's subject), key=value pairs, or one JSON object
    #[arg(value_name = "ARG")]
    pub(super) args: Vec<String>,
    /// Names the command: the same id again returns the stored result [default: a new ULID]
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<String>,
    /// How long to wait for the end
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub(super) timeout: std::time::Duration,
    /// Say what would be done, do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// `maestro pub`.
#[derive(Args, Clone, Debug)]
pub(super) struct Pub {
    /// The whole topic, root included
    pub(super) topic: String,
    /// The payload; `-` reads it from standard input
    #[arg(default_value = "")]
    pub(super) payload: String,
    /// Keep it for later subscribers
    #[arg(long)]
    pub(super) retain: bool,
    /// Quality of service
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(super) qos: u8,
}

/// `maestro sub`.
#[derive(Args, Clone, Debug)]
pub(super) struct Sub {
    /// Topic filters, root included
    #[arg(required = true, value_name = "FILTER")]
    pub(super) filters: Vec<String>,
    /// End after this many messages
    #[arg(long, value_name = "N")]
    pub(super) count: Option<u64>,
    /// Put the time of arrival (UTC) before each line
    #[arg(long)]
    pub(super) time: bool,
    /// Quality of service
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(super) qos: u8,
}

/// A page of `maestro api`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Page {
    /// Every topic with its meaning
    Topics,
    /// Every verb with its class and subject
    Verbs,
    /// Every error code
    Errors,
    /// The JSON Schema of a payload type
    Schema {
        /// The type's name
        r#type: String,
    },
    /// The AsyncAPI 3 document
    Asyncapi,
}

/// `maestro user`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum User {
    /// Adds a user, or changes its password and role; the password is read without echo, or from
    /// standard input
    Add {
        /// The name to log in with
        name: String,
        /// What it may do
        #[arg(long, default_value = "app", value_parser = role)]
        role: Role,
        /// The configuration that names the users' file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// `maestro config`.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Config {
    /// Checks a file: every mistake with its place, exit code 78 when there is one
    Check {
        /// The file [default: the one the daemon would load]
        file: Option<PathBuf>,
    },
}

/// A shell with completions.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

fn role(word: &str) -> Result<Role, String> {
    serde_json::from_value(serde_json::Value::String(word.into()))
        .map_err(|_| "one of observer, app, operator, admin".into())
}

/// `500ms`, `90s`, `5m`, `2h`; a bare number is seconds.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a time like 500ms, 90s, 5m or 2h".into()),
    };
    digits
        .parse::<f64>()
        .ok()
        .and_then(|number| std::time::Duration::try_from_secs_f64(number * scale).ok())
        .ok_or_else(|| "a time like 500ms, 90s, 5m or 2h".into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_duration_is_a_number_with_a_unit_and_seconds_without() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for bad in ["", "s", "-1s", "5d", "1e400s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    fn read(words: &[&str]) -> Result<CommandLine, clap::Error> {
        let all = std::iter::once("maestro").chain(words.iter().copied());
        CommandLine::read(&all.map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn a_subsystem_and_a_verb_are_a_command() {
        let line = read(&["--root", "gw/GW1", "jobs", "restart", "thermo", "--dry-run", "--json"]);
        let line = line.unwrap();
        assert_eq!((line.target.root.as_str(), line.target.json), ("gw/GW1", true));
        let Deed::Cmd(cmd) = line.deed else { panic!("{:?}", line.deed) };
        assert_eq!((cmd.verb.as_str(), cmd.dry_run), ("jobs/restart", true));
        assert_eq!(cmd.args, ["thermo"]);
    }

    #[test]
    fn a_mistyped_command_is_told_what_it_is_near_to() {
        for words in [&["staus"][..], &["staus", "--json"]] {
            let error = read(words).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("'staus' is not a command: did you mean 'status'?"));
        }
    }

    #[test]
    fn options_about_the_box_stand_anywhere() {
        let line = CommandLine::try_parse_from([
            "maestro",
            "cmd",
            "jobs/restart",
            "thermo",
            "--root",
            "gw/GW1",
            "--url",
            "mqtts://cloud",
        ])
        .unwrap();
        assert_eq!(line.target.root, "gw/GW1");
        let Deed::Cmd(cmd) = line.deed else { panic!("{:?}", line.deed) };
        assert_eq!(
            (cmd.verb.as_str(), cmd.args.as_slice()),
            ("jobs/restart", &["thermo".into()][..])
        );
    }
}
