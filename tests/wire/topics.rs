//! Topic names and filters (§4.7, 5.0 §4.8.2).

use maestro::broker::wire::{Malformed, topic};

#[test]
fn names_are_anything_without_wildcards_and_null() {
    for name in ["a", "/", "//", " ", "a/b/c", "é/x", "$SYS/x", "\u{FEFF}", "\u{FFFF}", "a b"] {
        assert_eq!(topic::name(name), Ok(()), "{name}");
    }
    assert_eq!(topic::name(&"x".repeat(65_535)), Ok(()));
    for (name, refused) in [
        ("", Malformed::TopicNameEmpty),
        ("#", Malformed::TopicNameWildcard),
        ("a/+", Malformed::TopicNameWildcard),
        ("a#", Malformed::TopicNameWildcard),
        ("a\0", Malformed::NullCharacter),
        ("+\0", Malformed::NullCharacter),
    ] {
        assert_eq!(topic::name(name), Err(refused), "{name}");
    }
    assert_eq!(topic::name(&"x".repeat(65_536)), Err(Malformed::PacketTooLarge));
}

#[test]
fn wildcards_stand_alone_in_their_level_and_the_last_is_last() {
    for filter in [
        "#",
        "+",
        "/",
        "a",
        "a/#",
        "/#",
        "+/#",
        "+/+",
        "/+",
        "a/+/b",
        "+/a",
        "$share",
        "$share/g/#",
        "$SYS/#",
        "a//#",
    ] {
        assert_eq!(topic::filter(filter), Ok(()), "{filter}");
    }
    for (filter, refused) in [
        ("", Malformed::TopicFilterEmpty),
        ("a#", Malformed::MultiLevelWildcard),
        ("#/", Malformed::MultiLevelWildcard),
        ("#/a", Malformed::MultiLevelWildcard),
        ("##", Malformed::MultiLevelWildcard),
        ("a/#b", Malformed::MultiLevelWildcard),
        ("+#", Malformed::SingleLevelWildcard),
        ("a+", Malformed::SingleLevelWildcard),
        ("+a", Malformed::SingleLevelWildcard),
        ("a/b+/c", Malformed::SingleLevelWildcard),
        ("++", Malformed::SingleLevelWildcard),
        ("a\0", Malformed::NullCharacter),
    ] {
        assert_eq!(topic::filter(filter), Err(refused), "{filter}");
    }
}

#[test]
fn a_shared_subscription_names_its_group_and_its_filter() {
    let parts = |filter| {
        topic::shared(filter).map(|shared| shared.map(|shared| (shared.group, shared.filter)))
    };
    assert_eq!(parts("$share/g/a/+"), Ok(Some(("g", "a/+"))));
    assert_eq!(parts("$share/g//"), Ok(Some(("g", "/"))));
    assert_eq!(parts("a/b"), Ok(None));
    assert_eq!(parts("$share"), Ok(None));
    assert_eq!(parts("$shared/g/a"), Ok(None));
    assert_eq!(parts("$share/"), Err(Malformed::ShareNameEmpty));
    assert_eq!(parts("$share//a"), Err(Malformed::ShareNameEmpty));
    assert_eq!(parts("$share/g"), Err(Malformed::ShareForm));
    assert_eq!(parts("$share/g/"), Err(Malformed::ShareForm));
    assert_eq!(parts("$share/+/a"), Err(Malformed::ShareForm));
    assert_eq!(parts("$share/#"), Err(Malformed::ShareForm));
}
