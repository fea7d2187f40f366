//! Findings for programs: JSON, commands to a GitHub workflow, and SARIF.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::source::shown;
use super::{Code, Diagnostic, Diagnostics, Position, Severity, Sources, Span};

/// The member that says which version of SARIF it is, and where that is described.
const SARIF: [&str; 2] = ["2.1.0", "https://json.schemastore.org/sarif-2.1.0.json"];

/// How programs call a severity; SARIF has the same words.
fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// Where something is: its file, and from where to where.
struct Place<'a> {
    path: &'a Path,
    start: Position,
    end: Position,
}

fn place(sources: &Sources, span: Span) -> Option<Place<'_>> {
    let [start, end] = sources.range(span)?;
    Some(Place { path: &sources.get(span.file)?.path, start, end })
}

/// One object with every finding. What a finding does not have is `null`, so that all have the same members.
pub(super) fn json(diagnostics: &Diagnostics) -> Value {
    let sources = &diagnostics.sources;
    let located = |span: Option<Span>| {
        let place = span.and_then(|span| place(sources, span));
        let mut members = Map::new();
        members.insert("file".to_owned(), place.as_ref().map(|place| shown(place.path)).into());
        members.insert("line".to_owned(), place.as_ref().map(|place| place.start.line).into());
        members.insert("column".to_owned(), place.as_ref().map(|place| place.start.column).into());
        let end = place.map(|place| json!({ "line": place.end.line, "column": place.end.column }));
        members.insert("end".to_owned(), end.unwrap_or_default());
        members
    };
    let finding = |finding: &Diagnostic| {
        let also = finding.also.iter().map(|other| {
            let mut members = located(Some(other.span));
            members.insert("label".to_owned(), other.value.as_str().into());
            Value::Object(members)
        });
        let mut members = located(finding.span);
        members.extend([
            ("code".to_owned(), finding.code.to_string().into()),
            ("severity".to_owned(), level(finding.severity).into()),
            ("message".to_owned(), finding.message.as_str().into()),
            ("label".to_owned(), finding.label.clone().into()),
            ("also".to_owned(), also.collect()),
            ("notes".to_owned(), finding.notes.clone().into()),
            ("help".to_owned(), finding.help.clone().into()),
        ]);
        Value::Object(members)
    };
    json!({
        "errors": diagnostics.count(Severity::Error),
        "warnings": diagnostics.count(Severity::Warning),
        "findings": diagnostics.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// One line a finding; lines of its own become lines of the message.
pub(super) fn github(diagnostics: &Diagnostics) -> String {
    let mut report = String::new();
    for finding in diagnostics.iter() {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let place = finding.span.and_then(|span| place(&diagnostics.sources, span));
        let place = place.map_or_else(String::new, |Place { path, start, end }| {
            let file = property(&shown(path));
            // The service takes columns only of what is in one line.
            let columns = match start.line == end.line {
                true => format!("col={},endColumn={},", start.column, end.column),
                false => String::new(),
            };
            format!("file={file},line={},endLine={},{columns}", start.line, end.line)
        });
        let message = text(&whole(finding));
        report.push_str(&format!("::{command} {place}title={}::{message}\n", finding.code));
    }
    report
}

/// The message and all that is said beside it.
fn whole(finding: &Diagnostic) -> String {
    let notes = finding.notes.iter().map(|note| format!("\nnote: {note}"));
    let help = finding.help.iter().map(|help| format!("\nhelp: {help}"));
    notes.chain(help).fold(finding.message.clone(), |whole, line| whole + line.as_str())
}

/// A text as the runner unescapes it; a line break of its own would end the command and begin another.
fn text(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As [`text`], where `:` and `,` end a property.
fn property(value: &str) -> String {
    text(value).replace(':', "%3A").replace(',', "%2C")
}

/// One run, whose rules are the codes that were found.
pub(super) fn sarif(diagnostics: &Diagnostics) -> Value {
    let sources = &diagnostics.sources;
    let codes: BTreeSet<Code> = diagnostics.iter().map(|finding| finding.code).collect();
    let codes: Vec<Code> = codes.into_iter().collect();
    let rule = |code: &Code| json!({ "id": code.to_string(), "name": code.name(), "shortDescription": { "text": code.title() } });
    let result = |finding: &Diagnostic| {
        let locations: Vec<_> = finding.span.and_then(|span| place(sources, span)).iter().map(physical).collect();
        let mut related = Vec::new();
        for other in &finding.also {
            if let Some(place) = place(sources, other.span) {
                let mut location = physical(&place);
                location["id"] = related.len().into();
                location["message"] = json!({ "text": other.value });
                related.push(location);
            }
        }
        json!({
            "ruleId": finding.code.to_string(),
            "ruleIndex": codes.iter().position(|code| *code == finding.code),
            "level": level(finding.severity),
            "message": { "text": whole(finding) },
            "locations": locations,
            "relatedLocations": related,
        })
    };
    let driver = json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "rules": codes.iter().map(rule).collect::<Vec<_>>(),
    });
    json!({
        "$schema": SARIF[1],
        "version": SARIF[0],
        "runs": [{
            "tool": { "driver": driver },
            "columnKind": "unicodeCodePoints",
            "results": diagnostics.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn physical(place: &Place<'_>) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&shown(place.path)) },
            "region": {
                "startLine": place.start.line,
                "startColumn": place.start.column,
                "endLine": place.end.line,
                "endColumn": place.end.column,
            },
        },
    })
}

/// A path as a URI: relative as it is, or of this host.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each severity, with all that a finding can have, and one that is nowhere.
    fn sample() -> Diagnostics {
        let mut diagnostics = Diagnostics::default();
        let file = diagnostics.sources.add("a folder/ä,b.toml".into(), "é = 1\nname = 2\n".into());
        let at = |start, end| Span { file, start, end };
        diagnostics.push(
            Diagnostic::error(Code::WrongType, at(14, 15), "`name` must be 100% a string,\nfound: an integer")
                .label("here")
                .also(at(0, 2), "the other")
                .note("one")
                .help("two"),
        );
        diagnostics.push(Diagnostic::warning(Code::Unused, at(0, 6), "is never used"));
        diagnostics.push(Diagnostic::note_at(Code::Unrouted, at(5, 900), "may be meant"));
        diagnostics.push(Diagnostic::nowhere(Code::Unreadable, "cannot read `b.toml`"));
        diagnostics
    }

    #[test]
    fn json_has_every_member_of_every_finding() {
        let report = json(&sample());
        assert_eq!((&report["errors"], &report["warnings"]), (&json!(2), &json!(1)));
        let findings = report["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 4);
        let expected = json!({
            "code": "F101",
            "severity": "error",
            "message": "`name` must be 100% a string,\nfound: an integer",
            "file": "a folder/ä,b.toml",
            "line": 2,
            "column": 8,
            "end": { "line": 2, "column": 9 },
            "label": "here",
            "also": [{ "file": "a folder/ä,b.toml", "line": 1, "column": 1, "end": { "line": 1, "column": 2 }, "label": "the other" }],
            "notes": ["one"],
            "help": "two",
        });
        assert_eq!(findings[3], expected, "columns count characters");
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert!(findings.iter().all(|finding| keys(finding) == keys(&expected)));
        assert_eq!((&findings[0]["code"], &findings[0]["file"]), (&json!("F001"), &Value::Null));
    }

    #[test]
    fn a_workflow_command_is_one_line() {
        let report = github(&sample());
        let lines: Vec<_> = report.lines().collect();
        assert_eq!(lines[0], "::error title=F001::cannot read `b.toml`");
        assert_eq!(
            lines[3],
            "::error file=a folder/ä%2Cb.toml,line=2,endLine=2,col=8,endColumn=9,title=F101::`name` must be 100%25 a \
             string,%0Afound: an integer%0Anote: one%0Ahelp: two"
        );
        assert!(lines[1].starts_with("::warning file=a folder/ä%2Cb.toml,line=1,endLine=1,col=1,"), "{}", lines[1]);
        assert!(lines[2].starts_with("::notice ") && !lines[2].contains("col="), "{}", lines[2]);
        assert_eq!(lines.len(), 4);
    }

    /// What section 3 of the standard requires of each object, and what code scanning asks for beside it.
    #[test]
    fn sarif_has_the_shape_of_the_standard() {
        let log = sarif(&sample());
        assert_eq!(log["version"], "2.1.0");
        assert!(log["$schema"].as_str().unwrap().ends_with("sarif-2.1.0.json"));
        let [run] = log["runs"].as_array().unwrap().as_slice() else { panic!("{log}") };
        assert_eq!(run["columnKind"], "unicodeCodePoints");
        let driver = &run["tool"]["driver"];
        assert_eq!(driver["name"], "fanfare");
        let rules = driver["rules"].as_array().unwrap();
        for rule in rules {
            assert!(rule["id"].is_string() && rule["name"].is_string(), "{rule}");
            assert!(rule["shortDescription"]["text"].is_string(), "{rule}");
        }
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 4);
        for result in results {
            assert_eq!(rules[result["ruleIndex"].as_u64().unwrap() as usize]["id"], result["ruleId"]);
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()), "{result}");
            assert!(!result["message"]["text"].as_str().unwrap().is_empty(), "{result}");
            let locations = result["locations"].as_array().unwrap();
            let related = result["relatedLocations"].as_array().unwrap();
            for location in locations.iter().chain(related) {
                let physical = &location["physicalLocation"];
                assert_eq!(physical["artifactLocation"]["uri"], "a%20folder/%C3%A4%2Cb.toml");
                let number = |name: &str| physical["region"][name].as_u64().unwrap();
                let [start, end] = [["startLine", "startColumn"], ["endLine", "endColumn"]].map(|it| it.map(number));
                assert!(start >= [1, 1] && end >= start, "{location}");
            }
            assert!(related.iter().all(|location| location["message"]["text"].is_string()), "{result}");
        }
        assert_eq!(results[0]["locations"], json!([]), "what is nowhere has no place");
        assert_eq!(results[3]["relatedLocations"].as_array().unwrap().len(), 1);
        assert_eq!(uri("/etc/a b.toml"), "file:///etc/a%20b.toml");
    }
}
