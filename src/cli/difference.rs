//! How two lists differ, line by line.

use similar::{Algorithm, capture_diff_slices};

/// The elements of both lists in order: `-` before what only `expected` has, `+` before what only `got` has. An empty
/// list has the line `nothing`.
pub(super) fn lines(expected: &[String], got: &[String]) -> Vec<String> {
    if expected.is_empty() || got.is_empty() {
        let side = |mark: char, list: &[String]| match list {
            [] => vec![format!("{mark} nothing")],
            list => list.iter().map(|text| format!("{mark} {text}")).collect(),
        };
        return [side('-', expected), side('+', got)].concat();
    }
    let operations = capture_diff_slices(Algorithm::Myers, expected, got);
    let changes = operations.iter().flat_map(|operation| operation.iter_changes(expected, got));
    changes.map(|change| format!("{} {}", change.tag(), change.value())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_have_is_shown_once() {
        for (expected, got, shown) in [
            ("a b c", "a c", "  a|- b|  c"),
            ("a c", "a b c", "  a|+ b|  c"),
            ("a b", "b a", "+ b|  a|- b"),
            ("a", "b", "- a|+ b"),
            ("a", "", "- a|+ nothing"),
            ("", "a b", "- nothing|+ a|+ b"),
        ] {
            let [expected, got] =
                [expected, got].map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(lines(&expected, &got).join("|"), shown);
        }
    }
}
