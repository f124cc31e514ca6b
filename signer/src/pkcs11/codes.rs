//! What each return code of a module means for the worker: one table.

use cryptoki::error::RvError;

/// What is to be done about a return code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The module or the token is out of order: only a new process can be trusted.
    Fatal,
    /// The session is gone or out of step: another one may do.
    Session,
    /// Nobody is logged in any more.
    Login,
    /// The object's handle does not fit any more: find the object again.
    Handle,
    /// The token has no room for another session.
    Full,
    /// The PIN was refused, or can't be used.
    Pin,
    /// The token does not do that, or not with these parameters.
    Unsupported,
    /// A template is not to the token's liking: another one may be.
    Template,
    /// The data are not what the mechanism takes: a ciphertext that does not decrypt.
    Data,
    /// Everything else.
    Other,
}

/// Code, its name in `pkcs11t.h`, what is to be done.
const TABLE: &[(RvError, &str, Class)] = &[
    // The module or the token is out of order.
    (RvError::CryptokiNotInitialized, "CKR_CRYPTOKI_NOT_INITIALIZED", Class::Fatal),
    (RvError::DeviceError, "CKR_DEVICE_ERROR", Class::Fatal),
    (RvError::DeviceRemoved, "CKR_DEVICE_REMOVED", Class::Fatal),
    (RvError::FipsSelfTestFailed, "CKR_FIPS_SELF_TEST_FAILED", Class::Fatal),
    (RvError::GeneralError, "CKR_GENERAL_ERROR", Class::Fatal),
    (RvError::HostMemory, "CKR_HOST_MEMORY", Class::Fatal),
    (RvError::LibraryLoadFailed, "CKR_LIBRARY_LOAD_FAILED", Class::Fatal),
    (RvError::MutexBad, "CKR_MUTEX_BAD", Class::Fatal),
    (RvError::MutexNotLocked, "CKR_MUTEX_NOT_LOCKED", Class::Fatal),
    (RvError::SlotIdInvalid, "CKR_SLOT_ID_INVALID", Class::Fatal),
    (RvError::TokenNotPresent, "CKR_TOKEN_NOT_PRESENT", Class::Fatal),
    (RvError::TokenNotRecognized, "CKR_TOKEN_NOT_RECOGNIZED", Class::Fatal),
    // The session is gone or out of step.
    (RvError::OperationActive, "CKR_OPERATION_ACTIVE", Class::Session),
    (RvError::OperationNotInitialized, "CKR_OPERATION_NOT_INITIALIZED", Class::Session),
    (RvError::SessionClosed, "CKR_SESSION_CLOSED", Class::Session),
    (RvError::SessionHandleInvalid, "CKR_SESSION_HANDLE_INVALID", Class::Session),
    (RvError::UserNotLoggedIn, "CKR_USER_NOT_LOGGED_IN", Class::Login),
    (RvError::KeyChanged, "CKR_KEY_CHANGED", Class::Handle),
    (RvError::KeyHandleInvalid, "CKR_KEY_HANDLE_INVALID", Class::Handle),
    (RvError::ObjectHandleInvalid, "CKR_OBJECT_HANDLE_INVALID", Class::Handle),
    (RvError::SessionCount, "CKR_SESSION_COUNT", Class::Full),
    // The PIN.
    (RvError::PinExpired, "CKR_PIN_EXPIRED", Class::Pin),
    (RvError::PinIncorrect, "CKR_PIN_INCORRECT", Class::Pin),
    (RvError::PinInvalid, "CKR_PIN_INVALID", Class::Pin),
    (RvError::PinLenRange, "CKR_PIN_LEN_RANGE", Class::Pin),
    (RvError::PinLocked, "CKR_PIN_LOCKED", Class::Pin),
    (RvError::PinTooWeak, "CKR_PIN_TOO_WEAK", Class::Pin),
    (RvError::UserPinNotInitialized, "CKR_USER_PIN_NOT_INITIALIZED", Class::Pin),
    // The token does not do that.
    (RvError::FunctionNotSupported, "CKR_FUNCTION_NOT_SUPPORTED", Class::Unsupported),
    (RvError::KeyFunctionNotPermitted, "CKR_KEY_FUNCTION_NOT_PERMITTED", Class::Unsupported),
    (RvError::KeySizeRange, "CKR_KEY_SIZE_RANGE", Class::Unsupported),
    (RvError::KeyTypeInconsistent, "CKR_KEY_TYPE_INCONSISTENT", Class::Unsupported),
    (RvError::MechanismInvalid, "CKR_MECHANISM_INVALID", Class::Unsupported),
    (RvError::SessionReadOnly, "CKR_SESSION_READ_ONLY", Class::Unsupported),
    (RvError::TokenWriteProtected, "CKR_TOKEN_WRITE_PROTECTED", Class::Unsupported),
    // Another template may do.
    (RvError::ArgumentsBad, "CKR_ARGUMENTS_BAD", Class::Template),
    (RvError::AttributeReadOnly, "CKR_ATTRIBUTE_READ_ONLY", Class::Template),
    (RvError::AttributeTypeInvalid, "CKR_ATTRIBUTE_TYPE_INVALID", Class::Template),
    (RvError::AttributeValueInvalid, "CKR_ATTRIBUTE_VALUE_INVALID", Class::Template),
    (RvError::CurveNotSupported, "CKR_CURVE_NOT_SUPPORTED", Class::Template),
    (RvError::DomainParamsInvalid, "CKR_DOMAIN_PARAMS_INVALID", Class::Template),
    (RvError::MechanismParamInvalid, "CKR_MECHANISM_PARAM_INVALID", Class::Template),
    (RvError::TemplateIncomplete, "CKR_TEMPLATE_INCOMPLETE", Class::Template),
    (RvError::TemplateInconsistent, "CKR_TEMPLATE_INCONSISTENT", Class::Template),
    // The data do not fit.
    (RvError::DataInvalid, "CKR_DATA_INVALID", Class::Data),
    (RvError::DataLenRange, "CKR_DATA_LEN_RANGE", Class::Data),
    (RvError::EncryptedDataInvalid, "CKR_ENCRYPTED_DATA_INVALID", Class::Data),
    (RvError::EncryptedDataLenRange, "CKR_ENCRYPTED_DATA_LEN_RANGE", Class::Data),
    (RvError::PublicKeyInvalid, "CKR_PUBLIC_KEY_INVALID", Class::Data),
    // Everything else.
    (RvError::ActionProhibited, "CKR_ACTION_PROHIBITED", Class::Other),
    (RvError::AttributeSensitive, "CKR_ATTRIBUTE_SENSITIVE", Class::Other),
    (RvError::BufferTooSmall, "CKR_BUFFER_TOO_SMALL", Class::Other),
    (RvError::Cancel, "CKR_CANCEL", Class::Other),
    (RvError::CantLock, "CKR_CANT_LOCK", Class::Other),
    (RvError::CryptokiAlreadyInitialized, "CKR_CRYPTOKI_ALREADY_INITIALIZED", Class::Other),
    (RvError::DeviceMemory, "CKR_DEVICE_MEMORY", Class::Other),
    (RvError::ExceededMaxIterations, "CKR_EXCEEDED_MAX_ITERATIONS", Class::Other),
    (RvError::FunctionCanceled, "CKR_FUNCTION_CANCELED", Class::Other),
    (RvError::FunctionFailed, "CKR_FUNCTION_FAILED", Class::Other),
    (RvError::FunctionNotParallel, "CKR_FUNCTION_NOT_PARALLEL", Class::Other),
    (RvError::FunctionRejected, "CKR_FUNCTION_REJECTED", Class::Other),
    (RvError::InformationSensitive, "CKR_INFORMATION_SENSITIVE", Class::Other),
    (RvError::KeyIndigestible, "CKR_KEY_INDIGESTIBLE", Class::Other),
    (RvError::KeyNeeded, "CKR_KEY_NEEDED", Class::Other),
    (RvError::KeyNotNeeded, "CKR_KEY_NOT_NEEDED", Class::Other),
    (RvError::KeyNotWrappable, "CKR_KEY_NOT_WRAPPABLE", Class::Other),
    (RvError::KeyUnextractable, "CKR_KEY_UNEXTRACTABLE", Class::Other),
    (RvError::NeedToCreateThreads, "CKR_NEED_TO_CREATE_THREADS", Class::Other),
    (RvError::NewPinMode, "CKR_NEW_PIN_MODE", Class::Other),
    (RvError::NextOtp, "CKR_NEXT_OTP", Class::Other),
    (RvError::NoEvent, "CKR_NO_EVENT", Class::Other),
    (RvError::RandomNoRng, "CKR_RANDOM_NO_RNG", Class::Other),
    (RvError::RandomSeedNotSupported, "CKR_RANDOM_SEED_NOT_SUPPORTED", Class::Other),
    (RvError::SavedStateInvalid, "CKR_SAVED_STATE_INVALID", Class::Other),
    (RvError::SessionExists, "CKR_SESSION_EXISTS", Class::Other),
    (RvError::SessionParallelNotSupported, "CKR_SESSION_PARALLEL_NOT_SUPPORTED", Class::Other),
    (RvError::SessionReadOnlyExists, "CKR_SESSION_READ_ONLY_EXISTS", Class::Other),
    (RvError::SessionReadWriteSoExists, "CKR_SESSION_READ_WRITE_SO_EXISTS", Class::Other),
    (RvError::SignatureInvalid, "CKR_SIGNATURE_INVALID", Class::Other),
    (RvError::SignatureLenRange, "CKR_SIGNATURE_LEN_RANGE", Class::Other),
    (RvError::StateUnsaveable, "CKR_STATE_UNSAVEABLE", Class::Other),
    (RvError::UnwrappingKeyHandleInvalid, "CKR_UNWRAPPING_KEY_HANDLE_INVALID", Class::Other),
    (RvError::UnwrappingKeySizeRange, "CKR_UNWRAPPING_KEY_SIZE_RANGE", Class::Other),
    (RvError::UnwrappingKeyTypeInconsistent, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT", Class::Other),
    (RvError::UserAlreadyLoggedIn, "CKR_USER_ALREADY_LOGGED_IN", Class::Other),
    (RvError::UserAnotherAlreadyLoggedIn, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN", Class::Other),
    (RvError::UserTooManyTypes, "CKR_USER_TOO_MANY_TYPES", Class::Other),
    (RvError::UserTypeInvalid, "CKR_USER_TYPE_INVALID", Class::Other),
    (RvError::WrappedKeyInvalid, "CKR_WRAPPED_KEY_INVALID", Class::Other),
    (RvError::WrappedKeyLenRange, "CKR_WRAPPED_KEY_LEN_RANGE", Class::Other),
    (RvError::WrappingKeyHandleInvalid, "CKR_WRAPPING_KEY_HANDLE_INVALID", Class::Other),
    (RvError::WrappingKeySizeRange, "CKR_WRAPPING_KEY_SIZE_RANGE", Class::Other),
    (RvError::WrappingKeyTypeInconsistent, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT", Class::Other),
];

/// What is to be done about a return code. A vendor's own code says nothing that could be known here.
pub(super) fn class(code: RvError) -> Class {
    TABLE.iter().find(|(known, _, _)| *known == code).map_or(Class::Other, |(_, _, class)| *class)
}

/// The code's name as the standard writes it; a vendor's as a number.
pub(super) fn name(code: RvError) -> String {
    match code {
        RvError::VendorDefined(number) | RvError::UnknownErrorCode(number) => format!("CKR 0x{number:08X}"),
        _ => TABLE
            .iter()
            .find(|(known, _, _)| *known == code)
            .map_or_else(|| format!("{code:?}"), |(_, name, _)| (*name).to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use cryptoki::error::Rv;

    use super::*;

    /// The codes of the standard, by number (PKCS#11 3.1, `pkcs11t.h`), and what is to be done about each: written down
    /// a second time, by hand, so that a slip in the table shows.
    const EXPECTED: &[(Class, &[u64])] = &[
        (Class::Fatal, &[0x02, 0x03, 0x05, 0x30, 0x32, 0xE0, 0xE1, 0x190, 0x1A0, 0x1A1, 0x1B6, 0x1B7]),
        (Class::Session, &[0x90, 0x91, 0xB0, 0xB3]),
        (Class::Login, &[0x101]),
        (Class::Handle, &[0x60, 0x65, 0x82]),
        (Class::Full, &[0xB1]),
        (Class::Pin, &[0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0x102, 0x1B8]),
        (Class::Unsupported, &[0x54, 0x62, 0x63, 0x68, 0x70, 0xB5, 0xE2]),
        (Class::Template, &[0x07, 0x10, 0x12, 0x13, 0x71, 0xD0, 0xD1, 0x130, 0x140]),
        (Class::Data, &[0x20, 0x21, 0x40, 0x41, 0x1B9]),
        (
            Class::Other,
            &[
                0x01, 0x06, 0x08, 0x09, 0x0A, 0x11, 0x1B, 0x31, 0x50, 0x51, 0x64, 0x66, 0x67, 0x69, 0x6A, 0xB4, 0xB6,
                0xB7, 0xB8, 0xC0, 0xC1, 0xF0, 0xF1, 0xF2, 0x100, 0x103, 0x104, 0x105, 0x110, 0x112, 0x113, 0x114,
                0x115, 0x120, 0x121, 0x150, 0x160, 0x170, 0x180, 0x191, 0x1B0, 0x1B1, 0x1B5, 0x200,
            ],
        ),
    ];

    #[test]
    fn every_row_has_its_class_and_name() {
        let mut rows = 0;
        for (expected, numbers) in EXPECTED {
            for number in *numbers {
                let Rv::Error(code) = Rv::from(*number) else { panic!("{number:#x} is success") };
                assert_eq!(class(code), *expected, "{number:#x} {code:?}");
                // CKR_SESSION_CLOSED for SessionClosed.
                let letters: String = name(code).replace("CKR_", "").replace('_', "").to_lowercase();
                assert_eq!(letters, format!("{code:?}").to_lowercase(), "{number:#x}");
                rows += 1;
            }
        }
        assert_eq!(rows, TABLE.len(), "every row of the table is in the list");
    }

    #[test]
    fn no_code_stands_in_the_table_twice() {
        for (place, (code, name, _)) in TABLE.iter().enumerate() {
            assert!(
                TABLE.iter().skip(place + 1).all(|(other, other_name, _)| other != code && other_name != name),
                "{name}"
            );
        }
    }

    #[test]
    fn a_vendors_code_is_named_by_its_number() {
        assert_eq!(name(RvError::VendorDefined(0x8000_0001)), "CKR 0x80000001");
        assert_eq!(class(RvError::VendorDefined(0x8000_0001)), Class::Other);
    }
}
