//! Verbs for tests of this room.

use std::time::Duration;

use crate::contract::{Class, Role, Verb};

const fn verb(name: &'static str, class: Class, subject: Option<&'static str>) -> Verb {
    Verb {
        subsystem: "test",
        name,
        class,
        role: Role::Observer,
        subject,
        args: if subject.is_some() { Some("test.Unregistered") } else { None },
        result: "any",
        timeout: Duration::from_secs(30),
        dry_run: subject.is_some(),
        remote: true,
        meaning: "",
        since: "",
        examples: &[],
    }
}

pub(super) static READ: Verb = verb("read", Class::Read, None);
pub(super) static CHANGE: Verb = verb("change", Class::Change, Some("name"));
pub(super) static DANGER: Verb = verb("danger", Class::Danger, Some("name"));
