use super::*;

fn wrong(text: &str) -> Vec<Diagnostic> {
    match Document::parse(text) {
        Err(found) => found,
        Ok(_) => panic!("{text} is good"),
    }
}

#[track_caller]
fn one_wrong(text: &str, (line, column): (usize, usize), message: &str) {
    let found = wrong(text);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert!(one.message.contains(message), "{one:?}");
    assert_eq!((one.line, one.column), (line, column), "{one:?}");
}

#[test]
fn the_schema_is_valid() {
    let (_, warnings) = cedar_policy::Schema::from_cedarschema_str(SCHEMA).unwrap();
    assert_eq!(warnings.count(), 0);
}

#[test]
fn errors_have_their_place() {
    one_wrong("[rule.a]\noperations = [\"sing\"]\n", (2, 15), "unknown variant `sing`");
    one_wrong("[rule.a]\nnetworks = [\"10.0.0.1/8\"]\n", (2, 12), "write 10.0.0.0/8");
    one_wrong("[rule.a]\nhours = { zone = \"Europe/Berlyn\" }\n", (2, 9), "no time zone");
    one_wrong("[rule.a]\nhour = 1\n", (2, 1), "unknown field `hour`");
    one_wrong("[rule.a]\ntools = [\"git\"]\n", (2, 10), "there is no tool git here");
    one_wrong("[rule.a]\noperations = []\n", (2, 14), "is empty");
    one_wrong("[rule.a]\n", (1, 1), "asks for nothing");
    one_wrong("[tool.git]\ncommand = '('\n", (2, 11), "regular expression");
    one_wrong("[tool.git]\n", (1, 1), "needs one of");
    one_wrong("[rule.a]\nquota = [{ per = \"user\", uses = 0, window = \"1h\" }]\n", (2, 33), "at least 1");
    one_wrong("[template.a]\noperations = [\"sign\"]\n", (1, 1), "can't be part of");
    one_wrong("[rule.a\n", (1, 8), "");
}

#[test]
fn errors_in_cedar_have_their_place_in_the_toml() {
    let with = |cedar: &str| format!("# rules\ncedar = '''\n{cedar}\n'''\n");
    one_wrong(&with("forbid (principal, action, resource) unless { context.hst == \"a\" };"), (3, 47), "`hst`");
    one_wrong(&with("forbid (principal, action, resource) unless { context.host == \"a\" };"), (3, 47), "host");
    one_wrong(&with("forbid (principal, action, resource"), (3, 36), "unexpected");
    one_wrong(&with("permit (principal, action, resource);"), (3, 1), "no effect");
    one_wrong(&with("forbid (principal == User::\"a\", action == Action::\"sing\", resource);"), (3, 43), "sing");
    one_wrong(&with("forbid (principal, action, resource) when { false };"), (3, 1), "impossible");
    one_wrong(&with("forbid (principal, action, resource) when { context.host like \"a*\" };"), (3, 45), "host");
    one_wrong(&with("forbid (principal in Group::\"\u{0430}dmin\", action, resource);"), (3, 1), "dmin");
    let twice = "forbid (principal, action, resource) when { context has host };\n";
    one_wrong(&with(&twice.repeat(2)), (3, 1), "twice");
    let all = "forbid (principal, action, resource);\n";
    one_wrong(&with(&format!("{all}{twice}")), (4, 1), "no effect");
}

#[test]
fn hostile_texts_are_refused() {
    let nested = "(".repeat(15_000);
    let chain = "!".repeat(15_000);
    let and = "true && ".repeat(3000);
    let attributes = ".a".repeat(10_000);
    let cedars = [
        format!("forbid (principal, action, resource) when {{ {nested}true }};"),
        format!("forbid (principal, action, resource) when {{ {chain}true }};"),
        format!("forbid (principal, action, resource) when {{ {and}true }};"),
        format!("forbid (principal, action, resource) when {{ context{attributes} }};"),
        format!("forbid (principal, action, resource) when {{ {} }};", "[".repeat(15_000)),
        format!("forbid (principal, action, resource) when {{ {}true }};", "if true then true else ".repeat(1000)),
    ];
    for cedar in cedars {
        assert!(!wrong(&format!("cedar = '''{cedar}'''")).is_empty());
    }
    assert!(!wrong(&"[".repeat(60_000)).is_empty());
    assert!(!wrong(&format!("a = {}", "[".repeat(60_000))).is_empty());
    assert!(!wrong(&format!("{} = 1", "a.".repeat(30_000))).is_empty());
    assert!(!wrong(&" ".repeat(MAX_TEXT + 1)).is_empty());
    assert!(!wrong("[tool.a]\ncommand = '(a{1000}){1000}'").is_empty());
    let tools: String = (0..200).map(|n| format!("[tool.t{n}]\npath = [\"/a\"]\n")).collect();
    assert!(!wrong(&tools).is_empty());
    let rules =
        |count: usize| -> String { (0..count).map(|n| format!("[rule.r{n}]\noperations = [\"sign\"]\n")).collect() };
    document(&rules(100));
    assert!(wrong(&rules(101)).iter().any(|found| found.message.contains("101 rules; 100 are allowed")));
}

