//! Rules of environments, projects and keys, templates, and examples.

use std::{collections::BTreeMap, sync::Arc};

use sealcard_policy::rules::{Document, Examples, RuleSet, Scope, Template, TemplateState, split_templates};

/// A rule document: also its Cedar and the regular expressions of its tools.
///
/// # Panics
///
/// When a document that is good alone can't be compiled alone.
pub fn rules_document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(document) = Document::parse(text) else { return };
    let _ = document.mentions();
    // Links may name templates that are not there, and names that only a template has.
    let linked: Vec<String> = document.templates().map(str::to_owned).collect();
    let withdrawn = linked.iter().map(|name| (name.clone(), TemplateState::Withdrawn)).collect();
    let rules = RuleSet::compile(&[(Scope::Project("p".to_owned()), Arc::new(document))], &withdrawn);
    assert!(rules.is_ok(), "{:?}", rules.err());
}

/// A file of templates.
///
/// # Panics
///
/// When a part of a file that is good is not good alone, or can't be linked to.
pub fn rules_templates(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(parts) = split_templates(text) else { return };
    for part in parts {
        let template = Template::parse(&part.text).unwrap_or_else(|wrong| unreachable!("{wrong:?} in {}", part.text));
        assert_eq!(template.name(), part.name);
        let link = format!("[rule.a]\ntemplate = \"{}\"\n", part.name);
        let document = Document::parse(&link).unwrap_or_else(|wrong| unreachable!("{wrong:?}"));
        let templates = BTreeMap::from([(part.name, TemplateState::Active(Arc::new(template)))]);
        let rules = RuleSet::compile(&[(Scope::Project("p".to_owned()), Arc::new(document))], &templates);
        assert!(rules.is_ok(), "{:?}", rules.err());
    }
}

/// A file of examples.
pub fn rules_examples(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(examples) = Examples::parse(text) else { return };
    let rules = RuleSet::compile(&[], &BTreeMap::new());
    for example in examples.iter() {
        let _ = rules.as_ref().map(|rules| example.run(rules, "default"));
    }
}
