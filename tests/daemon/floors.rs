//! The layers of the code: a module uses lower layers only, and modules of one layer do not use each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, the lowest first.
const FLOORS: [&[&str]; 9] = [
    &["domain"],
    &["config", "clock", "core_dumps", "http_client", "observe", "shutdown", "systemd", "telemetry", "threads"],
    &["kakao", "store", "stations"],
    &["crawl", "notify", "report"],
    &["runner"],
    &["scheduler"],
    &["app"],
    &["commands"],
    &["main"],
];

/// The stand-in for the API is outside the layers. Only `commands` may use it, and it uses only `domain`.
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

/// The names at the top level of `{a, b::{c, d}, e}`.
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
fn modules_use_lower_layers_only() {
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
fn the_check_finds_a_violation() {
    assert_eq!(
        uses("use crate::{clock, store::{self, Store}, kakao::Client};\ncrate::runner::x"),
        ["clock", "store", "kakao", "runner"]
    );
    assert!(!may_use("store", "kakao") && !may_use("kakao", "crawl") && !may_use("standin", "store"));
    assert!(may_use("runner", "crawl") && may_use("commands", "standin"));
}

#[test]
fn the_crate_documentation_shows_the_layers() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (number, floor) in FLOORS.iter().enumerate() {
        let start = format!("//! | {number} | ");
        let row = text.lines().find_map(|line| line.strip_prefix(start.as_str())).unwrap_or_default();
        let modules: BTreeSet<&str> = row.split('|').next().unwrap().split('`').skip(1).step_by(2).collect();

        assert_eq!(modules, floor.iter().copied().collect(), "floor {number}");
    }
}

#[test]
fn every_file_starts_with_a_description() {
    for folder in ["src", "tests"] {
        for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                assert!(fs::read_to_string(&file).unwrap().starts_with("//! "), "{}", file.display());
            }
        }
    }
}