#[test]
fn names_outside_of_the_text_are_told() {
    let document = document(
        "[rule.a]\nwho = { groups = [\"g\"], users = [\"u\"], service-accounts = [\"s\"] }\n\
         approval = [{ group = \"h\" }]\n[rule.b]\nrequire = [\"justification\"]\n",
    );
    let told = |document: &Document| -> Vec<String> {
        document.mentions().iter().map(|it| format!("{} {}", it.kind.name(), it.name)).collect()
    };
    assert_eq!(told(&document), ["user u", "service account s", "group g", "group h"]);
    let cedar = "cedar = '''forbid (principal in Group::\"c\", action, resource == Key::\"tools/release\") \
                 unless { resource in Environment::\"hsm\" };'''";
    assert_eq!(told(&super::document(cedar)), ["group c", "environment hsm", "key tools/release"]);
}

const TWO: &str = "\
# Tags of releases.
[template.tags]
operations = [\"sign\"]
tools = [\"git\"]

# Packages.
[template.packages]
tools = [\"rpm\", \"deb\"]
visible-to = [\"packagers\"]

[tool.git]
command = '^git '

[tool.rpm]
path = [\"/usr/bin/rpmsign\"] # from rpm-sign

[tool.deb]
path = [\"/usr/bin/debsign\"]
";

#[test]
fn file_of_templates_is_split() {
    let texts = split_templates(TWO).unwrap();
    let names: Vec<&str> = texts.iter().map(|text| text.name.as_str()).collect();
    assert_eq!(names, ["tags", "packages"]);
    assert!(texts[0].text.contains("# Tags of releases.") && texts[0].text.contains("[tool.git]"));
    assert!(!texts[0].text.contains("packages") && !texts[0].text.contains("[tool.rpm]"));
    assert!(texts[1].text.contains("# from rpm-sign") && texts[1].text.contains("# Packages."));
    for text in &texts {
        assert_eq!(Template::parse(&text.text).unwrap().name(), text.name);
    }
    assert_eq!(split_templates(&texts[0].text).unwrap(), texts[..1]);
}

#[test]
fn mistakes_in_a_file_of_templates_have_their_place_in_it() {
    let text = TWO.replace("[\"rpm\", \"deb\"]", "[\"rpm\", \"dpkg\"]");
    let found = split_templates(&text).unwrap_err();
    assert_eq!((found[0].line, found[0].column), (8, 17), "{found:?}");
    let unused = split_templates(&format!("{TWO}\n[tool.x]\npath = [\"/x\"]\n")).unwrap_err();
    assert_eq!(unused[0].line, 20, "{unused:?}");
    assert!(split_templates("[rule.a]\noperations = [\"sign\"]\n").is_err());
    assert!(split_templates("").is_err());
}

#[test]
fn link_sets_only_what_the_template_lets_it_set() {
    let templates = BTreeMap::from([template(
        "[template.t]\noperations = [\"sign\"]\nnetworks = [\"10.0.0.0/8\"]\nadjustable = [\"networks\"]\n",
    )]);
    let link = |fields: &str| {
        let text = format!("[rule.a]\ntemplate = \"t\"\n{fields}");
        RuleSet::compile(&[(project(), document(&text))], &templates)
    };
    let rules = link("networks = [\"192.168.0.0/16\"]\nhosts = [\"a\"]\n").unwrap();
    assert_eq!(ids(&sign(&rules, &facts())), ["project/a/hosts", "project/a/networks"]);
    let wrong = link("operations = [\"decrypt\"]\n").unwrap_err();
    assert_eq!((wrong[0].1[0].line, wrong[0].1[0].column), (3, 14), "{wrong:?}");
    assert!(wrong[0].1[0].message.contains("fixes operations"), "{wrong:?}");
    let missing = RuleSet::compile(&[(project(), document("[rule.a]\ntemplate = \"u\"\n"))], &templates);
    assert!(missing.unwrap_err()[0].1[0].message.contains("no template u"));
}

#[test]
fn examples_are_judged() {
    let rules = compiled("[rule.tags]\nwho = { groups = [\"release-managers\"] }\nhashes = [\"sha512\"]\n");
    let examples = Examples::parse(
        "[[example]]\nname = \"one\"\nuser = \"jane\"\ngroups = [\"release-managers\"]\nkey = \"tools/release\"\n\
         operation = \"sign\"\nhash = \"sha512\"\ntime = 2026-11-30T10:00:00+01:00\nexpect = \"allow\"\n\n\
         [[example]]\nname = \"two\"\nservice-account = \"nightly\"\nkey = \"tools/release\"\noperation = \"sign\"\n\
         hash = \"sha256\"\ntime = \"2026-11-30T10:00:00Z\"\nexpect = \"deny\"\nrules = [\"project/tags/who\"]\n\n\
         [[example]]\nname = \"three\"\nuser = \"bob\"\nkey = \"tools/release\"\noperation = \"sign\"\n\
         time = \"2026-11-30T10:00:00Z\"\nexpect = \"allow\"\n",
    )
    .unwrap();
    let results: Vec<bool> = examples.iter().map(|example| example.run(&rules, "default").passed).collect();
    assert_eq!(results, [true, true, false]);
    assert_eq!(examples.iter().map(|example| example.line).collect::<Vec<_>>(), [1, 11, 21]);
    assert!(Examples::parse("[[example]]\nname = \"x\"\n").is_err());
}
