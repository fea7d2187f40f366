//! The codes of findings: one for each kind of fault, with a section of its own in `docs/diagnostics.md`.

use std::fmt;

/// Declares the codes, and what is known of each, so that nothing can have a number and no title.
macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal;)*) => {
        /// What kind of finding it is. A number is never used again for another kind: people search for it, and
        /// tools keep lists of what they let pass.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Code {
            $(#[doc = $title] $name = $number,)*
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its heading in the documentation.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)*
                }
            }

            /// What the source calls it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

// By hundreds: files and syntax, keys and values, names and references, rules, schemas, plugins, authentication, what
// is proven, tests.
codes! {
    Unreadable = 1, "a configuration file cannot be read";
    NotUtf8 = 2, "a file is not UTF-8";
    Syntax = 3, "a file is not TOML";
    BadInclude = 4, "an include names no file that can be read";
    NestedInclude = 5, "an included file includes others";
    BadFile = 6, "a file that a value names cannot be used";

    WrongType = 101, "a value has the wrong type";
    UnknownKey = 102, "an unknown key";
    MissingKey = 103, "a missing key";
    Conflict = 104, "two keys that exclude each other";
    Empty = 105, "an empty value";
    OutOfRange = 106, "a number or a duration out of range";
    UnknownWord = 107, "a word that is not one of those allowed";
    WrongForm = 108, "a text that does not have the form its key asks for";
    NoName = 109, "a name with characters that names do not have";
    OnlyTrue = 110, "a key that can only be `true`";
    NotSupported = 111, "a key that is not supported yet";
    WrittenSecret = 112, "a secret is written out";
    NoSecret = 113, "a secret is not where the configuration says";
    PasswordInUrl = 114, "a password stands in a URL";
    OpenAdmin = 115, "anyone could administer the server";
    NotDurable = 116, "durability without Redis";

    DeclaredTwice = 201, "something is declared twice";
    UnknownName = 202, "a name that nothing declares";
    Unused = 203, "something is declared and never used";
    BadPattern = 204, "a channel's pattern cannot be read";
    Overlap = 205, "two channels overlap";
    NoPlaceholder = 206, "a policy asks for a placeholder that is not there";
    NoOwner = 207, "a default channel without an owner";
    NoDeadLetter = 208, "no channel for dead letters";
    UnknownTimeZone = 209, "an unknown time zone";
    BadLimitKey = 210, "the key of a limit cannot be read";

    NoRules = 301, "no rule at all";
    NoPath = 302, "a path that no notification has";
    UnknownOperator = 303, "an unknown operator";
    WrongOperator = 304, "an operator that the member does not have";
    BadOperand = 305, "a pattern that cannot be read";
    BadTarget = 306, "a target that names no channel";
    UnknownChannel = 307, "a target of no declared channel";
    NotRequired = 308, "a placeholder that a notification may lack";
    SamePriority = 309, "two rules of one priority";
    NoRule = 310, "a type without a rule";

    BadSchema = 401, "a schema cannot be used";
    UndeclaredField = 402, "a field that the schema does not have";
    Misfit = 403, "a comparison that does not fit the field's type";
    NeverValue = 404, "a value that the field never has";

    BadScript = 501, "a script does not compile";

    WrongAlgorithm = 601, "an algorithm that the issuer's key is not for";
    WeakSecret = 602, "a signing secret that is too short";
    NoHash = 603, "the hash of an API key is none";
    BadIssuer = 604, "two issuers that cannot be told apart";
    BadKey = 605, "an issuer's key cannot be used";
    BadGrant = 606, "a condition of a policy cannot be read";

    Refuted = 701, "an invariant does not hold";
    Undecided = 702, "an invariant is neither proven nor refuted";
    Vacuous = 703, "an invariant is for no notification";
    NeverMatches = 704, "a rule can never match";
    Covered = 705, "a rule is never reached";
    Unrouted = 706, "notifications that no rule is for";
    Unfillable = 707, "a rule that refuses notifications without `userId`";
    NotDecided = 708, "something about rules that was not decided";

    TestFailed = 801, "a test of the configuration fails";
    ExpectsNothing = 802, "a test that asks nothing";
}

/// As reports show it: `F102`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "F{:03}", *self as u16)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::config::fixtures::toml_files;

    /// Every Rust file below `folder`, as one text.
    fn sources(folder: &Path) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                text += &sources(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text += &fs::read_to_string(path).unwrap();
            }
        }
        text
    }

    #[test]
    fn every_code_is_used_and_has_one_meaning() {
        let text = sources(Path::new("src"));
        for code in Code::ALL {
            assert!(text.contains(&format!("Code::{}", code.name())), "{code} {} is never used", code.name());
        }
        let titles: BTreeSet<_> = Code::ALL.iter().map(|code| code.title()).collect();
        assert_eq!(titles.len(), Code::ALL.len(), "two codes have one title");
        assert!(Code::ALL.is_sorted(), "in the order of numbers");
    }

    #[test]
    fn every_code_is_documented_and_nothing_else_is() {
        let page = fs::read_to_string("docs/diagnostics.md").unwrap();
        let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        let expected: Vec<_> = Code::ALL.iter().map(|code| format!("{code}: {}", code.title())).collect();
        assert_eq!(headings, expected);
        for section in page.split("\n### ").skip(1) {
            let heading = section.lines().next().unwrap_or_default();
            for part in ["**Wrong**", "**Right**"] {
                assert!(section.contains(part), "`{heading}` has no {part}");
            }
        }
    }

    /// What the page calls wrong is word for word in a file that is refused for it.
    #[test]
    fn every_wrong_example_is_a_fixture() {
        let page = fs::read_to_string("docs/diagnostics.md").unwrap();
        for section in page.split("\n### ").skip(1) {
            let code = section.split(':').next().unwrap_or_default().to_lowercase();
            let wrong = section.split("**Wrong**").nth(1).and_then(|rest| rest.split("**Right**").next());
            let Some(example) = wrong.and_then(|wrong| wrong.split("```toml\n").nth(1)) else { continue };
            let example = example.split("```").next().unwrap_or_default();
            let of_code = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with(&code);
            let files = toml_files("tests/config/faults");
            let shown = files.iter().filter(|path| of_code(path));
            let found = shown.map(|path| fs::read_to_string(path).unwrap()).any(|text| text.contains(example));
            assert!(found, "no fixture of {code} has\n{example}");
        }
    }
}
