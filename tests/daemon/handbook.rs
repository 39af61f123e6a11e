//! The commands, settings, metrics and queries in the documents exist and work.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use sanggwond::commands::Arguments;

use crate::links::{code, prose};
use crate::observe::{address, get};
use crate::support::Stage;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_table_of_commands_names_every_command_and_only_options_that_it_has() {
    let program = Arguments::command();
    let readme = read("README.md");
    let mut named = BTreeSet::new();
    for row in readme.lines().filter(|line| line.starts_with("| `sanggwond")) {
        let mut codes = code(row);
        let command = codes.next().unwrap();
        let name = command.strip_prefix("sanggwond ").unwrap_or("daemon");
        named.insert(name.to_owned());
        let command = program.find_subcommand(name).unwrap_or_else(|| panic!("there is no command {name}"));
        for option in codes.filter_map(|code| code.strip_prefix("--")) {
            let option = option.split(' ').next().unwrap();
            let is_there = command.get_arguments().any(|argument| argument.get_long() == Some(option));
            assert!(is_there, "{name} has no option --{option}");
        }
    }
    let visible = program.get_subcommands().filter(|command| !command.is_hide_set());
    assert_eq!(named, visible.map(|command| command.get_name().to_owned()).collect());
}

/// The keys of the configuration, with their sections.
fn settings() -> BTreeSet<String> {
    let defaults = read("config/default.toml");
    let mut section = "";
    let mut keys = BTreeSet::new();
    for line in defaults.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

#[test]
fn every_setting_that_a_document_names_exists() {
    let settings = settings();
    let sections: BTreeSet<&str> = settings.iter().filter_map(|key| key.split('.').next()).collect();
    let mut seen = 0;
    for document in ["README.md", "deploy/README.md", "migrations/README.md", "tests/README.md", "src/lib.rs"] {
        let text = read(document);
        let words = prose(&text).into_iter().flat_map(code).filter_map(|code| code.split(' ').next());
        for word in words.filter(|word| word.split_once('.').is_some_and(|(section, _)| sections.contains(section))) {
            seen += 1;
            assert!(settings.contains(word), "{document} names the setting {word}, which does not exist");
        }
    }
    assert!(seen > 20, "only {seen} settings were found");
}

/// The names of metrics in a text.
fn series(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_series = |word: &&str| word.starts_with("sanggwond_") || word.starts_with("process_");
    words.filter(is_series).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_series_that_a_document_names_is_served_and_every_series_is_documented() {
    let manual = read("deploy/README.md");
    let rows: Vec<&str> =
        manual.lines().filter(|line| line.starts_with("| `sanggwond_") || line.starts_with("| `process_")).collect();
    let documented = series(&rows.join("\n"));
    let stage = Stage::small().await;
    let mut daemon = stage.program(&[]).set("SANGGWOND_OBSERVE__LISTEN", "127.0.0.1:0").start();
    let metrics = get(&address(&mut daemon).await, "/metrics").await;
    daemon.terminate().await;

    for name in documented.iter().chain(&series(&read("deploy/prometheus/alerts.yaml"))) {
        assert!(metrics.contains(name.as_str()), "{name} is not in\n{metrics}");
    }
    for family in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let family = family.split(' ').next().unwrap();
        assert!(documented.iter().any(|name| name.starts_with(family)), "{family} is not documented");
    }
}

#[tokio::test]
async fn every_query_for_readers_runs() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let document = read("migrations/README.md");
    let queries: Vec<&str> = document.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();

    assert!(queries.len() >= 4, "only {} blocks were found", queries.len());
    for query in queries {
        stage.execute(query).await;
    }
}

#[tokio::test]
async fn every_table_and_view_is_described_and_every_table_is_drawn() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let of_kind = "select relkind::text || ' ' || relname from pg_class where relnamespace = 'sanggwond'::regnamespace
        and relkind in ('r', 'v') and relname <> '_sqlx_migrations'";
    let document = read("migrations/README.md");
    let (_, drawing) = document.split_once("```mermaid").unwrap();
    let described: BTreeSet<&str> = prose(&document).into_iter().flat_map(code).collect();

    for name in stage.texts(of_kind).await {
        let (kind, name) = name.split_once(' ').unwrap();
        assert!(described.contains(name), "{name} is not described");
        assert!(kind == "v" || drawing.contains(&format!("\n    {name} {{")), "{name} is not drawn");
    }
}

#[test]
fn the_recipe_for_followers_is_the_program_that_the_tests_run() {
    assert!(read("migrations/README.md").contains(&read("tests/python/follow.py")), "tests/python/follow.py differs");
}
