//! The documents: every link leads to an existing file and heading, and every alert to its section of the run-book.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders that contain documents.
const FOLDERS: [&str; 6] = ["", ".github", "data", "deploy", "migrations", "tests"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let entries = FOLDERS.iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// The lines of a document that are not in a block of code.
pub(crate) fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            lines.push(line);
        }
    }
    lines
}

/// The parts of a line that are formatted as code.
pub(crate) fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The targets of the links in a document, without those to other sites.
fn links(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text) {
        // Every second part is code, and is skipped.
        let line: String = line.split('`').step_by(2).collect();
        for rest in line.split("](").skip(1) {
            targets.push(rest.split(')').next().unwrap().to_owned());
        }
    }
    targets.retain(|target| !target.contains("://"));
    targets
}

/// The commands, options and keys in a document, and the targets of its links.
fn named(text: &str) -> BTreeSet<String> {
    let code = prose(text).into_iter().flat_map(code).map(str::to_owned);
    let other_language = ["README.md", "README.ko.md"];
    code.chain(links(text)).filter(|name| !other_language.contains(&name.as_str())).collect()
}

/// The anchors of the headings in a document, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// What is wrong with a link in a file of a folder, if anything.
fn fault(folder: &Path, own_text: &str, target: &str) -> Option<String> {
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = folder.join(file);
    if !path.exists() {
        return Some(format!("{target} names a file that is not there"));
    }
    let text = if file.is_empty() { own_text.to_owned() } else { fs::read_to_string(path).unwrap_or_default() };
    let is_there = anchor.is_none_or(|anchor| anchors(&text).contains(anchor));
    (!is_there).then(|| format!("{target} names a heading that is not there"))
}

#[test]
fn every_link_of_a_document_leads_to_a_file_and_a_heading() {
    let mut seen = 0;
    let mut faults = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for target in links(&text) {
            seen += 1;
            let fault = fault(document.parent().unwrap(), &text, &target);
            faults.extend(fault.map(|fault| format!("{}: {fault}", document.display())));
        }
    }
    assert!(seen > 40, "only {seen} links were found");
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn every_alert_links_to_its_section_of_the_run_book() {
    let alerts = fs::read_to_string(root().join("deploy/prometheus/alerts.yaml")).unwrap();
    let rules: Vec<&str> = alerts.split("- alert: ").skip(1).collect();
    assert!(rules.len() >= 6, "only {} alerts were found", rules.len());
    for rule in rules {
        let name = rule.lines().next().unwrap();
        let runbook = rule.lines().find_map(|line| line.trim().strip_prefix("runbook: "));
        let target = runbook.unwrap_or_else(|| panic!("{name} has no runbook"));
        assert_eq!(target, format!("deploy/README.md#{}", name.to_lowercase()));
        assert_eq!(fault(root(), "", target), None, "{name}");
    }
}

#[test]
fn the_korean_readme_names_the_same_commands_options_and_documents() {
    let read = |name| fs::read_to_string(root().join(name)).unwrap();

    assert_eq!(named(&read("README.ko.md")), named(&read("README.md")));
}

#[test]
fn the_check_finds_a_broken_link() {
    let text = "# A title, and `code`\n[x](#a-title-and-code) [`y`](Cargo.toml) `[z](no.file)`\n```\n# no title\n[z](no.file)\n```";

    assert_eq!(links(text), ["#a-title-and-code", "Cargo.toml"]);
    assert_eq!(fault(root(), text, "#a-title-and-code"), None);
    assert!(fault(root(), text, "#no-title").is_some());
    assert!(fault(root(), text, "no.file").is_some());
}
