//! Notes for `sealcard last` what came of `sealcard sign`.

use sealcard_api::{Timestamp, ids::RequestId};
use sealcard_openpgp::SigningKey;

use crate::{
    cli::App,
    last::{self, LastOperation, OperationKind, Outcome},
    remote::RemoteError,
    scd::Failure,
};

/// A signature was made.
pub(super) fn success(app: &App, key: &SigningKey, request_id: Option<RequestId>) {
    save(app, LastOperation { request_id, ..operation(Some(key), Outcome::Ok) });
}

/// None was made.
pub(super) fn failure(app: &App, key: Option<&SigningKey>, error: &anyhow::Error) {
    let failed = operation(key, Outcome::Failed);
    let remote = error.chain().find_map(|cause| cause.downcast_ref::<RemoteError>()).map(Failure::from);
    save(
        app,
        match remote {
            Some(failure) => LastOperation {
                code: Some(failure.name),
                reason: Some(failure.reason),
                request_id: failure.request_id,
                advice: failure.advice,
                ..failed
            },
            None => LastOperation { reason: Some(format!("{error:#}")), ..failed },
        },
    );
}

fn operation(key: Option<&SigningKey>, outcome: Outcome) -> LastOperation {
    LastOperation {
        time: Timestamp::now(),
        operation: OperationKind::Sign,
        key: key.map(|key| key.name().to_owned()),
        fingerprint: key.map(SigningKey::fingerprint),
        outcome,
        code: None,
        gpg_error: None,
        reason: None,
        request_id: None,
        advice: None,
    }
}

fn save(app: &App, operation: LastOperation) {
    // A note that can't be written is no reason to fail.
    let _ = last::save(&app.paths.last_file(), &operation);
}
