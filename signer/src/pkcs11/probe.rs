//! What module and token are and can do, for an administrator. Needs no login.

use std::time::{SystemTime, UNIX_EPOCH};

use cryptoki::{
    object::{AttributeType, ObjectClass},
    session::Session,
    slot::TokenInfo,
    types::UtcTime,
};
use sealcard_signer_protocol::TokenReport;

use super::{
    attributes::Attributes,
    failure::{CallError, Problem, TokenError},
    find,
    module::Purpose,
    slots,
    token::Token,
};

/// Labels that are looked at, at most.
const LABELS: usize = 2000;

/// A clock that is off by more is worth a warning, in seconds.
const CLOCK_OFF: u64 = 300;

/// Words by which people call keys that are not for production.
const TEST_WORDS: [&str; 10] =
    ["test", "tests", "testing", "dev", "devel", "demo", "staging", "stage", "sandbox", "example"];

impl Token {
    /// Asks module and token what they are and can do. Needs no login and uses no key.
    ///
    /// # Errors
    /// If the module fails.
    pub fn probe(&self) -> Result<TokenReport, TokenError> {
        let (library, info) = {
            let _calling = self.module.calling(Purpose::Operation);
            let context = self.module.context();
            let library = context.get_library_info().map_err(CallError::from)?;
            (library, context.get_token_info(self.slot).map_err(CallError::from)?)
        };
        let labels = self.pool.with(&self.module, self.slot, |opened| labels(&opened.session))?;
        let mut warnings = warnings(&info);
        if self.module.is_serial() {
            warnings.push("the module does not lock by itself, so its calls are made one after the other".into());
        }
        if self.sessions() < usize::from(self.config_sessions) {
            warnings.push(format!(
                "the token has room for {} of the {} sessions configured",
                self.sessions(),
                self.config_sessions
            ));
        }
        warnings.extend(self.mechanisms.warnings());
        warnings.extend(mixed(&labels));
        Ok(TokenReport {
            module: self.path.clone(),
            library: format!("{} {}", slots::text(library.library_description()), library.library_version()),
            cryptoki: library.cryptoki_version().to_string(),
            label: slots::text(info.label()).to_owned(),
            manufacturer: slots::text(info.manufacturer_id()).to_owned(),
            model: slots::text(info.model()).to_owned(),
            serial: slots::text(info.serial_number()).to_owned(),
            hardware: info.hardware_version().to_string(),
            firmware: info.firmware_version().to_string(),
            max_sessions: info.max_session_count().into(),
            sessions: info.session_count(),
            min_pin: info.min_pin_length() as u64,
            max_pin: info.max_pin_length() as u64,
            flags: flags(&info),
            mechanisms: self.mechanisms.report(),
            algorithms: self.mechanisms.algorithms(self.rsa),
            warnings,
        })
    }
}

/// Labels of the keys that can be seen.
fn labels(session: &Session) -> Result<Vec<String>, Problem> {
    let mut labels = Vec::new();
    for class in [ObjectClass::PUBLIC_KEY, ObjectClass::PRIVATE_KEY] {
        for object in session.find_objects(&find::template(class, &[], None))?.into_iter().take(LABELS) {
            labels.extend(Attributes::read(session, object, &[AttributeType::Label])?.label());
        }
    }
    labels.sort();
    labels.dedup();
    Ok(labels)
}

/// Production keys and test keys in one place: a slip of the hand away from one another.
fn mixed(labels: &[String]) -> Option<String> {
    let (test, other): (Vec<&String>, Vec<&String>) = labels.iter().partition(|label| is_test(label));
    let (test, other) = (test.first()?, other.first()?);
    Some(format!(
        "keys that look like test keys ({test:?}) lie beside others ({other:?}): give production a token or \
         partition of its own"
    ))
}

fn is_test(label: &str) -> bool {
    label.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|word| TEST_WORDS.contains(&word))
}

