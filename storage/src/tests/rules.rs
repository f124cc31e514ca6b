//! Versions of rules and templates, what they name, and the facts of a request.

use super::{uses::Scene, *};

fn by(author: &str, note: &str) -> Authorship {
    Authorship {
        author_id: PrincipalId::new(),
        author: author.to_owned(),
        applied: Timestamp::from_unix(1_800_000_000),
        note: note.to_owned(),
    }
}

fn mention(kind: MentionKind, name: &str) -> Mention {
    Mention { kind, name: name.to_owned(), rule: "tags".to_owned() }
}

fn version(scope: RuleScope, version: i64, text: &str, mentions: &[Mention]) -> NewRuleVersion {
    NewRuleVersion { scope, version, text: text.to_owned(), by: by("alice", "why"), mentions: mentions.to_vec() }
}

fn template(name: &str, version: i64, text: &str, mentions: &[Mention]) -> NewTemplateVersion {
    let (name, text) = (name.to_owned(), text.to_owned());
    let row = TemplateVersionRow { name, version, text, withdrawn: false, by: by("alice", "") };
    NewTemplateVersion { row, mentions: mentions.to_vec() }
}

async fn append(store: &Store, new: NewRuleVersion) -> Result<(), StorageError> {
    store.write(move |tx| tx.append_rules(&new)).await
}

async fn append_template(store: &Store, new: NewTemplateVersion) -> Result<(), StorageError> {
    store.write(move |tx| tx.append_template(&new)).await
}

async fn naming(store: &Store, kind: MentionKind, name: &'static str) -> Vec<String> {
    let found = store.write(move |tx| tx.rules_naming(kind, name)).await;
    let found: Vec<RulesNaming> = found.map_err(|error: StorageError| error).unwrap();
    found.iter().map(ToString::to_string).collect()
}

async fn environment(store: &Store) -> RuleScope {
    RuleScope::Environment(store.environments().await.unwrap().first().unwrap().id)
}

#[tokio::test]
async fn versions_of_rules_are_appended_and_never_changed() {
    for place in Place::both() {
        let store = place.store().await;
        let scope = RuleScope::Project(ProjectId::new());
        assert_eq!(store.rules(scope).await.unwrap(), None);
        for (number, text) in [(1, "one"), (2, "two"), (3, "")] {
            append(&store, version(scope, number, text, &[])).await.unwrap();
        }
        let again = append(&store, version(scope, 3, "three", &[])).await;
        assert!(matches!(again, Err(StorageError::Taken(_))), "{again:?}");
        let current = store.rules(scope).await.unwrap().unwrap();
        assert_eq!((current.version, current.text.as_str(), current.by.author.as_str()), (3, "", "alice"));
        let versions = |before, limit| {
            let store = store.clone();
            async move {
                let rows = store.rule_versions(scope, before, limit).await.unwrap();
                rows.into_iter().map(|row| (row.version, row.text)).collect::<Vec<_>>()
            }
        };
        let rows = [(3, String::new()), (2, "two".to_owned()), (1, "one".to_owned())];
        assert_eq!(versions(None, 10).await, rows);
        assert_eq!(versions(Some(3), 1).await, rows[1..2]);
        assert_eq!(store.rules_state().await.unwrap(), RulesState { rules: 3, templates: 0 });
        for statement in ["UPDATE rule_version SET text = 'other'", "DELETE FROM rule_version"] {
            assert!(place.tamper(statement).unwrap_err().contains("append-only"), "{statement}");
        }
        append_template(&store, template("t", 1, "text", &[])).await.unwrap();
        for statement in ["UPDATE template_version SET text = 'other'", "DELETE FROM template_version"] {
            assert!(place.tamper(statement).unwrap_err().contains("append-only"), "{statement}");
        }
    }
}

