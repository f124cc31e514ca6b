//! What an import says of each part of a key: taken or left out, why, and what helps.

use sealcard_api::{
    Fingerprint,
    algorithm::ComponentRole,
    import::{CertificatePart, ImportPlan, LeftOut, LeftOutReason, PlannedComponent},
};
use sealcard_openpgp_import::ExportedKey;

use crate::cli::{
    output::{BOLD, clean, count, note, warn},
    when,
};

/// Lists what is taken and what is left out.
pub(super) fn describe(exported: &ExportedKey, plan: &ImportPlan) {
    note(format!("{BOLD}{}{BOLD:#}  {}", plan.fingerprint, clean(&plan.user_id)));
    for PlannedComponent { role, algorithm, fingerprint, .. } in &plan.components {
        note(format!("  {:<12}  {:<13}  {fingerprint}", role.name(), algorithm.name()));
    }
    if let Some(expires) = plan.expires {
        note(format!("  expires {}", when::with_distance(expires)));
    }
    left_out(exported, &plan.left_out, |out| out.advice(plan.fingerprint));
    for component in &plan.components {
        warn_of_lost_uses(component, plan.fingerprint);
    }
    if plan.sha1 {
        warn_of_sha1(plan.fingerprint);
    }
}

/// Lists what of a file and its certificate is left out, and what helps.
pub(super) fn left_out(exported: &ExportedKey, by_server: &[LeftOut], help: impl Fn(&LeftOut) -> Option<String>) {
    if exported.others() > 0 {
        note(format!("The file also holds {}, which is not imported.", count(exported.others(), "public key")));
    }
    let all = exported.left_out().iter().chain(by_server);
    let (signatures, parts): (Vec<_>, Vec<_>) = all.partition(|out| out.part == CertificatePart::Signature);
    for out in parts {
        warn(format!("left out: {}", clean(&out.to_string())));
        if let Some(help) = help(out) {
            note(format!("  {help}"));
        }
    }
    let unsigned = signatures.iter().filter(|out| out.reason != LeftOutReason::Local).count();
    if unsigned > 0 {
        note(format!("Left out: {} that can't be verified.", count(unsigned, "signature")));
    }
}

/// gpg takes them, others don't.
pub(super) fn warn_of_sha1(key: Fingerprint) {
    warn(
        "the key's signatures about itself are made with SHA-1. gpg takes them; apt of Debian 13, rpm of Fedora and \
         other programs refuse the key",
    );
    note(format!(
        "  Renew them in gpg, then export and import again:\n  \
         gpg --cert-digest-algo SHA512 --quick-set-expire {key} 2y\n  \
         gpg --cert-digest-algo SHA512 --quick-set-expire {key} 2y '*'",
    ));
}

/// Whether every secret of the file is taken, for every use.
pub(super) fn is_complete(exported: &ExportedKey, plan: &ImportPlan) -> bool {
    let mut left_out = exported.left_out().iter().chain(&plan.left_out);
    !left_out
        .any(|out| matches!(out.part, CertificatePart::PrimaryKey | CertificatePart::Subkey | CertificatePart::Packet))
        && plan.components.iter().all(|component| component.lost_uses.is_empty())
}

pub(super) fn warn_of_lost_uses(component: &PlannedComponent, key: Fingerprint) {
    for lost in &component.lost_uses {
        let (use_, usage) = match lost {
            ComponentRole::Authenticate => ("authenticates (ssh)", "auth"),
            ComponentRole::Decrypt => ("decrypts", "encr"),
            ComponentRole::Sign => ("signs", "sign"),
            ComponentRole::Certify => continue,
        };
        let algorithm = match lost {
            ComponentRole::Decrypt => "cv25519",
            _ => "ed25519",
        };
        warn(format!(
            "{} also {use_} elsewhere. Here each key has one use, and this one is for: {}",
            component.fingerprint,
            component.role.name()
        ));
        note(format!("  Add a subkey for it in gpg, then export again: gpg --quick-add-key {key} {algorithm} {usage}"));
    }
}
