//! The known name that a mistyped one probably means.

/// The nearest of `known` to `name`, if it is near enough to be worth suggesting.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let name = name.to_lowercase();
    let worth = 2.max(name.len() / 3);
    let distances = known.map(|other| (distance(&name, &other.to_lowercase()), other));
    distances.filter(|(distance, _)| *distance <= worth).min().map(|(_, other)| other)
}

/// Insertions, removals, replacements and swaps of neighbours that turn one into the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    rows[0] = (0..=to.len()).collect();
    for i in 1..=from.len() {
        rows[i][0] = i;
        for j in 1..=to.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near_or_none() {
        let known = ["ft_active", "ft_activation", "listen", "server"];
        let check = |name: &str, expected| assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        check("ft_actve", Some("ft_active"));
        check("FT_Active", Some("ft_active"));
        check("ft_activatoin", Some("ft_activation"));
        check("litsen", Some("listen"));
        check("completely_else", None);
    }
}
