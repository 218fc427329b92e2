//! The known word nearest to a mistyped one.

/// The word of `known` that `typed` was probably meant to be, if any is near enough.
pub(crate) fn nearest<'known>(
    typed: &str,
    known: impl IntoIterator<Item = &'known str>,
) -> Option<&'known str> {
    // One mistake in three characters is a slip of the fingers; more is another word.
    let allowed = (typed.chars().count() / 3).clamp(1, 3);
    let near = known.into_iter().map(|word| (distance(typed, word), word));
    near.filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The number of insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (row, character) in left.chars().enumerate() {
        let mut current = Vec::with_capacity(last.len());
        current.push(row + 1);
        for (column, other) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(character != *other);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped = column > 0
                && previous == Some(*other)
                && right.get(column.wrapping_sub(1)) == Some(&character);
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(character);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let verbs = [
            "run", "rm", "rename", "restart", "start", "stop", "ps", "pause", "inspect",
        ];
        for (typed, meant) in [
            ("rnu", Some("run")),
            ("satrt", Some("start")),
            ("inpsect", Some("inspect")),
            ("restrat", Some("restart")),
            ("frobnicate", None),
            ("xyzzy", None),
        ] {
            assert_eq!(nearest(typed, verbs), meant, "{typed}");
        }
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(distance("run", "rnu"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
