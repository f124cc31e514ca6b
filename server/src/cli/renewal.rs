//! Renewing the server's certificate while it serves.

use std::{path::PathBuf, sync::Arc, time::Duration};

use time::OffsetDateTime;

use crate::tls::{self, Renewal, ServerTls};

/// How often it is looked whether the certificate ends soon.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(3600);

/// The files of the server's certificate and key.
pub(super) struct Pair {
    pub(super) data: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Pair {
    /// Renews the certificate as long as the server runs, and takes it up.
    pub(super) async fn keep_renewed(self, tls: Arc<ServerTls>) {
        loop {
            tokio::time::sleep(RENEWAL_INTERVAL).await;
            if self.renew().await
                && let Err(error) = tls.reload()
            {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::error!(error, "the renewed certificate can't be used, the earlier one stays");
            }
        }
    }

    /// Renews the certificate if it ends soon and the server's own authority has issued it. Whether there is a new one.
    pub(super) async fn renew(&self) -> bool {
        let (data, certificate, key) = (self.data.clone(), self.certificate.clone(), self.key.clone());
        let renewed = tokio::task::spawn_blocking(move || {
            tls::renew_if_due(&data, &certificate, &key, OffsetDateTime::now_utc())
        });
        match renewed.await {
            Ok(Ok(Renewal::Renewed { expires })) => {
                tracing::info!(expires = %expires.date(), "the server's certificate has been renewed");
                true
            }
            Ok(Ok(Renewal::AuthorityEnds { expires })) => {
                tracing::error!(expires = %expires.date(), "the server's own certificate authority ends: make a new \
                    one");
                false
            }
            Ok(Ok(Renewal::NotDue | Renewal::NotOurs)) => false,
            Ok(Err(error)) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::error!(error, "the server's certificate ends soon and can't be renewed");
                false
            }
            // The server stops.
            Err(_) => false,
        }
    }
}