#[tokio::test]
async fn facts_name_the_rules_in_force_of_environment_project_and_key() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let store = &scene.store;
        let rules = || async { scene.facts().await.unwrap().rules };
        assert_eq!(rules().await, RuleVersions::default());
        assert!(rules().await.is_empty());
        let scopes = [environment(store).await, RuleScope::Project(scene.project), RuleScope::Key(scene.key)];
        for (scope, text) in scopes.into_iter().zip(["of environment", "of project", "of key"]) {
            append(store, version(scope, 1, text, &[])).await.unwrap();
        }
        // Of another project and key.
        append(store, version(RuleScope::Key(KeyId::new()), 1, "other", &[])).await.unwrap();
        append_template(store, template("t", 1, "first", &[])).await.unwrap();
        append(store, version(scopes[1], 2, "of project, newer", &[])).await.unwrap();
        let facts = scene.facts().await.unwrap();
        let expected = RuleVersions { environment: Some(1), project: Some(2), key: Some(1), templates: 1 };
        assert_eq!(facts.rules, expected);
        assert_eq!(facts.key.as_ref().unwrap().environment_name, "default");

        // The texts of these versions, also when there are newer ones.
        append_template(store, template("t", 2, "second", &[])).await.unwrap();
        append_template(store, template("u", 1, "later", &[])).await.unwrap();
        append(store, version(scopes[2], 2, "", &[])).await.unwrap();
        let texts = store.rule_texts(&facts).await.unwrap();
        assert_eq!(texts.environment.as_deref(), Some("of environment"));
        assert_eq!(texts.project.as_deref(), Some("of project, newer"));
        assert_eq!(texts.key.as_deref(), Some("of key"));
        let first = TemplateText { name: "t".to_owned(), text: "first".to_owned(), withdrawn: false };
        assert_eq!(texts.templates, [first]);
        let copy = facts.clone();
        let inside: Result<RuleTexts, StorageError> = store.write(move |tx| tx.rule_texts(&copy)).await;
        assert_eq!(inside.unwrap(), texts);

        let newest = scene.facts().await.unwrap();
        assert_eq!(newest.rules, RuleVersions { key: None, templates: 3, ..expected });
        assert!(newest.version > facts.version, "a change of rules is a change");
        let texts = store.rule_texts(&newest).await.unwrap();
        assert_eq!(texts.key, None);
        assert_eq!(texts.templates.len(), 2);
        // What is missing is an error, not an absence of rules.
        let mut wrong = newest;
        wrong.rules.project = Some(7);
        assert!(matches!(store.rule_texts(&wrong).await, Err(StorageError::Damaged(_))));
    }
}

#[tokio::test]
async fn change_of_rules_is_seen_by_the_other_server() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let before = scene.facts().await.unwrap();
        append(&scene.other, version(RuleScope::Key(scene.key), 1, "text", &[])).await.unwrap();
        let query = FactsQuery { token: [5; 32], target: before_target(&scene) };
        // Facts that were cached are read again in the transaction.
        let cached = before.clone();
        let seen: Result<Option<Facts>, StorageError> =
            scene.store.write(move |tx| tx.facts(&query, Some(cached))).await;
        assert_eq!(seen.unwrap().unwrap().rules.key, Some(1));
    }
}

fn before_target(scene: &Scene) -> Target {
    Target::Key(scene.key, sealcard_api::algorithm::ComponentRole::Sign)
}

#[tokio::test]
async fn names_in_rules_are_known_until_the_rules_change() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let store = &scene.store;
        let named = [
            mention(MentionKind::User, "user"),
            mention(MentionKind::Project, "project"),
            mention(MentionKind::Key, "project/key"),
            mention(MentionKind::Environment, "default"),
        ];
        assert_eq!(store.unknown_names(&named).await.unwrap(), []);
        let absent = [
            mention(MentionKind::Group, "user"),
            mention(MentionKind::ServiceAccount, "user"),
            mention(MentionKind::User, "nobody"),
            mention(MentionKind::Key, "project/other"),
            mention(MentionKind::Template, "t"),
        ];
        let all = [named.as_slice(), &absent].concat();
        assert_eq!(store.unknown_names(&all).await.unwrap(), absent);
        let inside: Result<Vec<Mention>, StorageError> = store.write(move |tx| tx.unknown_names(&all)).await;
        assert_eq!(inside.unwrap(), absent);

        append(store, version(RuleScope::Project(scene.project), 1, "text", &named)).await.unwrap();
        append(store, version(environment(store).await, 1, "text", &named[..1])).await.unwrap();
        append_template(store, template("t", 1, "text", &named[..1])).await.unwrap();
        assert_eq!(
            naming(store, MentionKind::User, "user").await,
            [
                "the rules of the environment default (rule tags)",
                "the rules of the project project (rule tags)",
                "the template t"
            ]
        );
        assert_eq!(naming(store, MentionKind::Group, "user").await, Vec::<String>::new());
        let of_project: Result<Vec<RulesNaming>, StorageError> =
            store.write(|tx| tx.rules_naming_project("project")).await;
        assert_eq!(of_project.unwrap().len(), 2);
        // `_` and `%` are no wildcards.
        for name in ["projec_", "%"] {
            let none: Result<Vec<RulesNaming>, StorageError> =
                store.write(move |tx| tx.rules_naming_project(name)).await;
            assert_eq!(none.unwrap(), []);
        }
        append(store, version(RuleScope::Project(scene.project), 2, "", &[])).await.unwrap();
        assert_eq!(
            naming(store, MentionKind::User, "user").await,
            ["the rules of the environment default (rule tags)", "the template t"]
        );
    }
}

#[tokio::test]
async fn removed_project_names_nothing_any_more() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let (store, project) = (&scene.store, scene.project);
        for scope in [RuleScope::Project(project), RuleScope::Key(scene.key)] {
            append(store, version(scope, 1, "text", &[mention(MentionKind::User, "user")])).await.unwrap();
        }
        assert_eq!(
            naming(store, MentionKind::User, "user").await,
            ["the rules of the key project/key (rule tags)", "the rules of the project project (rule tags)"]
        );
        let removed: Result<(), StorageError> = store.write(move |tx| tx.remove_project(project)).await;
        removed.unwrap();
        assert_eq!(naming(store, MentionKind::User, "user").await, Vec::<String>::new());
        assert_eq!(store.current_rules(None, None, 10).await.unwrap(), []);
    }
}

