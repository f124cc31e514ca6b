//! What the handbook says about the code is so.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What is between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The steps of "A signature, file by file": a path, and the functions of that file.
fn steps(page: &str) -> Vec<(&str, Vec<&str>)> {
    let (_, section) = page.split_once("## A signature, file by file\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in section.lines() {
        let numbered = line.split_once(". `").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        if numbered {
            let path = quoted(line).next().unwrap();
            steps.push((path, Vec::new()));
        } else if !line.starts_with("   ") {
            continue;
        }
        let functions = quoted(line).filter_map(|name| name.strip_suffix("()"));
        steps.last_mut().unwrap().1.extend(functions);
    }
    steps
}

#[test]
fn signature_goes_through_the_named_files_and_functions() {
    let page = read("docs/development.md");
    let steps = steps(&page);
    assert_eq!(steps.len(), 6, "{steps:?}");
    for (path, functions) in steps {
        let code = read(path);
        assert!(!functions.is_empty(), "{path} names no function");
        for function in functions {
            let is_there =
                [format!("fn {function}("), format!("fn {function}<")].iter().any(|text| code.contains(text));
            assert!(is_there, "{path} has no function {function}");
        }
    }
}

#[test]
fn request_flow_is_one_screen_with_numbered_steps() {
    let code = read("server/src/requests/mod.rs");
    assert!(code.lines().count() < 200, "{} lines", code.lines().count());
    for step in ["// 1 Receive.", "// 2 Decide.", "// 3 Use, 4 verify, 5 finish.", "// 6 Answer."] {
        assert!(code.contains(step), "{step}");
    }
    let execute = read("server/src/requests/execute.rs");
    for step in ["// 3 Use.", "// 4 Verify.", "// 5 Finish."] {
        assert!(execute.contains(step), "{step}");
    }
}

#[test]
fn folders_in_the_table_are_those_of_the_workspace() {
    let page = read("docs/development.md");
    let folders: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("/` |"))
        .map(|(folder, _)| folder)
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for folder in &folders {
        assert!(root.join(folder).is_dir(), "{folder} is no folder");
    }
    for entry in fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().join("Cargo.toml").is_file() {
            assert!(folders.contains(&name.as_str()), "{name} is not in the table");
        }
    }
}

#[test]
fn chapter_on_rules_has_the_schema_of_the_engine() {
    let schema = read("policy/src/rules/schema.cedarschema");
    assert!(read("docs/rules.md").contains(schema.trim_end()), "docs/rules.md has another schema");
}
