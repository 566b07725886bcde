//! "Did you mean": the known name that a mistyped word is nearest to.

/// The name in `known` that `word` most likely means; `None` if none is near.
///
/// Near is at most a third of the longer word's letters changed, swapped with their neighbour, added
/// or left out (Damerau, optimal string alignment), not counting case and `-` against `_`.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = folded(word);
    known
        .into_iter()
        .filter_map(|name| {
            let other = folded(name);
            let away = distance(&word, &other);
            (away <= word.len().max(other.len()).div_ceil(3)).then_some((away, name))
        })
        .min_by_key(|(away, _)| *away)
        .map(|(_, name)| name)
}

fn folded(word: &str) -> Vec<char> {
    word.chars()
        .take(64)
        .flat_map(char::to_lowercase)
        .map(|c| if c == '-' { '_' } else { c })
        .collect()
}

fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_finger_finds_the_name_that_was_meant() {
        let known = ["memory", "load", "network", "state_dir"];
        for (word, meant) in [
            ("memroy", "memory"),
            ("Memory", "memory"),
            ("state-dir", "state_dir"),
            ("laod", "load"),
        ] {
            assert_eq!(nearest(word, known), Some(meant));
        }
    }

    #[test]
    fn a_word_that_is_like_nothing_finds_nothing() {
        assert_eq!(nearest("qqqq", ["memory", "load"]), None);
        assert_eq!(nearest("", ["memory", "load"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
