//! Passwords: from the environment, a pipe, or the terminal without echo. Never an argument, which
//! every `ps` shows.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use super::exit::{Exit, Stop};

const INTERRUPT: u8 = 0x03;
const END_OF_INPUT: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL_LINE: u8 = 0x15;
const DELETE: u8 = 0x7F;

/// The password to log in with: `MAESTRO_PASSWORD`, else asked for on the terminal.
pub(super) fn of_login(name: &str) -> Result<String, Stop> {
    match std::env::var("MAESTRO_PASSWORD") {
        Ok(password) => Ok(password),
        Err(_) => ask(&format!("password of {name}: "), "set MAESTRO_PASSWORD"),
    }
}

/// A new password: the first line of standard input, or asked for twice.
pub(super) fn new(name: &str) -> Result<String, Stop> {
    let stdin = io::stdin();
    let password = if stdin.is_terminal() {
        let instead = "give the password on standard input";
        let first = ask(&format!("new password of {name}: "), instead)?;
        if ask("the same again: ", instead)? != first {
            return Err(Stop::usage("the two passwords differ: nothing was changed"));
        }
        first
    } else {
        let mut line = String::new();
        stdin.lock().read_line(&mut line)?;
        line.trim_end_matches(['\n', '\r']).to_owned()
    };
    if password.is_empty() {
        return Err(Stop::usage("an empty password lets everybody in: nothing was changed"));
    }
    Ok(password)
}

/// Asks on the terminal, whatever standard input is; where there is none, says what to do instead.
fn ask(question: &str, instead: &str) -> Result<String, Stop> {
    let no_terminal = |_| Stop::usage(format!("no terminal to ask on: {instead}"));
    let mut tty = File::options().read(true).write(true).open("/dev/tty").map_err(no_terminal)?;
    tty.write_all(question.as_bytes())?;
    let quiet = Quiet::on(tty.try_clone()?)?;
    let line = line(&mut tty.try_clone()?);
    drop(quiet);
    tty.write_all(b"\n")?;
    match line? {
        Some(line) => String::from_utf8(line).map_err(|_| Stop::usage("the password is not UTF-8")),
        None => Err(Stop::silent(Exit::Interrupted)),
    }
}

/// One line of keys, edited as a terminal would; `None` for Ctrl-C.
fn line(keys: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut key = [0];
    loop {
        if keys.read(&mut key)? == 0 {
            return Ok(Some(line));
        }
        match key[0] {
            b'\r' | b'\n' | END_OF_INPUT => return Ok(Some(line)),
            INTERRUPT => return Ok(None),
            KILL_LINE => line.clear(),
            BACKSPACE | DELETE => {
                // A whole character, not one of its bytes.
                while line.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {}
            }
            byte => line.push(byte),
        }
    }
}

/// A terminal that shows nothing and leaves Ctrl-C to us, until this is dropped.
struct Quiet {
    tty: File,
    before: Termios,
}

impl Quiet {
    fn on(tty: File) -> io::Result<Quiet> {
        let before = tcgetattr(&tty)?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        tcsetattr(&tty, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Quiet { tty, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.tty, SetArg::TCSADRAIN, &self.before); // the terminal is gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_as_on_a_terminal() {
        for (keys, typed) in [
            ("secret\n", Some("secret")),
            ("secreT\x7ft\r", Some("secret")),
            ("wrong\x15secret\n", Some("secret")),
            ("sé\x7f\x08\x08secret", Some("secret")),
            ("sec\x03", None),
            ("\n", Some("")),
        ] {
            let read = line(&mut keys.as_bytes()).unwrap();
            assert_eq!(read.as_deref(), typed.map(str::as_bytes), "{keys:?}");
        }
    }
}
