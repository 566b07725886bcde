//! Topic names and filters by the rules of MQTT 5.0 §4.7 and §4.8.2.

/// Whether `topic` can be published to: not empty, no wildcard, no NUL, at most 65 535 bytes.
pub fn is_name(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= usize::from(u16::MAX) && !topic.contains(['+', '#', '\0'])
}

/// Whether `filter` can be subscribed to: `+` a whole level, `#` a whole last one; `$share/..` as
/// [`Shared::parse`] wants it.
pub fn is_filter(filter: &str) -> bool {
    match filter.strip_prefix("$share/") {
        Some(_) => Shared::parse(filter).is_some(),
        None => is_plain_filter(filter),
    }
}

fn is_plain_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > usize::from(u16::MAX) || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let alone = level.len() == 1;
        if level.contains('+') && !alone
            || level.contains('#') && (!alone || levels.peek().is_some())
        {
            return false;
        }
    }
    true
}

/// Whether a message on `topic` is one of `filter` (no `$share`). Does not allocate.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false; // §4.7.2
    }
    let mut given = topic.split('/');
    for level in filter.split('/') {
        match (level, given.next()) {
            ("#", _) => return true, // its parent too
            ("+", Some(_)) => {}
            (word, Some(found)) if word == found => {}
            (_, _) => return false,
        }
    }
    given.next().is_none()
}

/// Whether some topic is matched by both filters (no `$share`). Does not allocate.
pub fn overlaps(one: &str, other: &str) -> bool {
    let dollar = |a: &str, b: &str| a.starts_with('$') && b.starts_with(['+', '#']);
    if dollar(one, other) || dollar(other, one) {
        return false;
    }
    let (mut left, mut right) = (one.split('/'), other.split('/'));
    loop {
        match (left.next(), right.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
            (Some(_), Some(_)) => return false,
        }
    }
}

/// Whether every topic that `inner` matches is matched by `outer` (no `$share`). Does not allocate.
pub fn covers(outer: &str, inner: &str) -> bool {
    if inner.starts_with('$') && outer.starts_with(['+', '#']) {
        return false;
    }
    let mut given = inner.split('/');
    for level in outer.split('/') {
        match (level, given.next()) {
            ("#", _) => return true,
            (_, Some("#")) => return false,
            ("+", Some(_)) => {}
            (word, Some(found)) if word == found => {}
            (_, _) => return false,
        }
    }
    given.next().is_none()
}

/// A subscription that a group of clients shares: `$share/<group>/<filter>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared<'f> {
    /// Who shares.
    pub group: &'f str,
    /// What they share.
    pub filter: &'f str,
}

impl<'f> Shared<'f> {
    /// A shared filter, if it is a well-formed one (§4.8.2).
    pub fn parse(filter: &'f str) -> Option<Shared<'f>> {
        let (group, filter) = filter.strip_prefix("$share/")?.split_once('/')?;
        let named = !group.is_empty() && !group.contains(['+', '#', '\0']);
        (named && is_plain_filter(filter)).then_some(Shared { group, filter })
    }

    /// The filter that decides what is readable: without `$share/<group>/`.
    pub fn inner(filter: &'f str) -> &'f str {
        Shared::parse(filter).map_or(filter, |shared| shared.filter)
    }
}

impl std::fmt::Display for Shared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "$share/{}/{}", self.group, self.filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_filter_matches_as_the_specification_says() {
        let table = [
            ("sport/#", "sport", true),
            ("sport/#", "sport/", true),
            ("sport/#", "sport/a/b", true),
            ("sport/#", "sports", false),
            ("#", "a/b", true),
            ("+", "finance", true),
            ("+", "/finance", false),
            ("/+", "/finance", true),
            ("+/+", "/finance", true),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a/b/d", false),
            ("a/+", "a/b/c", false),
            ("a/b", "a/b/c", false),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("$SYS/+", "$SYS/x", true),
        ];
        for (filter, topic, expected) in table {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn a_filter_is_well_formed_or_refused() {
        for good in ["#", "+", "/", "a", "+/#", "a/+/b", "a/#", "$share/g/a/#", "/+", "$SYS/#"] {
            assert!(is_filter(good), "{good}");
        }
        for bad in [
            "",
            "a#",
            "#/a",
            "a/#/b",
            "a+",
            "+a/b",
            "\0",
            "$share/",
            "$share/g",
            "$share//a",
            "$share/g/",
            "$share/+/a",
        ] {
            assert!(!is_filter(bad), "{bad}");
        }
        assert!(!is_name("a/+") && !is_name("") && !is_name("a\0") && is_name("$a/ /é"));
    }

    #[test]
    fn filters_overlap_when_a_topic_can_be_in_both() {
        let table = [
            ("#", "a/b", true),
            ("a/+", "+/b", true),
            ("a/+", "b/+", false),
            ("a/#", "a", true),
            ("a/+", "a", false),
            ("#", "$SYS/#", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/+/x", true),
            ("maestro/+/stats", "maestro/state/#", true),
        ];
        for (one, other, expected) in table {
            assert_eq!(overlaps(one, other), expected, "{one} {other}");
            assert_eq!(overlaps(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn a_shared_filter_prints_as_it_was_read() {
        let shared = Shared::parse("$share/workers/maestro/event/#").unwrap();
        assert_eq!((shared.group, shared.filter), ("workers", "maestro/event/#"));
        assert_eq!(shared.to_string(), "$share/workers/maestro/event/#");
        assert_eq!(Shared::inner("$share/g/a/+"), "a/+");
        assert_eq!(Shared::inner("a/+"), "a/+");
    }

    proptest! {
        #[test]
        fn what_one_topic_shows_overlaps(
            one in "[$]?(a|b|[+])(/(a|b|[+])){0,3}(/#)?",
            other in "[$]?(a|b|[+])(/(a|b|[+])){0,3}(/#)?",
            topic in "[$]?[ab](/[ab]){0,4}",
        ) {
            prop_assume!(is_filter(&one) && is_filter(&other));
            if matches(&one, &topic) && matches(&other, &topic) {
                prop_assert!(overlaps(&one, &other));
            }
        }

        #[test]
        fn what_is_covered_matches_too(
            outer in "[$]?(a|b|[+])(/(a|b|[+])){0,3}(/#)?",
            inner in "[$]?(a|b|[+])(/(a|b|[+])){0,3}(/#)?",
            topic in "[$]?[ab](/[ab]){0,4}",
        ) {
            prop_assume!(is_filter(&outer) && is_filter(&inner));
            if covers(&outer, &inner) {
                prop_assert!(overlaps(&outer, &inner));
                prop_assert!(!matches(&inner, &topic) || matches(&outer, &topic));
            }
        }

        #[test]
        fn a_topic_matches_itself_and_everything(topic in "[a-z$/]{1,12}") {
            prop_assert!(matches(&topic, &topic));
            prop_assert!(topic.starts_with('$') || matches("#", &topic));
        }
    }
}
