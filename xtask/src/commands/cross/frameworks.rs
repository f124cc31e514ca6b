//! Linker stubs for Apple's frameworks.
//!
//! A framework's stub exports only the names that the crates themselves declare in `extern "C"` blocks, so a link
//! against it shows that every other symbol (the C library's, aws-lc's, our own) is there. It does not show that
//! Apple's framework has those names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use sealcard_tests::run;
use serde::Deserialize;

use super::Toolchain;
use xtask::{cargo::workspace, output};

/// Writes the stubs of all frameworks that the crates of this target link, as a tiny SDK.
pub(super) fn write_stubs(toolchain: &Toolchain, sdk: &Path, target: &str) -> Result<()> {
    let mut exports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for folder in crates(toolchain, target)? {
        let texts = sources(&folder)?;
        let linked: BTreeSet<&str> = texts.iter().flat_map(|text| linked_frameworks(text)).collect();
        if linked.is_empty() {
            continue;
        }
        let names: BTreeSet<String> = texts.iter().flat_map(|text| declared(text)).collect();
        for framework in linked {
            exports.entry(framework.to_owned()).or_default().extend(names.iter().cloned());
        }
    }
    if exports.is_empty() {
        bail!("no crate for {target} links a framework: then this check looks at the wrong ones");
    }
    output::note(&format!("frameworks: {}", exports.keys().cloned().collect::<Vec<_>>().join(", ")));
    for (name, names) in &exports {
        let folder = sdk.join("Frameworks").join(format!("{name}.framework"));
        let install_name = format!("/System/Library/Frameworks/{name}.framework/Versions/A/{name}");
        write(&folder, name, &install_name, names)?;
    }
    let iconv = ["_iconv", "_iconv_open", "_iconv_close"].map(str::to_owned).into();
    write(&sdk.join("lib"), "libiconv", "/usr/lib/libiconv.2.dylib", &iconv)
}

fn write(folder: &Path, file: &str, install_name: &str, names: &BTreeSet<String>) -> Result<()> {
    const TARGETS: &str = "[ x86_64-macos, arm64-macos ]";
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = format!(
        "--- !tapi-tbd\ntbd-version: 4\ntargets: {TARGETS}\ninstall-name: '{install_name}'\ncurrent-version: 1\n\
         compatibility-version: 1\nexports:\n  - targets: {TARGETS}\n    symbols: [ {} ]\n...\n",
        names.join(", ")
    );
    fs::create_dir_all(folder)?;
    Ok(fs::write(folder.join(format!("{file}.tbd")), text)?)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
}

/// The folders of all crates that the workspace uses on this target.
fn crates(toolchain: &Toolchain, target: &str) -> Result<Vec<PathBuf>> {
    let mut command = toolchain.command("cargo");
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target]);
    let answer = run(command.current_dir(workspace()), Duration::from_secs(300))?.success()?;
    let metadata: Metadata = serde_json::from_slice(&answer.stdout).context("what cargo metadata says")?;
    let used: BTreeSet<&str> = metadata.resolve.nodes.iter().map(|node| node.id.as_str()).collect();
    let used = metadata.packages.iter().filter(|package| used.contains(package.id.as_str()));
    Ok(used.filter_map(|package| package.manifest_path.parent().map(Path::to_owned)).collect())
}

fn sources(folder: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    let mut open = vec![folder.join("src")];
    texts.extend(fs::read(folder.join("build.rs")).ok().map(text));
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(text(fs::read(&path)?));
            }
        }
    }
    Ok(texts)
}

fn text(bytes: Vec<u8>) -> String {
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code)).collect::<Vec<_>>().join("\n")
}

/// `#[link(name = "Security", kind = "framework")]` and `cargo:rustc-link-lib=framework=Security`.
fn linked_frameworks(text: &str) -> Vec<&str> {
    let attributes = text.split("link(").skip(1).filter_map(|rest| {
        let (arguments, _) = rest.split_once(')')?;
        let kind: String = arguments.chars().filter(|c| !c.is_whitespace()).collect();
        let name = arguments.split_once("name")?.1.split('"').nth(1)?;
        kind.contains("kind=\"framework\"").then_some(name)
    });
    let directives = text.split("rustc-link-lib=framework=").skip(1).map(identifier);
    attributes.chain(directives).filter(|name| !name.is_empty()).collect()
}

/// The symbols of what is declared in the `extern "C"` blocks, with C's underscore.
fn declared(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for block in extern_blocks(text) {
        for keyword in ["fn ", "static "] {
            let found = block.split(keyword).skip(1).map(|rest| identifier(rest.strip_prefix("mut ").unwrap_or(rest)));
            names.extend(found.filter(|name| !name.is_empty()).map(|name| format!("_{name}")));
        }
        let renamed = block.split("link_name").skip(1).filter_map(|rest| rest.split('"').nth(1));
        names.extend(renamed.map(|name| format!("_{name}")));
    }
    names
}

/// The bodies of `extern "C" { … }` and `extern "C-unwind" { … }`.
fn extern_blocks(text: &str) -> Vec<&str> {
    let starts = text.split("extern \"C").skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix("-unwind").unwrap_or(rest).strip_prefix('"')?;
        rest.trim_start().strip_prefix('{')
    });
    starts.map(body).collect()
}

/// What comes before the brace that closes the block.
fn body(text: &str) -> &str {
    let mut depth = 1_u32;
    let end = text.char_indices().find(|(_, c)| {
        depth = match c {
            '{' => depth + 1,
            '}' => depth - 1,
            _ => depth,
        };
        depth == 0
    });
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        #[cfg_attr(target_vendor = "apple", link(name = "Security", kind = "framework"))]
        unsafe extern "C" {
            pub static kSecClass: CFStringRef;
            // fn commented_out();
            pub fn SecItemAdd(a: extern fn(u8) -> S { x: u8 }, b: *mut u8) -> i32;
            #[link_name = "SecOther$INODE64"]
            fn other();
        }
        extern "C-unwind" { static mut counter: u8; }
        pub extern "C" fn ours() { fn inner() {} }
        #[link(name = "z")]
        extern "Rust" { fn not_c(); }
    "#;

    #[test]
    fn a_stub_has_what_the_blocks_declare_and_nothing_else() {
        let source = text(SOURCE.as_bytes().to_vec());
        let names: BTreeSet<String> = declared(&source).into_iter().collect();
        let expected = ["_kSecClass", "_SecItemAdd", "_SecOther$INODE64", "_other", "_counter"];
        assert_eq!(names, expected.map(str::to_owned).into());
        assert_eq!(linked_frameworks(&source), ["Security"]);
        assert_eq!(linked_frameworks("println!(\"cargo:rustc-link-lib=framework=AppKit\")"), ["AppKit"]);
    }
}
