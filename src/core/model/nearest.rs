//! Which known name was probably meant by an unknown one. For messages to people; bounded, because names come from
//! outside.

/// Longest name that is compared, characters: for a longer one nothing is suggested.
const MEANT_MAX: usize = 64;

/// The name in `known` that `typed` was probably meant to be: at most a third of its letters differ.
pub fn nearest<'k>(typed: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let length = typed.chars().take(MEANT_MAX + 1).count();
    if length > MEANT_MAX {
        return None;
    }
    let allowed = (length / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(typed, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein distance, but two neighbouring letters in the wrong order count as one.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let mut best = (last[column] + usize::from(from != to)).min(last[column + 1] + 1).min(current[column] + 1);
            let crossed = row > 0 && column > 0 && *from == right[column - 1] && left[row - 1] == *to;
            if crossed {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["window", "binds", "bind_rate", "rate"];
        assert_eq!(nearest("windwo", known), Some("window"));
        assert_eq!(nearest("bind", known), Some("binds"));
        assert_eq!(nearest("rte", known), Some("rate"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"rate".repeat(100_000), known), None);
    }
}
