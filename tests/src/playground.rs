//! The whole system in one value.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use sealcard_test_cluster::Cluster;

use crate::{
    Admin, Algorithm, Binaries, DatabaseKind, Facts, Flavour, KeyFacts, Scratch, Server, ServerBuilder, StoreKind,
    Template, Token, Workstation,
    database::{database_arguments, prepare_database},
    key_variable, provision,
    tokens::{ENVIRONMENT, TOKEN_LABEL},
};

type Prepare<'a> = Box<dyn Fn(&Path) -> Result<()> + 'a>;
type PrepareToken<'a> = Box<dyn FnOnce(&mut Token) -> Result<String> + 'a>;

/// Which playground is wanted.
pub struct PlaygroundBuilder<'a> {
    binaries: Binaries,
    flavour: Flavour,
    algorithms: Option<Vec<Algorithm>>,
    environment: Vec<(&'a str, &'a str)>,
    prepare: Option<Prepare<'a>>,
    login: bool,
    seal: Option<&'a str>,
    database: Option<DatabaseKind>,
    store: Option<StoreKind>,
    prepare_token: PrepareToken<'a>,
    await_token: bool,
    note: Box<dyn Fn(&str) + 'a>,
}

impl std::fmt::Debug for PlaygroundBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlaygroundBuilder").field("flavour", &self.flavour).finish_non_exhaustive()
    }
}

impl<'a> PlaygroundBuilder<'a> {
    /// A playground of these programs with a key of each algorithm, from the template, on the machine's own GnuPG.
    #[must_use]
    pub fn new(binaries: Binaries) -> Self {
        Self {
            binaries,
            flavour: Flavour::Machine,
            algorithms: None,
            environment: Vec::new(),
            prepare: None,
            login: true,
            seal: None,
            database: None,
            store: None,
            prepare_token: Box::new(|token| Ok(token.config())),
            await_token: true,
            note: Box::new(|_| ()),
        }
    }

    /// The programs.
    #[must_use]
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Which GnuPG the workstation has.
    #[must_use]
    pub fn flavour(mut self, flavour: Flavour) -> Self {
        self.flavour = flavour;
        self
    }

    /// Makes new keys of these algorithms instead of copying the template.
    #[must_use]
    pub fn algorithms(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = Some(algorithms.to_vec());
        self
    }

