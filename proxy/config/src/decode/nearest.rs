//! Which known key somebody may have meant.

/// The known key nearest to `key`, if one is near enough to be meant.
pub(crate) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let key = normal(key);
    if key.len() > LONGEST {
        return None;
    }
    known
        .iter()
        .map(|candidate| (distance(&key, &normal(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Keys beyond this are not compared; the schema has none half as long.
const LONGEST: usize = 64;

/// Case and separators are not worth a distance: `baseUrl` and `base-url` mean `base_url`.
fn normal(key: &str) -> Vec<char> {
    key.chars().filter(|char| !matches!(char, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// How many insertions, deletions, replacements and swaps of neighbours lie between both (optimal string alignment).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, left) in one.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, right) in other.iter().enumerate() {
            let replaced = last[column] + usize::from(left != right);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && one[row - 1] == *right && other[column - 1] == *left;
            if swapped {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KNOWN: [&str; 5] = ["host", "port", "default_model", "log_level", "base_url"];

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        for (slip, meant) in [
            ("prot", "port"),
            ("prt", "port"),
            ("defualt_model", "default_model"),
            ("loglevel", "log_level"),
            ("baseUrl", "base_url"),
            ("BASE-URL", "base_url"),
        ] {
            assert_eq!(nearest(slip, &KNOWN), Some(meant), "{slip}");
        }
    }

    #[test]
    fn a_stranger_finds_nothing() {
        for stranger in ["", "x", "colour", &"port".repeat(100)] {
            assert_eq!(nearest(stranger, &KNOWN), None, "{stranger}");
        }
    }
}
