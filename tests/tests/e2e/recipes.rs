//! The recipes of `docs/ci.md`, run as each CI system would run them: the shell is read from the page, the environment
//! is empty but for what the page and the CI system put there.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use sealcard_tests::{Playground, run};

use crate::{
    packages::CHANGES,
    support::{builder, page::Page},
};

const DEADLINE: Duration = Duration::from_secs(120);
const SERVER: &str = "https://sign.example.org:8443";

type Variables = BTreeMap<String, String>;

/// A piece of shell, with the variables that only it gets.
struct Step {
    shell: &'static [&'static str],
    script: String,
    variables: Variables,
}

#[test]
fn the_gitlab_recipe_signs() -> Result<()> {
    let runner = Runner::new()?;
    let recipe = Page::read("ci.md")?.block("GitLab", "yaml")?;
    let mut variables = yaml_map(&recipe, "  variables:", 4);
    variables.insert("SEALCARD_CA_FILE".to_owned(), runner.ca.clone());
    variables.insert("SEALCARD_TOKEN_FILE".to_owned(), runner.token_file.clone());
    let shell: &[&str] = &["bash", "-eo", "pipefail", "-c"];
    let step = |name| Step { shell, script: yaml_list(&recipe, name).join("\n"), variables: Variables::new() };
    runner.play(&variables, &[step("  script:"), step("  after_script:")])
}

#[test]
fn the_github_recipe_signs() -> Result<()> {
    let runner = Runner::new()?;
    let recipe = Page::read("ci.md")?.block("GitHub Actions", "yaml")?;
    let given = [
        ("${{ vars.VERSION }}", VERSION),
        ("${{ vars.SEALCARD_CA }}", &fs::read_to_string(&runner.ca)?),
        ("${{ secrets.SEALCARD_TOKEN }}", runner.token.trim()),
    ];
    let fill = |mut variables: Variables| {
        for value in variables.values_mut() {
            given.iter().for_each(|(name, given)| *value = value.replace(name, given));
        }
        variables
    };
    let mut variables = fill(yaml_map(&recipe, "    env:", 6));
    variables.insert("RUNNER_TEMP".to_owned(), runner.home.join("temp").to_string_lossy().into_owned());
    let (_, steps) = recipe.split_once("    steps:\n").context("no steps")?;
    let steps: Vec<Step> = steps
        .split("      - ")
        .filter(|step| step.contains("        run: "))
        .map(|step| Step {
            shell: &["bash", "-e", "-c"],
            script: yaml_run(step),
            variables: fill(yaml_map(step, "        env:", 10)),
        })
        .collect();
    ensure!(steps.len() == 3, "{} steps", steps.len());
    runner.play(&variables, &steps)
}

#[test]
fn the_jenkins_recipe_signs() -> Result<()> {
    let runner = Runner::new()?;
    let recipe = Page::read("ci.md")?.block("Jenkins", "groovy")?;
    let (_, environment) = recipe.split_once("  environment {\n").context("no environment")?;
    let (environment, _) = environment.split_once("  }\n").context("no end of the environment")?;
    let setting = |line: &str| {
        let (name, value) = line.split_once(" = ")?;
        Some((name.trim().to_owned(), value.trim_matches('\'').to_owned()))
    };
    let variables: Variables = environment.lines().filter_map(setting).collect();
    let secrets = [("SEALCARD_CA_FILE", &runner.ca), ("SEALCARD_TOKEN_FILE", &runner.token_file)];
    for (name, _) in secrets {
        ensure!(recipe.contains(&format!("variable: '{name}'")), "no credential {name}");
    }
    let secrets: Variables = secrets.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    // Every second piece between the quotes is shell; the first one is inside withCredentials.
    let scripts: Vec<&str> = recipe.split("'''").skip(1).step_by(2).collect();
    ensure!(scripts.len() == 3, "{} scripts", scripts.len());
    let steps: Vec<Step> = scripts
        .into_iter()
        .enumerate()
        .map(|(number, script)| Step {
            shell: &["sh", "-xe", "-c"],
            script: script.to_owned(),
            variables: if number == 0 { secrets.clone() } else { Variables::new() },
        })
        .collect();
    runner.play(&variables, &steps)
}

#[test]
fn the_shell_recipe_signs() -> Result<()> {
    let runner = Runner::new()?;
    let recipe = Page::read("ci.md")?.block("A shell script", "sh")?;
    let script =
        recipe.replace("/etc/sealcard/ca.pem", &runner.ca).replace("/run/secrets/sealcard", &runner.token_file);
    runner.play(&Variables::new(), &[Step { shell: &["sh", "-c"], script, variables: Variables::new() }])
}

const VERSION: &str = "1.0";

/// A server with the key of the page, and a CI runner with a work tree and packages.
struct Runner {
    playground: Playground,
    home: PathBuf,
    ca: String,
    token: String,
    token_file: String,
}

