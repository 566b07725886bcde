//! Decides whether the box may be ended now. Pure.
//!
//! ```text
//!   Up -- reboot, shutdown --> Waiting{until} -- due --> recorded on disk, event told, the hand
//!    ^                             |
//!    +--- the disk or the kernel refuses
//! ```
//! While one waits every other is refused: the first has been promised its end.

use std::time::Duration;

use super::message::RebootArgs;
use crate::config::Span;
use crate::contract;
use crate::linux::reboot::End;

/// The longest a command may wait; less than the `timeout` of its verb, 10 min.
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// What is known when a command to end the box arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    /// The kernel would obey.
    pub(super) permitted: bool,
    /// One is waiting already.
    pub(super) ending: Option<End>,
}

/// How long the box stays up, or why it stays.
pub(super) fn delay(args: &RebootArgs, situation: Situation) -> Result<Duration, contract::Error> {
    let delay = match args.delay.as_deref().map(str::parse::<Span>) {
        None => Duration::ZERO,
        Some(Ok(Span(delay))) if delay <= LONGEST_DELAY => delay,
        Some(Ok(_)) => return Err(malformed("the longest delay is 5m")),
        Some(Err(error)) => return Err(malformed(&error.to_string())),
    };
    if let Some(end) = situation.ending {
        let message = format!("a {} is under way", name(end));
        return Err(contract::Error::new("system.ending", message));
    }
    if !situation.permitted {
        let message = "the daemon lacks CAP_SYS_BOOT, which reboot(2) asks for";
        let hint = "run maestro as root, or give it the capability";
        return Err(contract::Error::new("system.not_permitted", message).hint(hint));
    }
    Ok(delay)
}

/// The verb, which is the event's type, too.
pub(super) fn name(end: End) -> &'static str {
    match end {
        End::Reboot => "reboot",
        End::PowerOff => "shutdown",
    }
}

fn malformed(message: &str) -> contract::Error {
    contract::Error::new("command.malformed", message).at("/delay")
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Situation = Situation { permitted: true, ending: None };

    fn with_delay(text: &str) -> RebootArgs {
        RebootArgs { delay: Some(text.into()), ..RebootArgs::default() }
    }

    fn code(result: Result<Duration, contract::Error>) -> String {
        result.unwrap_err().code
    }

    #[test]
    fn without_a_delay_it_is_at_once() {
        assert_eq!(delay(&RebootArgs::default(), UP), Ok(Duration::ZERO));
        assert_eq!(delay(&with_delay("30s"), UP), Ok(Duration::from_secs(30)));
    }

    #[test]
    fn a_delay_is_a_length_of_time_of_at_most_five_minutes() {
        for wrong in ["soon", "30", "6m"] {
            let error = delay(&with_delay(wrong), UP).unwrap_err();
            assert_eq!(
                (error.code.as_str(), error.field.as_deref()),
                ("command.malformed", Some("/delay"))
            );
        }
    }

    #[test]
    fn only_one_end_at_a_time() {
        let ending = Situation { ending: Some(End::PowerOff), ..UP };
        assert_eq!(code(delay(&RebootArgs::default(), ending)), "system.ending");
    }

    #[test]
    fn without_the_capability_nothing_is_promised() {
        let bound = Situation { permitted: false, ..UP };
        assert_eq!(code(delay(&RebootArgs::default(), bound)), "system.not_permitted");
    }
}
