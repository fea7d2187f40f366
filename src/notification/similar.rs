//! Names that are close to one that nothing has: what is suggested after a slip of the keyboard.

/// The closest of `known` to `got`, where one is close.
#[must_use]
pub fn closest<'a>(got: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (got.chars().count() / 3).max(1);
    let measured = known.into_iter().map(|name| (strsim::damerau_levenshtein(got, name), name));
    measured.min().filter(|(distance, _)| *distance <= limit).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_close_is_suggested() {
        let known = ["order.updated", "order.created", "a"];
        assert_eq!(closest("order.updatd", known), Some("order.updated"));
        assert_eq!(closest("b", known), Some("a"));
        assert_eq!(closest("security", known), None);
        assert_eq!(closest("a", []), None);
    }
}