#[tokio::test]
async fn rules_in_force_are_listed_with_names_and_templates() {
    for place in Place::both() {
        let scene = Scene::new(&place).await;
        let store = &scene.store;
        let links = [mention(MentionKind::Template, "b"), mention(MentionKind::Template, "a")];
        let (of_environment, of_project, of_key) =
            (environment(store).await, RuleScope::Project(scene.project), RuleScope::Key(scene.key));
        append(store, version(of_environment, 1, "text", &links[1..])).await.unwrap();
        append(store, version(of_key, 1, "old", &links)).await.unwrap();
        append(store, version(of_key, 2, "text", &links)).await.unwrap();
        append(store, version(of_project, 1, "text", &[])).await.unwrap();
        append(store, version(of_project, 2, "", &[])).await.unwrap();

        let told = |rules: Vec<CurrentRules>| {
            let one = |rules: CurrentRules| (rules.owner.to_string(), rules.version, rules.templates.join(" "));
            rules.into_iter().map(one).collect::<Vec<_>>()
        };
        let environment_rules = ("the rules of the environment default".to_owned(), 1, "a".to_owned());
        let key_rules = ("the rules of the key project/key".to_owned(), 2, "a b".to_owned());
        let both = [environment_rules, key_rules.clone()];
        for visible_to in [None, Some(scene.user)] {
            assert_eq!(told(store.current_rules(visible_to, None, 10).await.unwrap()), both);
        }
        let first = store.current_rules(None, None, 1).await.unwrap();
        let after = first.first().unwrap().scope.subject();
        assert_eq!(told(store.current_rules(None, Some(after), 10).await.unwrap()), both[1..]);
        assert_eq!(store.current_rules(Some(PrincipalId::new()), None, 10).await.unwrap(), []);
        assert_eq!(told(store.rules_linking("b").await.unwrap()), [key_rules]);
        assert_eq!(store.rules_linking("a").await.unwrap().len(), 2);
        assert_eq!(store.current_rules_of(of_project).await.unwrap(), None);
        assert_eq!(store.current_rules_of(of_key).await.unwrap().unwrap().text, "text");

        // The one key has rules of its own and of its environment.
        for scope in [of_environment, of_project, of_key] {
            assert_eq!(store.rule_sets(scope).await.unwrap(), [vec![of_environment, of_key]]);
        }
        let other = RuleScope::Project(ProjectId::new());
        assert_eq!(store.rule_sets(other).await.unwrap(), Vec::<Vec<RuleScope>>::new());
    }
}

#[tokio::test]
async fn template_is_withdrawn_by_a_version_that_names_nothing() {
    for place in Place::both() {
        let store = place.store().await;
        let group = [mention(MentionKind::Group, "makers")];
        append_template(&store, template("b", 1, "one", &group)).await.unwrap();
        append_template(&store, template("a", 1, "other", &[])).await.unwrap();
        assert_eq!(naming(&store, MentionKind::Group, "makers").await, ["the template b"]);
        let mut withdrawn = template("b", 2, "one", &[]);
        withdrawn.row.withdrawn = true;
        append_template(&store, withdrawn.clone()).await.unwrap();
        assert_eq!(naming(&store, MentionKind::Group, "makers").await, Vec::<String>::new());
        let again = append_template(&store, withdrawn.clone()).await;
        assert!(matches!(again, Err(StorageError::Taken(_))), "{again:?}");
        assert_eq!(store.template("b").await.unwrap(), Some(withdrawn.row));
        assert_eq!(store.template("c").await.unwrap(), None);
        let names =
            |rows: Vec<TemplateVersionRow>| rows.into_iter().map(|row| (row.name, row.version)).collect::<Vec<_>>();
        let [a, b] = [("a".to_owned(), 1), ("b".to_owned(), 2)];
        assert_eq!(names(store.templates("", 10).await.unwrap()), [a.clone(), b.clone()]);
        assert_eq!(names(store.templates("", 1).await.unwrap()), [a]);
        assert_eq!(names(store.templates("a", 10).await.unwrap()), std::slice::from_ref(&b));
        let versions = store.template_versions("b", None, 10).await.unwrap();
        assert_eq!(names(versions), [b, ("b".to_owned(), 1)]);
        assert_eq!(store.rules_state().await.unwrap(), RulesState { rules: 0, templates: 3 });
        let texts = store.templates_at(2).await.unwrap();
        assert_eq!(texts.iter().map(|text| text.withdrawn).collect::<Vec<_>>(), [false, false]);
        assert!(store.templates_at(3).await.unwrap().iter().any(|text| text.withdrawn));
    }
}
