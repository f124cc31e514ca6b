//! Certificates of TLS that end soon: the server's own, and the authorities that this machine recognises it by.

use sealcard_api::{Timestamp, life::on_day};

use super::{App, output::clean};
use crate::{
    config::{CertificateFacts, Config, Trust},
    remote::{RemoteError, ServerUrl, observe},
};

/// What the server shows, without judging it.
pub(super) async fn of_server(app: &App, config: &Config) -> Result<Option<CertificateFacts>, RemoteError> {
    let Ok(server) = config.server.parse::<ServerUrl>() else { return Ok(None) };
    Ok(Some(observe(&app.route(&server)?).await?.certificate()))
}

/// What ends soon, and what to do. One sentence each.
pub(super) fn warnings(app: &App, config: &Config, own: Option<&CertificateFacts>, now: Timestamp) -> Vec<String> {
    let server = &config.server;
    let mut warnings = Vec::new();
    if let Some(end) = own.and_then(|certificate| certificate.near_end(now)) {
        let then = match config.trust {
            Trust::Certificate { .. } => "; run `sealcard trust` once it has been renewed",
            _ => "",
        };
        let when = on_day(end, now);
        warnings.push(format!("the certificate of {server} expires {when}: tell the server's administrator{then}"));
    }
    for authority in config.trust.authorities(&app.paths.in_use()) {
        if let Some(end) = authority.near_end(now) {
            let (name, when) = (clean(&authority.name), on_day(end, now));
            warnings.push(format!(
                "the authority {name}, which vouches for {server}, expires {when}: get the new one from the \
                 server's administrator and run `sealcard trust --ca-file FILE`"
            ));
        }
    }
    warnings
}
