//! The files of a workstation, and what it finds out about processes.

use sealcard_api::context::{Process, UseContext};
use sealcard_bridge::{
    claims::{clean_justification, command_line, environment_for_git, variable},
    config::{
        CertificateFingerprint, Config, Exceptions, Proxy, ProxyChoice,
        block::{has_block, without_block},
        pointer,
    },
    gpg::agent_conf::{scdaemon_program, socket_names, with_block},
    grant::Grant,
    remote::ServerUrl,
};

const PROGRAM: &str = "/usr/libexec/sealcard-scdaemon";

/// Reads bytes as each file of a workstation.
///
/// # Panics
///
/// When editing gpg-agent.conf loses or adds a byte, or something that was read does not survive being written.
pub fn workstation_files(bytes: &[u8]) {
    let _ = Grant::parse(bytes);
    let _ = ProxyChoice::parse(bytes);
    let _ = socket_names(bytes);
    let own = without_block(bytes);
    if !has_block(&own) {
        let edited = with_block(&own, PROGRAM, true);
        assert_eq!(without_block(&edited), own, "what was taken out differs");
        assert_eq!(with_block(&edited, PROGRAM, true), edited, "editing twice differs");
        assert_eq!(scdaemon_program(&edited).as_deref(), Some(PROGRAM), "another scdaemon would be started");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = pointer::parse(text);
    let _ = Exceptions::parse(text).cover("10.0.0.1", 443);
    if let Ok(proxy) = Proxy::parse(text) {
        assert!(Proxy::parse(&proxy.to_string()).is_ok(), "a proxy's address does not survive its text");
    }
    let _ = text.parse::<CertificateFingerprint>();
    if let Ok(config) = Config::parse(text) {
        let again = config.render().and_then(|text| Config::parse(&text));
        assert_eq!(again.as_ref(), Ok(&config), "a configuration does not survive its file");
    }
    if let Ok(url) = text.parse::<ServerUrl>() {
        assert_eq!(url.to_string().parse::<ServerUrl>().as_ref(), Ok(&url), "an address does not survive its text");
    }
}

/// Reads bytes as the command line and the environment of a process, and as the kernel's answer about sockets.
///
/// # Panics
///
/// When what was read is no claim that the server takes.
pub fn workstation_claims(bytes: &[u8]) {
    let _ = environment_for_git(bytes);
    let value = variable(bytes, "SEALCARD_JUSTIFICATION").unwrap_or(bytes);
    let process = Process { command: command_line(bytes), ..Process::default() };
    let justification = clean_justification(&String::from_utf8_lossy(value));
    let context = UseContext { host: None, processes: vec![process], justification };
    assert_eq!(context.check(), Ok(()), "the server would refuse a claim");
    #[cfg(target_os = "linux")]
    let _ = sealcard_bridge::os::parse_unix_diag(bytes, &mut Vec::new());
}
