//! The guides say nothing that is not so: their links lead somewhere, and what they show can be typed, loaded and read.

mod commands;
mod configuration;
mod output;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use page::Page;

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_in_it() {
    let link = pattern(r"\[[^\]]*\]\(([^)\s]+)\)");
    let pages = Page::all();
    let headings: BTreeMap<_, _> = pages.iter().map(|page| (page.path.clone(), page.anchors())).collect();
    let (mut followed, mut dead) = (0, Vec::new());
    for page in &pages {
        for (line, text) in page.prose() {
            for target in link.captures_iter(&page::without_code(text)).map(|found| found[1].to_owned()) {
                if target.contains("://") {
                    continue;
                }
                let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
                let path = if file.is_empty() { page.path.clone() } else { page.folder().join(file) };
                let path = page::plain(&path);
                let has_anchor = || headings.get(&path).is_some_and(|anchors| anchors.contains(anchor));
                if !path.exists() || !anchor.is_empty() && !has_anchor() {
                    dead.push(format!("{}:{line}: {target}", page.path.display()));
                }
                followed += 1;
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(followed > 50, "{followed}");
}

#[test]
fn what_is_called_json_is() {
    let mut read = 0;
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.language == "json") {
            let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
            let is_read = is_json(&block.text) || block.text.lines().all(is_json);
            assert!(is_read, "{}:{}\n{}", page.path.display(), block.line, block.text);
            read += 1;
        }
    }
    assert!(read >= 5, "{read}");
}

/// Every metric in the code, and its labels.
fn metrics() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string("src/telemetry/metrics.rs").unwrap();
    let metric = pattern(r#"(?m)^ +(?:pub )?[a-z_]+: [A-Za-z]+ = "([a-z_]+)" \[([^\]]*)\]"#);
    let labels = |list: &str| list.split(',').map(|label| label.trim().trim_matches('"').to_owned()).collect();
    metric.captures_iter(&text).map(|found| (found[1].to_owned(), labels(&found[2]))).collect()
}

#[test]
fn every_metric_is_told_of_with_its_labels_and_no_other_is() {
    let metrics = metrics();
    assert!(metrics.len() > 20, "{metrics:?}");
    let name = pattern("`([a-z_]+)`");
    let names = |cell: &str| -> Vec<String> { name.captures_iter(cell).map(|found| found[1].to_owned()).collect() };
    let operator = fs::read_to_string("docs/operator.md").unwrap();
    let rows = operator.lines().skip_while(|line| !line.starts_with("| metric, with")).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|')).map(|row| row.split('|').collect::<Vec<_>>());
    let mut told = BTreeMap::new();
    for row in rows {
        let labels = names(row[2]);
        let labels = if labels.is_empty() { vec![String::new()] } else { labels };
        told.extend(names(row[1]).into_iter().map(|name| (name, labels.clone())));
    }
    assert_eq!(told, metrics);
    // What else starts like one: a cookie, and test files.
    let others = BTreeSet::from(["token", "test"]);
    let mention = pattern(r"\bfanfare_([a-z_]*[a-z])");
    for page in Page::all() {
        for name in mention.captures_iter(&page.text).map(|found| found[1].to_owned()) {
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let is_metric = metrics.contains_key(of_histogram.unwrap_or(&name));
            assert!(is_metric || others.contains(&*name), "{}: fanfare_{name}", page.path.display());
        }
    }
}

#[test]
fn every_path_is_told_of_and_leads_somewhere() {
    let route = pattern(r#"\.route\("([^"]+)", (get|post)\("#);
    let code = fs::read_to_string("src/http/mod.rs").unwrap();
    // A placeholder stands for one part of a path, such as a name or an id.
    let routes = route.captures_iter(&code).map(|found| {
        let path = pattern(r"\\\{[a-z]+\\\}").replace_all(&regex::escape(&found[1]), "[^/]+").into_owned();
        (found[2].to_uppercase(), pattern(&format!("^{path}$")))
    });
    let routes: Vec<_> = routes.collect();
    assert!(routes.len() > 10, "{code}");
    let mention =
        pattern(r"(?:\b(GET|POST) )?(/(?:v1/[a-z][a-zA-Z0-9_:/.…{}-]*[a-zA-Z0-9…}]|livez\b|readyz\b|metrics\b))");
    let mut told = vec![false; routes.len()];
    for page in Page::all() {
        for found in mention.captures_iter(&page.text) {
            let method = found.get(1).map(|method| method.as_str());
            let fits = |route: &(String, Regex)| method.is_none_or(|it| it == route.0) && route.1.is_match(&found[2]);
            let of: Vec<_> = (0..routes.len()).filter(|at| fits(&routes[*at])).collect();
            assert!(!of.is_empty(), "{}: {}", page.path.display(), &found[0]);
            of.into_iter().for_each(|at| told[at] = true);
        }
    }
    let untold: Vec<_> = routes.iter().zip(told).filter(|(_, told)| !told).collect();
    assert!(untold.is_empty(), "{untold:?}");
}

#[test]
fn every_guide_is_on_the_front_page() {
    let readme = fs::read_to_string("README.md").unwrap();
    for page in Page::all().iter().filter(|page| page.path.starts_with("docs")) {
        assert!(readme.contains(&format!("({})", page.path.display())), "{}", page.path.display());
    }
    assert!(Path::new("docs/operator.md").exists());
}