impl Runner {
    fn new() -> Result<Self> {
        let playground = builder()?.without_login().start()?;
        let admin = &playground.admin;
        admin.admin(&["project", "add", "release"])?;
        let user_id = "Release <release@example.org>";
        admin.admin(&["key", "create", "release/tags", "--algorithm", "ed25519", "--user-id", user_id])?;
        let home = playground.scratch.folder("runner")?;
        // The administrator's commands are the page's too.
        for command in Page::read("ci.md")?.commands("Make the service account")? {
            let own = admin.command(&[]);
            let variables = own.get_envs().filter_map(|(name, value)| Some((name, value?)));
            let mut shell = Command::new("sh");
            shell.args(["-ec", &command]).current_dir(&home).env_clear().envs(variables);
            let path = format!("{}:/usr/bin:/bin", playground.binaries.folder().display());
            run(shell.env("PATH", path), DEADLINE)?.success()?;
        }
        let token_file = home.join("token");
        let token = fs::read_to_string(&token_file)?;
        let ca = playground.scratch.file("runner-ca.pem", fs::read(playground.server.ca())?)?;
        let runner = Self {
            home,
            ca: ca.to_string_lossy().into_owned(),
            token,
            token_file: token_file.to_string_lossy().into_owned(),
            playground,
        };
        runner.make_tree()?;
        Ok(runner)
    }

    /// What was built before the job signs.
    fn make_tree(&self) -> Result<()> {
        fs::create_dir_all(self.home.join("temp"))?;
        let package = self.playground.workstation.build_rpm(&[])?;
        for folder in ["tree", "tree/dist"] {
            fs::create_dir_all(self.home.join(folder))?;
        }
        fs::copy(package, self.home.join("tree/dist/t.rpm"))?;
        fs::write(self.home.join("tree/dist/t_1-1_all.changes"), CHANGES)?;
        fs::write(self.home.join("tree/dist/t.tar.gz"), "content")?;
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "First"],
        ] {
            run(self.shell(&["git"]).args(arguments), DEADLINE)?.success()?;
        }
        Ok(())
    }

    /// A command in an environment that holds nothing but what every shell has.
    fn shell(&self, words: &[&str]) -> Command {
        let path = format!("{}:/usr/bin:/bin", self.playground.binaries.folder().display());
        let mut command = Command::new("env");
        // The sockets of gpg's default home are shared by all of a user's programs, whatever HOME is; so it is another
        // one.
        let home = self.home.display();
        command.args(["-i", &format!("PATH={path}"), &format!("HOME={home}"), &format!("GNUPGHOME={home}/gnupg")]);
        command.arg(format!("VERSION={VERSION}")).args(words).current_dir(self.home.join("tree"));
        command
    }

    /// Runs the steps of a recipe, and looks at what they signed and left.
    fn play(&self, variables: &Variables, steps: &[Step]) -> Result<()> {
        for step in steps {
            ensure!(!step.script.trim().is_empty(), "an empty step");
            let mut words: Vec<String> = Vec::new();
            for (name, value) in variables.iter().chain(&step.variables) {
                words.push(format!("{name}={}", value.replace(SERVER, self.playground.server.url())));
            }
            words.extend(step.shell.iter().map(|word| (*word).to_owned()));
            words.push(step.script.replace(SERVER, self.playground.server.url()));
            let finished =
                run(&mut self.shell(&words.iter().map(String::as_str).collect::<Vec<_>>()), DEADLINE)?.success()?;
            ensure!(!finished.stderr.contains("WARNING"), "{}", finished.stderr);
        }
        self.expect_signed()
    }

    fn expect_signed(&self) -> Result<()> {
        let dist = self.home.join("tree/dist");
        let tag = run(self.shell(&["git"]).args(["cat-file", "tag", "v1.0"]), DEADLINE)?.success()?.text();
        ensure!(tag.contains("BEGIN PGP SIGNATURE"), "{tag}");
        let format = "%{RSAHEADER:pgpsig}%{DSAHEADER:pgpsig}";
        let mut query = self.shell(&["rpm", "-qp", "--qf", format]);
        let signature = run(query.arg(dist.join("t.rpm")), DEADLINE)?.success()?.text();
        ensure!(signature.to_lowercase().contains("key id"), "{signature}");
        let changes = fs::read_to_string(dist.join("t_1-1_all.changes"))?;
        ensure!(changes.starts_with("-----BEGIN PGP SIGNED MESSAGE-----"), "{changes}");
        ensure!(dist.join("t.tar.gz.asc").exists());
        // Nothing is left on the runner, and the login is revoked.
        for name in [".gitconfig", ".rpmmacros", ".devscripts", ".config/sealcard", ".local/state/sealcard"] {
            ensure!(!self.home.join(name).exists(), "{name} is left");
        }
        let grants = self.playground.admin.json(&["grant", "list", "--of", "release-pipeline"])?;
        ensure!(!grants.to_string().contains("\"id\""), "{grants}");
        Ok(())
    }
}

/// The mapping below a line, whose entries are indented by so many blanks.
fn yaml_map(text: &str, below: &str, indent: usize) -> Variables {
    let lines = text.lines().skip_while(|line| *line != below).skip(1);
    let prefix = " ".repeat(indent);
    let entries = lines.map_while(|line| line.strip_prefix(&prefix)?.split_once(": "));
    entries.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The list below a line of a job. A plain scalar must not hold what YAML would take for a mapping or a comment.
fn yaml_list<'a>(text: &'a str, below: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| *line != below).skip(1);
    let items: Vec<&str> = lines.map_while(|line| line.strip_prefix("    - ")).collect();
    assert!(items.iter().all(|item| !item.contains(": ") && !item.contains(" #") && !item.starts_with(['"', '\''])));
    items
}

/// `run:` of a step: the rest of the line, or the lines below `|`.
fn yaml_run(step: &str) -> String {
    let (_, run) = step.split_once("        run: ").unwrap_or_default();
    match run.strip_prefix("|\n") {
        Some(block) => block.lines().map_while(|line| line.strip_prefix("          ")).collect::<Vec<_>>().join("\n"),
        None => run.lines().next().unwrap_or_default().to_owned(),
    }
}
