//! The floors of the house: a module uses lower floors only, and neighbours on one floor do not know each other.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the ground up.
const FLOORS: [&[&str]; 9] = [
    &["domain"],
    &["config", "clock", "observe", "shutdown", "systemd", "telemetry"],
    &["kakao", "store", "stations"],
    &["crawl"],
    &["runner"],
    &["scheduler"],
    &["app"],
    &["commands"],
    &["main"],
];

/// What stands beside the house, and who may know it.
const STANDIN: &str = "standin";

fn floor_of(module: &str) -> usize {
    FLOORS.iter().position(|floor| floor.contains(&module)).unwrap_or_else(|| panic!("{module} has no floor"))
}

/// Whether a module may use another one.
fn may_use(module: &str, other: &str) -> bool {
    match (module, other) {
        _ if module == other => true,
        (STANDIN, _) => other == "domain",
        (_, STANDIN) => module == "commands",
        _ => floor_of(other) < floor_of(module),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The top-level modules that a file names as `crate::module`, or `sanggwond::module` in `main`.
fn uses(text: &str) -> Vec<String> {
    let starts = ["crate::", "use sanggwond::"]
        .into_iter()
        .flat_map(|root| text.match_indices(root).map(move |(at, _)| at + root.len()));
    let list = |rest: &str| -> Vec<String> {
        let names = match rest.strip_prefix('{') {
            Some(group) => top_level_names(group),
            None => vec![rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()],
        };
        names.into_iter().filter(|name| name.starts_with(|c: char| c.is_lowercase())).collect()
    };
    starts.flat_map(|at| list(&text[at..])).collect()
}

/// The names in `{a, b::{c, d}, e}` that stand at its own level.
fn top_level_names(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut names = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(String::new()),
            _ if depth == 1 => names.last_mut().unwrap().push(c),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.iter().filter_map(|name| name.trim().split("::").next()).map(str::to_owned).collect()
}

#[test]
fn modules_use_lower_floors_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    let mut trespasses = Vec::new();
    for file in files(&src) {
        let module = file
            .strip_prefix(&src)
            .unwrap()
            .iter()
            .next()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        if module == "lib" {
            continue;
        }
        for used in uses(&fs::read_to_string(&file).unwrap()) {
            seen += 1;
            if !may_use(&module, &used) {
                trespasses.push(format!("{} uses {used}", file.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} uses were found");
    assert_eq!(trespasses, Vec::<String>::new());
}

#[test]
fn the_rule_knows_a_trespass() {
    assert_eq!(
        uses("use crate::{clock, store::{self, Store}, kakao::Client};\ncrate::runner::x"),
        ["clock", "store", "kakao", "runner"]
    );
    assert!(!may_use("store", "kakao") && !may_use("kakao", "crawl") && !may_use("standin", "store"));
    assert!(may_use("runner", "crawl") && may_use("commands", "standin"));
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    for folder in ["src", "tests"] {
        for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                assert!(fs::read_to_string(&file).unwrap().starts_with("//! "), "{}", file.display());
            }
        }
    }
}
