//! No module depends on itself, directly or through other modules. Dependencies between a parent and its children are
//! allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module as its path from the root of the crate: `["store", "cells"]`.
type Module = Vec<String>;

/// The modules that each module uses.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Splits `a, b::{c, d}` at the commas outside braces.
fn split(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts
}

/// Expands `a::{b, c::d}` into its paths.
fn expand(path: &str) -> Vec<String> {
    let Some((prefix, group)) = path.split_once('{') else { return vec![path.trim().to_owned()] };
    let inner = group.trim_end().trim_end_matches('}');
    let inner = if group.trim_end().ends_with('}') { &group[..group.rfind('}').unwrap()] } else { inner };
    split(inner).into_iter().flat_map(expand).map(|rest| format!("{}{rest}", prefix.trim())).collect()
}

/// The paths in a text that begin with `crate::` or `super::`.
fn paths(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in text.match_indices(root) {
            if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut depth = 0;
            let end = text[at..].find(|c: char| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth < 0 || depth == 0 && !(c.is_alphanumeric() || matches!(c, '_' | ':' | '{' | '}'))
            });
            found.extend(expand(&text[at..end.map_or(text.len(), |end| at + end)]));
        }
    }
    found
}

/// The module that a path leads to, as seen from a module.
fn resolve(from: &Module, path: &str, modules: &BTreeSet<Module>) -> Option<Module> {
    let mut base = from.clone();
    let mut names = path.split("::").map(str::trim).peekable();
    if names.next_if_eq(&"crate").is_some() {
        base.clear();
    }
    while names.next_if_eq(&"super").is_some() {
        base.pop();
    }
    base.extend(names.map(str::to_owned));
    while !base.is_empty() && !modules.contains(&base) {
        base.pop();
    }
    (!base.is_empty()).then_some(base)
}

fn uses() -> Uses {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let module = |file: &Path| -> Module {
        let path = file.strip_prefix(&src).unwrap().with_extension("");
        path.iter().map(|name| name.to_str().unwrap().to_owned()).collect()
    };
    let files: Vec<PathBuf> =
        files(&src).into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs")).collect();
    let modules: BTreeSet<Module> = files.iter().map(|file| module(file)).collect();
    let code = |file: &PathBuf| -> BTreeSet<Module> {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = lines.join("\n");
        let from = module(file);
        let used = paths(&code).into_iter().filter_map(|path| resolve(&from, &path, &modules));
        used.filter(|used| !used.starts_with(&from) && !from.starts_with(used)).collect()
    };
    files.iter().map(|file| (module(file), code(file))).collect()
}

/// A cycle of dependencies through `start`, as the modules on it. `led_by` maps each module found to the one that uses
/// it.
fn circle(start: &Module, uses: &Uses) -> Option<Vec<String>> {
    let mut led_by: BTreeMap<&Module, &Module> = BTreeMap::new();
    let mut next = vec![start];
    while let Some(module) = next.pop() {
        for used in uses.get(module).into_iter().flatten() {
            if used == start {
                let mut way = vec![module];
                while let Some(before) = led_by.get(way.last().unwrap()) {
                    way.push(before);
                }
                return Some(way.into_iter().rev().map(|module| module.join("::")).collect());
            }
            if !led_by.contains_key(used) {
                led_by.insert(used, module);
                next.push(used);
            }
        }
    }
    None
}

#[test]
fn no_file_depends_on_itself() {
    let uses = uses();
    assert!(uses.values().map(BTreeSet::len).sum::<usize>() > 300, "too few uses were found");

    let circles: BTreeSet<Vec<String>> = uses.keys().filter_map(|module| circle(module, &uses)).collect();

    assert_eq!(circles, BTreeSet::new());
}

#[test]
fn the_check_finds_a_circle() {
    let module = |name: &str| vec!["room".to_owned(), name.to_owned()];
    let modules = BTreeSet::from([module("a"), module("b"), vec!["room".to_owned()]]);
    let found = paths("use super::b::{C, d::{E}};\nlet x = crate::room::a::y(super::Z, mysuper::q);");

    assert_eq!(found, ["crate::room::a::y", "super::b::C", "super::b::d::E", "super::Z"]);
    assert_eq!(resolve(&module("a"), &found[1], &modules), Some(module("b")));
    assert_eq!(resolve(&module("b"), &found[0], &modules), Some(module("a")));
    assert_eq!(resolve(&module("b"), &found[3], &modules), Some(vec!["room".to_owned()]));
    let uses = Uses::from([(module("a"), BTreeSet::from([module("b")])), (module("b"), BTreeSet::from([module("a")]))]);
    assert_eq!(circle(&module("a"), &uses), Some(vec!["room::a".to_owned(), "room::b".to_owned()]));
}
