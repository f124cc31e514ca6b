//! From instruction and parameters to a command: the only place that reads INS, P1 and P2.

use iso7816::Status;

use super::Request;
use crate::Slot;

/// Every command of section 7.2 but GET RESPONSE, which belongs to the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Select,
    SelectData { occurrence: u8 },
    GetData { tag: u16 },
    GetNextData { tag: u16 },
    Verify { password: PasswordMode },
    LogOut { password: PasswordMode },
    ComputeDigitalSignature,
    Decipher,
    Encipher,
    InternalAuthenticate,
    ReadPublicKey,
    GenerateKey,
    GetChallenge,
    ManageSecurityEnvironment { role: Slot },
    PutData { tag: u16 },
    ChangeReferenceData,
    ResetRetryCounter,
    ResetRetryCounterByAdmin,
    TerminateDf,
    ActivateFile,
}

impl Command {
    /// # Errors
    /// 6D00 for an unknown instruction, 6B00 for parameters that it does not have.
    pub(crate) fn parse(request: &Request<'_>) -> Result<Self, Status> {
        let (p1, p2) = (request.p1, request.p2);
        let tag = u16::from_be_bytes([p1, p2]);
        Ok(match (request.instruction, p1, p2) {
            // P2 0C: the host wants no file control information; there is none either way.
            (0xA4, 0x04, 0x00 | 0x0C) => Self::Select,
            // Selection of files by name or path, as probing hosts try it: there are none.
            (0xA4, ..) => return Err(Status::NotFound),
            (0xA5, occurrence, 0x04) => Self::SelectData { occurrence },
            (0xCA, ..) => Self::GetData { tag },
            (0xCC, ..) => Self::GetNextData { tag },
            (0x20, 0x00, _) => Self::Verify { password: PasswordMode::from_byte(p2)? },
            (0x20, 0xFF, _) => Self::LogOut { password: PasswordMode::from_byte(p2)? },
            (0x2A, 0x9E, 0x9A) => Self::ComputeDigitalSignature,
            (0x2A, 0x80, 0x86) => Self::Decipher,
            (0x2A, 0x86, 0x80) => Self::Encipher,
            (0x88, 0x00, 0x00) => Self::InternalAuthenticate,
            (0x47, 0x81, 0x00) => Self::ReadPublicKey,
            (0x47, 0x80, 0x00) => Self::GenerateKey,
            (0x84, 0x00, 0x00) => Self::GetChallenge,
            (0x22, 0x41, 0xA4) => Self::ManageSecurityEnvironment { role: Slot::Authenticate },
            (0x22, 0x41, 0xB8) => Self::ManageSecurityEnvironment { role: Slot::Decrypt },
            (0xDA, ..) => Self::PutData { tag },
            // An extended header list, which imports a key.
            (0xDB, 0x3F, 0xFF) => Self::PutData { tag: 0x004D },
            (0x24, 0x00, 0x81 | 0x83) => Self::ChangeReferenceData,
            (0x2C, 0x00, 0x81) => Self::ResetRetryCounter,
            (0x2C, 0x02, 0x81) => Self::ResetRetryCounterByAdmin,
            (0xE6, 0x00, 0x00) => Self::TerminateDf,
            (0x44, 0x00, 0x00) => Self::ActivateFile,
            (0x20 | 0x22 | 0x24 | 0x2A | 0x2C | 0x44 | 0x47 | 0x84 | 0x88 | 0xA5 | 0xDB | 0xE6, ..) => {
                return Err(Status::WrongParameters);
            }
            _ => return Err(Status::InstructionNotSupportedOrInvalid),
        })
    }
}

/// What VERIFY's P2 names: a password and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasswordMode {
    Pw1Sign,
    Pw1Other,
    Pw3,
}

impl PasswordMode {
    fn from_byte(p2: u8) -> Result<Self, Status> {
        match p2 {
            0x81 => Ok(Self::Pw1Sign),
            0x82 => Ok(Self::Pw1Other),
            0x83 => Ok(Self::Pw3),
            _ => Err(Status::WrongParameters),
        }
    }
}