fn warnings(info: &TokenInfo) -> Vec<String> {
    let told = [
        (info.user_pin_locked(), "the PIN is locked: the security officer must set a new one"),
        (info.user_pin_final_try(), "one attempt at the PIN is left: a configured PIN is not tried any more"),
        (info.user_pin_count_low(), "a wrong PIN was given since the last right one"),
        (info.user_pin_to_be_changed(), "the PIN must be changed before keys can be used"),
        (!info.user_pin_initialized(), "no PIN was set for the token's user"),
        (!info.login_required(), "the token wants no login: whoever can load the module can use its keys"),
        (
            info.protected_authentication_path(),
            "the token has a PIN pad of its own; a PIN that is configured may not be taken",
        ),
        (info.write_protected(), "the token is write-protected: no keys can be made or destroyed"),
        (!info.rng(), "the token has no random number generator of its own"),
        (info.error_state(), "the token failed a test of itself"),
    ];
    let mut warnings: Vec<String> = told.iter().filter(|(is, _)| *is).map(|(_, text)| (*text).to_owned()).collect();
    if let Some(clock) = info.utc_time()
        && let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH)
        && unix(&clock).abs_diff(now.as_secs()) > CLOCK_OFF
    {
        warnings.push(format!("the token's clock says {}", clock.as_iso8601_string()));
    }
    warnings
}

/// Seconds since 1970; 0 for times before.
fn unix(time: &UtcTime) -> u64 {
    // Days of the Gregorian calendar, years beginning in March.
    let (year, month) = (u64::from(time.year), u64::from(time.month));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.saturating_sub(1), month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + u64::from(time.day);
    let days = days.saturating_sub(719_469);
    ((days * 24 + u64::from(time.hour)) * 60 + u64::from(time.minute)) * 60 + u64::from(time.second)
}

fn flags(info: &TokenInfo) -> Vec<String> {
    let known = [
        ("CKF_RNG", info.rng()),
        ("CKF_WRITE_PROTECTED", info.write_protected()),
        ("CKF_LOGIN_REQUIRED", info.login_required()),
        ("CKF_USER_PIN_INITIALIZED", info.user_pin_initialized()),
        ("CKF_RESTORE_KEY_NOT_NEEDED", info.restore_key_not_needed()),
        ("CKF_CLOCK_ON_TOKEN", info.clock_on_token()),
        ("CKF_PROTECTED_AUTHENTICATION_PATH", info.protected_authentication_path()),
        ("CKF_DUAL_CRYPTO_OPERATIONS", info.dual_crypto_operations()),
        ("CKF_TOKEN_INITIALIZED", info.token_initialized()),
        ("CKF_SECONDARY_AUTHENTICATION", info.secondary_authentication()),
        ("CKF_USER_PIN_COUNT_LOW", info.user_pin_count_low()),
        ("CKF_USER_PIN_FINAL_TRY", info.user_pin_final_try()),
        ("CKF_USER_PIN_LOCKED", info.user_pin_locked()),
        ("CKF_USER_PIN_TO_BE_CHANGED", info.user_pin_to_be_changed()),
        ("CKF_SO_PIN_COUNT_LOW", info.so_pin_count_low()),
        ("CKF_SO_PIN_FINAL_TRY", info.so_pin_final_try()),
        ("CKF_SO_PIN_LOCKED", info.so_pin_locked()),
        ("CKF_SO_PIN_TO_BE_CHANGED", info.so_pin_to_be_changed()),
        ("CKF_ERROR_STATE", info.error_state()),
    ];
    known.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_keys_beside_others_draw_a_warning() {
        let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(mixed(&labels(&["release-2026", "test-key"])).is_some_and(|text| text.contains("test-key")));
        assert!(mixed(&labels(&["Release", "DEV signing"])).is_some());
        assert!(mixed(&labels(&["release-2026", "attestation", "latest", "device"])).is_none());
        assert!(mixed(&labels(&["test-1", "staging/2"])).is_none());
        assert!(mixed(&[]).is_none());
    }

    #[test]
    fn a_tokens_clock_is_read_as_the_calendar_has_it() {
        let time = |year, month, day, hour| UtcTime { year, month, day, hour, minute: 0, second: 1 };
        assert_eq!(unix(&time(1970, 1, 1, 0)), 1);
        assert_eq!(unix(&time(2000, 2, 29, 12)), 951_825_601);
        assert_eq!(unix(&time(2026, 11, 22, 0)), 1_795_305_601);
        assert_eq!(unix(&time(0, 0, 0, 0)), 1);
    }
}
