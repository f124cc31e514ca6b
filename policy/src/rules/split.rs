//! A file with several templates becomes one text for each.

use std::{collections::BTreeSet, str::FromStr as _};

use toml_edit::{DocumentMut, Item, Table};

use super::{Diagnostic, MAX_TEXT, document::Template};

/// The text of one template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateText {
    /// The template's name.
    pub name: String,
    /// Its TOML, with the tools and networks that it names.
    pub text: String,
}

/// The most templates of one file.
const MAX_TEMPLATES: usize = 50;

/// Reads a file of templates: `[template.NAME]` for each, and the `[tool.NAME]` and `[network.NAME]` that they name.
///
/// # Errors
/// Everything that is wrong, with places in `text`.
pub fn split_templates(text: &str) -> Result<Vec<TemplateText>, Vec<Diagnostic>> {
    let whole = |message: String| vec![Diagnostic::at(text, 0..0, message)];
    if text.len() > MAX_TEXT {
        return Err(whole(format!("the text has {} bytes; {MAX_TEXT} are allowed", text.len())));
    }
    let document = DocumentMut::from_str(text).map_err(|error| {
        vec![Diagnostic::at(text, error.span().unwrap_or(0..0), error.message().trim_end_matches('.'))]
    })?;
    let templates: Vec<String> = table(&document, "template").map(names).unwrap_or_default();
    if templates.is_empty() {
        return Err(whole("there is no template: write [template.NAME]".to_owned()));
    }
    if templates.len() > MAX_TEMPLATES {
        return Err(whole(format!("{} templates; {MAX_TEMPLATES} are allowed in one file", templates.len())));
    }
    let [one] = templates.as_slice() else { return split(text, &document, templates) };
    Template::parse(text)?;
    Ok(vec![TemplateText { name: one.clone(), text: text.to_owned() }])
}

fn split(text: &str, document: &DocumentMut, templates: Vec<String>) -> Result<Vec<TemplateText>, Vec<Diagnostic>> {
    let mut texts = Vec::new();
    let mut used: BTreeSet<(&str, String)> = BTreeSet::new();
    for name in templates {
        let mut one = document.clone();
        keep(&mut one, "template", |other| *other == name);
        for (kind, field) in [("tool", "tools"), ("network", "networks")] {
            let named = named(document, &name, field);
            keep(&mut one, kind, |other| named.contains(other));
            used.extend(named.into_iter().map(|name| (kind, name)));
        }
        let one = one.to_string().trim_start().to_owned();
        // The same mistakes, found in the whole text, have their places there.
        if let Err(found) = Template::parse(&one) {
            return Err(in_whole(text, &one, found));
        }
        texts.push(TemplateText { name, text: one });
    }
    for kind in ["tool", "network"] {
        for name in table(document, kind).map(names).unwrap_or_default() {
            if !used.contains(&(kind, name.clone())) {
                let message = format!("no template names the {kind} {name}");
                return Err(vec![Diagnostic::at(text, find(text, &format!("[{kind}.{name}]")), message)]);
            }
        }
    }
    Ok(texts)
}

fn table<'a>(document: &'a DocumentMut, kind: &str) -> Option<&'a Table> {
    document.get(kind).and_then(Item::as_table)
}

fn names(table: &Table) -> Vec<String> {
    table.iter().map(|(name, _)| name.to_owned()).collect()
}

fn keep(document: &mut DocumentMut, kind: &str, wanted: impl Fn(&String) -> bool) {
    if let Some(table) = document.get_mut(kind).and_then(Item::as_table_mut) {
        let unwanted: Vec<String> = names(table).into_iter().filter(|name| !wanted(name)).collect();
        for name in unwanted {
            table.remove(&name);
        }
        if table.is_empty() {
            document.remove(kind);
        }
    }
}

/// The names in a list of the template.
fn named(document: &DocumentMut, template: &str, field: &str) -> Vec<String> {
    let list = table(document, "template").and_then(|all| all.get(template)).and_then(|one| one.get(field));
    let items = list.and_then(Item::as_array).into_iter().flat_map(toml_edit::Array::iter);
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Diagnostics of a part, with the places of the same lines in the whole.
fn in_whole(text: &str, part: &str, found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let place = |diagnostic: Diagnostic| {
        let line = part.lines().nth(diagnostic.line.saturating_sub(1)).unwrap_or_default();
        let context: Vec<&str> = part.lines().take(diagnostic.line).filter(|line| line.starts_with('[')).collect();
        let header =
            context.last().map_or(0, |header| text.lines().position(|other| other == *header).unwrap_or_default());
        let at = text.lines().skip(header).position(|other| other == line).map(|at| at + header + 1);
        let lines = diagnostic.end_line.saturating_sub(diagnostic.line);
        match at {
            Some(at) => Diagnostic { line: at, end_line: at + lines, ..diagnostic },
            None => diagnostic,
        }
    };
    found.into_iter().map(place).collect()
}

fn find(text: &str, part: &str) -> std::ops::Range<usize> {
    text.find(part).map_or(0..0, |at| at..at + part.len())
}
