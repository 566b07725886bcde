//! The known name that a mistyped one most likely meant.

/// The nearest of `known` to `written`, if it is near enough to be a slip.
pub fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let folded = fold(written);
    let enough = (folded.chars().count() / 3).max(1);
    known
        .iter()
        .map(|name| (distance(&folded, &fold(name)), *name))
        .filter(|(distance, _)| *distance <= enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `maxSize`, `max-size` and `max_size` are one name.
fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Optimal string alignment: insertions, deletions, substitutions, swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect(); // longer names are no settings of ours
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            let mut cost = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before[j - 2] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["listeners", "limits", "users", "max_size", "ca"];

    #[test]
    fn a_slip_finds_its_name() {
        for (written, meant) in [
            ("listners", "listeners"),
            ("lsiteners", "listeners"),
            ("limit", "limits"),
            ("user", "users"),
            ("maxSize", "max_size"),
            ("max-size", "max_size"),
            ("CA", "ca"),
        ] {
            assert_eq!(nearest(written, &KNOWN), Some(meant), "{written}");
        }
    }

    #[test]
    fn another_word_finds_nothing() {
        for written in ["", "wifi", "password", "certificate"] {
            assert_eq!(nearest(written, &KNOWN), None, "{written}");
        }
    }
}
