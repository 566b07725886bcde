//! Topic names and filters against the standard's sentences, level by level.

use maestro::broker::wire::topic;

pub(super) fn trial(input: &str) {
    let plain = !input.is_empty() && input.len() <= 65_535 && !input.contains('\0');
    assert_eq!(topic::name(input).is_ok(), plain && !input.contains(['+', '#']));
    let last = input.split('/').count() - 1;
    let levels = input.split('/').enumerate().all(|(at, level)| {
        !level.contains(['+', '#']) || level == "+" || (level == "#" && at == last)
    });
    assert_eq!(topic::filter(input).is_ok(), plain && levels);
    match topic::shared(input) {
        Ok(Some(shared)) => {
            assert_eq!(format!("$share/{}/{}", shared.group, shared.filter), input);
            assert!(!shared.group.is_empty() && !shared.group.contains(['/', '+', '#']));
            assert!(!shared.filter.is_empty());
        }
        Ok(None) => assert!(!input.starts_with("$share/")),
        Err(_) => assert!(input.starts_with("$share/")),
    }
}