    /// Sets an environment variable of the server, such as `FAILPOINTS`.
    #[must_use]
    pub fn environment(mut self, name: &'a str, value: &'a str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Changes the data folder before the server starts.
    #[must_use]
    pub fn prepare(mut self, prepare: impl Fn(&Path) -> Result<()> + 'a) -> Self {
        self.prepare = Some(Box::new(prepare));
        self
    }

    /// Seals the master key with the passphrase in a file. Only together with [`Self::algorithms`].
    #[must_use]
    pub fn sealed_by_passphrase(mut self, file: &'a str) -> Self {
        self.seal = Some(file);
        self
    }

    /// Which database the server uses, in place of what `SEALCARD_TEST_DATABASE` says.
    #[must_use]
    pub fn database(mut self, database: DatabaseKind) -> Self {
        self.database = Some(database);
        self
    }

    /// Where the keys are, in place of what `SEALCARD_TEST_STORE` says.
    #[must_use]
    pub fn store(mut self, store: StoreKind) -> Self {
        self.store = Some(store);
        self
    }

    /// Puts something between the token and the server, or changes its `token.toml`, whose text is what `prepare`
    /// gives. Whether the token can be used is left to the caller then.
    #[must_use]
    pub fn prepare_token(mut self, prepare: impl FnOnce(&mut Token) -> Result<String> + 'a) -> Self {
        self.prepare_token = Box::new(prepare);
        self.await_token = false;
        self
    }

    /// Leaves the workstation as it is after installing: not logged in, GnuPG not set up.
    #[must_use]
    pub fn without_login(mut self) -> Self {
        self.login = false;
        self
    }

    /// Tells each step before it is done.
    #[must_use]
    pub fn note(mut self, note: impl Fn(&str) + 'a) -> Self {
        self.note = Box::new(note);
        self
    }

    /// Starts it all.
    ///
    /// # Errors
    /// A step failed; what was started before has been ended.
    pub fn start(self) -> Result<Playground> {
        let scratch = Scratch::new()?;
        let data = scratch.path().join("data");
        let mut builder = ServerBuilder::new(&self.binaries, &scratch, &data);
        for (name, value) in &self.environment {
            builder = builder.environment(name, value);
        }
        let database = self.database.map_or_else(DatabaseKind::of_environment, Ok)?;
        let store = self.store.map_or_else(StoreKind::of_environment, Ok)?;
        let token_folder = scratch.path().join("token");
        let (facts, cluster, token) = match &self.algorithms {
            None => {
                let template = Template::get(&self.binaries, database, store)?;
                template.copy_to(&data)?;
                let token = template.copy_token_to(&token_folder)?;
                let cluster = template.cluster()?;
                if let Some(cluster) = &cluster {
                    // The copy of the configuration names the template's cluster.
                    builder = builder.environment("SEALCARD_SERVER_DATABASE__URL", &cluster.server_url());
                }
                (template.facts, cluster, token)
            }
            Some(_) => {
                (self.note)("a new server: data folder, database, master key, certificate");
                let facts = Facts::new();
                let cluster = database.cluster()?;
                let url = cluster.as_ref().map(Cluster::server_url);
                if let Some(cluster) = &cluster {
                    prepare_database(&self.binaries, cluster, &[])?;
                }
                let mut arguments = database_arguments(url.as_deref());
                if let Some(file) = self.seal {
                    arguments.extend(["--seal", "passphrase", "--seal-passphrase-file", file]);
                }
                let password = scratch.file("password", &facts.admin_password)?;
                builder.init(&password, &arguments)?;
                let create = |kind| Token::create(kind, &token_folder, TOKEN_LABEL);
                (facts, cluster, store.token().map(create).transpose()?)
            }
        };
        let token = token.map(|mut token| -> Result<Token> {
            let config = scratch.file("token.toml", (self.prepare_token)(&mut token)?)?;
            if self.algorithms.is_some() {
                (self.note)(&format!("environment {ENVIRONMENT}: a token of {store}"));
                builder.add_token(ENVIRONMENT, &config)?;
            } else {
                // The template's names the template's token.
                fs::copy(&config, data.join("signer").join(ENVIRONMENT).join("token.toml"))?;
            }
            Ok(token)
        });
        let token = token.transpose()?;
        if let Some(prepare) = &self.prepare {
            prepare(&data)?;
        }
        let server = builder.start()?;
        (self.note)(&format!("sealcard-server at {}", server.url()));
        if let Some(file) = self.seal {
            server.unseal(file)?;
        }
        let mut facts = facts;
        let mut admin = Admin::login(&self.binaries, &scratch, &server, &facts)?;
        if token.is_some() {
            admin = admin.with_environment(ENVIRONMENT);
            if self.await_token {
                admin.wait_for_environment(ENVIRONMENT)?;
            }
        }
        if let Some(algorithms) = &self.algorithms {
            provision(&admin, &mut facts, algorithms, &self.note)?;
        }
        let workstation = Workstation::new(&self.binaries, &scratch, "ws", self.flavour)?;
        if self.login {
            (self.note)("workstation: sealcard login --setup");
            workstation.login(&server, &facts)?;
        }
        Ok(Playground { workstation, admin, server, cluster, token, facts, binaries: self.binaries, scratch })
    }
}

/// A running server with one user, one project and keys, and a workstation that is set up.
///
/// The order of the fields is the order in which they end: the workstation's agent first, the folder last.
#[derive(Debug)]
pub struct Playground {
    /// The user's machine.
    pub workstation: Workstation,
    /// The administrator.
    pub admin: Admin,
    /// The server.
    pub server: Server,
    /// The server's database, if that is PostgreSQL.
    pub cluster: Option<Cluster>,
    /// The token that holds the keys, if they are not in the sealed store.
    pub token: Option<Token>,
    /// Names, passwords and keys.
    pub facts: Facts,
    /// The programs.
    pub binaries: Binaries,
    /// The folder of it all.
    pub scratch: Scratch,
}

impl Playground {
    /// The key of an algorithm.
    ///
    /// # Errors
    /// There is none.
    pub fn key(&self, algorithm: Algorithm) -> Result<&KeyFacts> {
        self.facts.key(algorithm)
    }

    /// What a shell needs to use it: the GnuPG home, and the fingerprint of each key.
    #[must_use]
    pub fn exports(&self) -> Vec<(String, PathBuf)> {
        let mut exports = vec![("GNUPGHOME".to_owned(), self.workstation.gnupg_home())];
        exports
            .extend(self.facts.keys.iter().map(|key| (key_variable(key.algorithm), PathBuf::from(&key.fingerprint))));
        exports
    }
}
