//! How two lists differ, line by line.

/// The elements of both lists in order: `-` before what only `expected` has, `+` before what only `got` has. An empty
/// list has the line `nothing`.
pub(super) fn lines(expected: &[String], got: &[String]) -> Vec<String> {
    let common = common(expected, got);
    let marked = |mark: char, text: &str| format!("{mark} {text}");
    let (mut lines, mut old, mut new) = (Vec::new(), 0, 0);
    if expected.is_empty() {
        lines.push(marked('-', "nothing"));
    }
    while old < expected.len() || new < got.len() {
        if old < expected.len() && new < got.len() && expected[old] == got[new] {
            lines.push(marked(' ', &got[new]));
            (old, new) = (old + 1, new + 1);
        } else if new == got.len() || (old < expected.len() && common[old + 1][new] >= common[old][new + 1]) {
            lines.push(marked('-', &expected[old]));
            old += 1;
        } else {
            lines.push(marked('+', &got[new]));
            new += 1;
        }
    }
    if got.is_empty() {
        lines.push(marked('+', "nothing"));
    }
    lines
}

/// How many elements the rest of one list, from each index, has in common with each rest of the other.
fn common(expected: &[String], got: &[String]) -> Vec<Vec<usize>> {
    let mut common = vec![vec![0; got.len() + 1]; expected.len() + 1];
    for old in (0..expected.len()).rev() {
        for new in (0..got.len()).rev() {
            common[old][new] = if expected[old] == got[new] {
                common[old + 1][new + 1] + 1
            } else {
                common[old + 1][new].max(common[old][new + 1])
            };
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_have_is_shown_once() {
        for (expected, got, shown) in [
            ("a b c", "a c", "  a|- b|  c"),
            ("a c", "a b c", "  a|+ b|  c"),
            ("a b", "b a", "- a|  b|+ a"),
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
