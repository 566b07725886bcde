//! "Did you mean": the known name that a mistyped word is nearest to.

/// The name in `known` that `word` most likely means; `None` if none is near.
///
/// Near is at most a third of its letters changed, swapped with their neighbour, added or left out
/// (optimal string alignment), one in a short word. `maxSize`, `max-size` and `max_size` are one name.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = folded(word);
    let enough = (word.len() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(&word, &folded(name)), name))
        .filter(|(away, _)| *away <= enough)
        .min_by_key(|(away, _)| *away)
        .map(|(_, name)| name)
}

fn folded(word: &str) -> Vec<char> {
    let letters = word.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
    letters.flat_map(char::to_lowercase).take(64).collect() // longer names are none of ours
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

    const KNOWN: [&str; 7] = ["memory", "load", "listeners", "limits", "users", "max_size", "ca"];

    #[test]
    fn a_slip_of_the_finger_finds_the_name_that_was_meant() {
        for (word, meant) in [
            ("memroy", "memory"),
            ("Memory", "memory"),
            ("laod", "load"),
            ("listners", "listeners"),
            ("lsiteners", "listeners"),
            ("limit", "limits"),
            ("maxSize", "max_size"),
            ("max-size", "max_size"),
            ("CA", "ca"),
        ] {
            assert_eq!(nearest(word, KNOWN), Some(meant), "{word}");
        }
    }

    #[test]
    fn a_word_that_is_like_nothing_finds_nothing() {
        for word in ["", "qqqq", "wifi", "password", "certificate"] {
            assert_eq!(nearest(word, KNOWN), None, "{word}");
        }
        assert_eq!(nearest("x", []), None);
    }
}
