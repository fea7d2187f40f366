//! Globs on texts: what fits one as a whole, character by character.

use globset::GlobBuilder;
use regex::{Regex, RegexBuilder};

/// Compiles a glob.
///
/// `*` is any text and `?` any character, `/` and line ends among them; `[ab]`, `[a-z]` and `[!a]` are characters of a
/// class, `{a,b}` is one of several globs, and `\` takes what follows as it is.
///
/// # Errors
/// What is wrong with it, or that it takes more memory than `most` bytes.
pub fn compile_glob(pattern: &str, most: usize) -> Result<Regex, String> {
    // Also where `\` separates the parts of a path.
    let glob = GlobBuilder::new(pattern).backslash_escape(true).build().map_err(|error| error.kind().to_string())?;
    let regex = of_characters(glob.regex());
    let built = RegexBuilder::new(&regex).dot_matches_new_line(true).size_limit(most).build();
    built.map_err(|error| error.to_string())
}

/// The expression of a glob, which is about the bytes of a path, for the characters of a text.
fn of_characters(regex: &str) -> String {
    let regex = regex.strip_prefix("(?-u)").unwrap_or(regex);
    let mut bytes = Vec::with_capacity(regex.len());
    let mut rest = regex.bytes();
    while let Some(byte) = rest.next() {
        let escaped = if byte == b'\\' { rest.next() } else { None };
        match escaped {
            // A byte of a character beyond ASCII, such as `\xc3`; its others follow.
            Some(b'x') => {
                let digits = rest.by_ref().take(2).filter_map(|digit| char::from(digit).to_digit(16));
                bytes.push(digits.fold(0, |byte, digit| byte << 4 | digit as u8));
            }
            Some(meant) => bytes.extend([byte, meant]),
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        compile_glob(pattern, 1 << 20).unwrap().is_match(text)
    }

    #[test]
    fn a_glob_is_about_characters() {
        for (pattern, text) in [
            ("?", "é"),
            ("?", "日"),
            ("?", "🦀"),
            ("?", "\n"),
            ("[é]", "é"),
            ("[éß]x", "ßx"),
            ("[!a]", "日"),
            ("[^é]", "日"),
            ("[a-é]", "b"),
            ("[а-я]", "ж"),
            ("a?b", "aéb"),
            ("é*日", "é\n🦀日"),
            ("{é,日}?", "日é"),
            (r"\é\*", "é*"),
            (r"\\xc3", r"\xc3"),
            ("xc3", "xc3"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("??", "é"),
            ("[é]", "Ã"),
            ("[!é]", "é"),
            ("[a-é]", "日"),
            ("é", "e"),
            ("é", "Ã©"),
            ("a?b", "aééb"),
            (r"\\xc3", "Ã"),
            ("a", "a\n"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    /// Of ASCII texts it says what the glob of paths does.
    #[test]
    fn a_glob_of_ascii_is_that_of_paths() {
        let patterns = [
            "*",
            "?",
            "a*",
            "*/b",
            "**",
            "a/**",
            "**/b",
            "a/**/b",
            "[ab]",
            "[!a]",
            "[]]",
            "[a-]",
            "[.-9]",
            "{a,b}/*",
            "a.b",
            r"\[a",
            "a,b",
            "(a)",
            "{a,{b,?}}",
            "a{,b}",
            "[&&]",
            "$",
            "^a",
        ];
        let texts = [
            "", "a", "b", "ab", "a/b", "a/x/b", "/b", "a/", "]", "-", "&", ".", "aXb", "a.b", "[a", "a,b", "(a)", "$",
            "^a", "b/\n", "\n",
        ];
        for pattern in patterns {
            let of_paths = globset::Glob::new(pattern).unwrap().compile_matcher();
            for text in texts {
                assert_eq!(fits(pattern, text), of_paths.is_match(text), "{pattern:?} {text:?}");
            }
        }
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        for pattern in ["[", "{a", "a}", r"a\", "[é-a]"] {
            assert!(compile_glob(pattern, 1 << 20).is_err(), "{pattern}");
        }
        assert!(compile_glob(&"?".repeat(100), 1024).unwrap_err().contains("size limit"));
        // The longest that a script may have.
        assert!(compile_glob(&"?".repeat(256), 256 * 1024).is_ok());
    }
}
