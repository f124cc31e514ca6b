//! `proxy.toml`: whether the server is reached through an HTTP proxy.
//!
//! gpg-agent's environment is not the person's, so `HTTPS_PROXY` is read when the person says so, and the choice is
//! kept here for the command and the scdaemon alike. The file may hold a password: it is read only if nobody else can
//! read it.

mod exceptions;

use std::fmt;

use data_encoding::BASE64;
use reqwest::{Url, header::HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

pub use exceptions::Exceptions;

use super::{ConfigError, Paths, files};
use crate::assuan::unescape;

const HEADER: &str = "# Written by `sealcard proxy`. It may hold a password.\n";

/// The port of a proxy whose address names none, as curl has it.
const DEFAULT_PORT: u16 = 1080;

/// What was chosen.
#[derive(Debug, Clone)]
pub enum ProxyChoice {
    /// No proxy, whatever the environment says.
    Direct,
    /// This one, except for some servers.
    Through(Box<Proxy>),
}

impl ProxyChoice {
    /// Reads the file; `None` if nothing was chosen, which means no proxy.
    ///
    /// # Errors
    ///
    /// When it can't be read or understood, or others can read it.
    pub fn load(paths: &Paths) -> Result<Option<Self>, ConfigError> {
        let path = paths.proxy_file();
        let Some(content) = files::read_secret(&path)? else { return Ok(None) };
        Self::parse(&content).map(Some).map_err(|reason| ConfigError::invalid(path, reason))
    }

    /// Reads the file's content. The error does not quote it.
    ///
    /// # Errors
    ///
    /// With a sentence, if it is not what [`Self::save`] writes.
    pub fn parse(content: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(content).map_err(|_| "is not UTF-8 text".to_owned())?;
        // The library's own words may quote the line with the password.
        let stored: Stored = toml::from_str(text)
            .map_err(|_| "can't be understood; run `sealcard proxy set` or `sealcard proxy unset`".to_owned())?;
        stored.try_into().map_err(|error: ProxyError| error.to_string())
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub fn save(&self, paths: &Paths) -> Result<(), ConfigError> {
        let path = paths.proxy_file();
        let text = Zeroizing::new(self.render().map_err(|reason| ConfigError::invalid(&path, reason))?);
        files::write_login(paths, &path, text.as_bytes())
    }

    fn render(&self) -> Result<String, String> {
        let body = toml::to_string(&Stored::from(self)).map_err(|error| error.to_string())?;
        let body = Zeroizing::new(body);
        Ok(format!("{HEADER}{}", body.as_str()))
    }

    /// The proxy on the way to this host, if there is one.
    #[must_use]
    pub fn towards(self, host: &str, port: u16) -> Option<Proxy> {
        match self {
            Self::Through(proxy) if !proxy.exceptions.cover(host, port) => Some(*proxy),
            _ => None,
        }
    }
}

/// A proxy that is asked by CONNECT.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    user: Option<String>,
    password: Option<SecretString>,
    exceptions: Exceptions,
}

impl Proxy {
    /// The proxy of this address: `http://[USER[:PASSWORD]@]HOST[:PORT]`, with `http://` left out at will.
    ///
    /// # Errors
    ///
    /// When it is no such address. The error does not quote it.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let text = text.trim();
        let with_scheme = Zeroizing::new(if text.contains("://") { text.to_owned() } else { format!("http://{text}") });
        let url = Url::parse(&with_scheme).map_err(|_| ProxyError::Address)?;
        if url.scheme() != "http" {
            return Err(ProxyError::Scheme(url.scheme().to_owned()));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(ProxyError::Address);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(ProxyError::Address)?;
        // The parser drops a port that is the scheme's own.
        let explicit = with_scheme.trim_end_matches('/').ends_with(":80").then_some(80);
        let decoded = |text: &str| String::from_utf8(unescape(text.as_bytes())).map_err(|_| ProxyError::Credentials);
        let proxy = Self {
            host: host.to_owned(),
            port: url.port().or(explicit).unwrap_or(DEFAULT_PORT),
            user: None,
            password: None,
            exceptions: Exceptions::default(),
        };
        match url.username() {
            "" if url.password().is_none() => Ok(proxy),
            user => {
                let password = url.password().map(decoded).transpose()?.map(SecretString::from);
                proxy.with_credentials(decoded(user)?, password)
            }
        }
    }

    /// With a user name and a password for the proxy.
    ///
    /// # Errors
    ///
    /// When a header can't carry them.
    pub fn with_credentials(mut self, user: String, password: Option<SecretString>) -> Result<Self, ProxyError> {
        let sound = |text: &str| !text.chars().any(char::is_control);
        // RFC 7617 section 2: a colon ends the name.
        if user.contains(':') || !sound(&user) || password.as_ref().is_some_and(|text| !sound(text.expose_secret())) {
            return Err(ProxyError::Credentials);
        }
        self.user = Some(user);
        self.password = password;
        Ok(self)
    }

    /// With servers that are reached without it.
    #[must_use]
    pub fn with_exceptions(mut self, exceptions: Exceptions) -> Self {
        self.exceptions = exceptions;
        self
    }

    /// What the variables of an environment say: `https_proxy`, `HTTPS_PROXY`, `all_proxy`, `ALL_PROXY`, and `no_proxy`
    /// or `NO_PROXY`. `None` if they name no proxy.
    ///
    /// # Errors
    ///
    /// When they name one that can't be used; the error does not quote it.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, ProxyError> {
        let first = |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let Some(address) = first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]).map(Zeroizing::new) else {
            return Ok(None);
        };
        let exceptions = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        Ok(Some(Self::parse(&address)?.with_exceptions(Exceptions::parse(&exceptions))))
    }

    /// The host, with the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The user name that the proxy is told, if any.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The servers that are reached without it.
    #[must_use]
    pub const fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// The value of `Proxy-Authorization`, marked as sensitive.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let user = self.user.as_deref()?;
        let password = self.password.as_ref().map_or("", |password| password.expose_secret());
        let pair = Zeroizing::new(format!("{user}:{password}"));
        let header = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&header).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// The address, without name and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("address", &self.to_string()).finish_non_exhaustive()
    }
}

/// Why an address is no proxy's. Retrying the same can't help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProxyError {
    /// It has another form.
    #[error("a proxy's address looks like http://proxy.example.org:3128")]
    Address,
    /// Another way of asking the proxy.
    #[error("only http:// proxies (CONNECT) can be used, not {0}://")]
    Scheme(String),
    /// A header can't carry them.
    #[error("the proxy's user name or password holds characters that can't be sent to it")]
    Credentials,
}

/// The file. What is freed of it is wiped by the programs' allocator.
#[derive(Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", deny_unknown_fields)]
enum Stored {
    Direct {},
    Proxy {
        address: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        except: Vec<String>,
    },
}

impl From<&ProxyChoice> for Stored {
    fn from(choice: &ProxyChoice) -> Self {
        match choice {
            ProxyChoice::Direct => Self::Direct {},
            ProxyChoice::Through(proxy) => Self::Proxy {
                address: proxy.to_string(),
                user: proxy.user.clone(),
                password: proxy.password.as_ref().map(|text| text.expose_secret().to_owned()),
                except: proxy.exceptions.iter().map(ToOwned::to_owned).collect(),
            },
        }
    }
}

impl TryFrom<Stored> for ProxyChoice {
    type Error = ProxyError;

    fn try_from(stored: Stored) -> Result<Self, ProxyError> {
        let Stored::Proxy { address, user, password, except } = stored else { return Ok(Self::Direct) };
        let mut proxy = Proxy::parse(&address)?.with_exceptions(Exceptions::parse(&except.join(",")));
        if let Some(user) = user {
            proxy = proxy.with_credentials(user, password.map(Into::into))?;
        }
        Ok(Self::Through(Box::new(proxy)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proptest::prelude::*;

    use super::*;

    fn paths(folder: &tempfile::TempDir) -> Paths {
        Paths::new(folder.path().join("c"), folder.path().join("s")).unwrap()
    }

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("http://proxy.example.org:3128", "http://proxy.example.org:3128"),
            ("proxy:8080", "http://proxy:8080"),
            ("http://proxy:80", "http://proxy:80"),
            ("http://proxy", "http://proxy:1080"),
            ("http://[::1]:3128/", "http://[::1]:3128"),
        ] {
            assert_eq!(Proxy::parse(text).unwrap().to_string(), shown);
        }
        for wrong in ["", "http://", "http://a/b", "socks5://a:1", "https://a:1", "http://a:99999"] {
            assert!(Proxy::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_shown_nowhere() {
        let proxy = Proxy::parse("http://jane:s3cret%40x@proxy:1").unwrap();
        assert_eq!(
            proxy.authorization().unwrap().to_str().unwrap(),
            format!("Basic {}", BASE64.encode(b"jane:s3cret@x"))
        );
        let shown = format!("{proxy} {proxy:?} {:?}", proxy.authorization());
        assert!(!shown.contains("s3cret") && !shown.contains(&BASE64.encode(b"jane:s3cret@x")), "{shown}");
        let error = Proxy::parse("https://jane:s3cret@proxy:1").unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn lower_case_variables_come_first_and_exceptions_are_kept() {
        let variables = [("HTTPS_PROXY", "http://upper:1"), ("https_proxy", "http://lower:2"), ("NO_PROXY", "a, .b")];
        let lookup = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let proxy = Proxy::of_environment(lookup).unwrap().unwrap();
        assert_eq!(proxy.to_string(), "http://lower:2");
        let choice = ProxyChoice::Through(Box::new(proxy));
        assert!(choice.clone().towards("x.b", 443).is_none() && choice.towards("c", 443).is_some());
        assert!(Proxy::of_environment(|_| None).unwrap().is_none());
    }

    #[test]
    fn the_choice_survives_a_file_that_is_ours_alone() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(&folder);
        assert!(ProxyChoice::load(&paths).unwrap().is_none());
        let proxy = Proxy::parse("http://jane:pw@proxy:1").unwrap().with_exceptions(Exceptions::parse("localhost"));
        ProxyChoice::Through(Box::new(proxy.clone())).save(&paths).unwrap();
        let mode = std::fs::metadata(paths.proxy_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = ProxyChoice::load(&paths).unwrap().unwrap().towards("far.example", 443).unwrap();
        assert_eq!(again.authorization(), proxy.authorization());
        assert_eq!(again.exceptions(), proxy.exceptions());
        ProxyChoice::Direct.save(&paths).unwrap();
        assert!(ProxyChoice::load(&paths).unwrap().unwrap().towards("far.example", 443).is_none());
    }

    #[test]
    fn an_error_does_not_quote_the_password() {
        let error = ProxyChoice::parse(b"mode = \"proxy\"\naddress = \"a:1\"\npassword = \"s3cret\" x").unwrap_err();
        assert!(!error.contains("s3cret"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error_or_a_choice(bytes: Vec<u8>, text: String) {
            let _ = ProxyChoice::parse(&bytes);
            let _ = Proxy::parse(&text);
        }

        #[test]
        fn any_credentials_survive_the_file(user in "[^:\\p{C}]{1,20}", password in "\\P{C}{0,20}") {
            let proxy = Proxy::parse("proxy:1").unwrap().with_credentials(user, Some(password.into())).unwrap();
            let text = ProxyChoice::Through(Box::new(proxy.clone())).render().unwrap();
            let again = ProxyChoice::parse(text.as_bytes()).unwrap().towards("x", 1).unwrap();
            prop_assert_eq!(again.authorization(), proxy.authorization());
        }
    }
}
