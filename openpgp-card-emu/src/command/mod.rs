//! The commands of the application (section 7.2): which there are, and a file for each group of them.

mod authenticate;
mod challenge;
mod data;
mod decipher;
mod environment;
mod generate;
mod parse;
mod select;
mod sign;
mod verify;

use iso7816::Status;
use zeroize::Zeroizing;

use crate::state::{Access, State};
use crate::{Card, KeyOperation};
use parse::Command;

/// A command after the transport is done with it: chained parts joined, lengths read.
pub(crate) struct Request<'a> {
    pub(crate) instruction: u8,
    pub(crate) p1: u8,
    pub(crate) p2: u8,
    pub(crate) data: &'a [u8],
    /// Bytes that the host expects (Ne); 0 where it said nothing.
    pub(crate) expected: usize,
}

/// How a command ended, or what it still needs.
pub(crate) enum Outcome {
    /// Success, with this answer.
    Done(Zeroizing<Vec<u8>>),
    /// Refused.
    Failed(Status),
    /// The private key is needed; `answer_bytes` is the result's length where it is known.
    Operation { operation: KeyOperation, answer_bytes: Option<usize> },
    /// Random bytes are needed.
    Random { bytes: usize },
}

impl Outcome {
    fn done(data: impl Into<Vec<u8>>) -> Result<Self, Status> {
        Ok(Self::Done(Zeroizing::new(data.into())))
    }

    fn success() -> Result<Self, Status> {
        Self::done([])
    }
}

/// Runs one command.
pub(crate) fn run(card: &mut Card, state: &mut State, request: &Request<'_>) -> Outcome {
    execute(card, state, request).unwrap_or_else(Outcome::Failed)
}

fn execute(card: &mut Card, state: &mut State, request: &Request<'_>) -> Result<Outcome, Status> {
    let command = Command::parse(request)?;
    if !state.selected && command != Command::Select {
        return Err(Status::ConditionsOfUseNotSatisfied);
    }
    match command {
        Command::Select => select::application(card, state, request.data),
        Command::SelectData { occurrence } => select::data(state, occurrence, request.data),
        Command::GetData { tag } => data::get(card, state, tag),
        Command::GetNextData { tag } => data::get_next(card, state, tag),
        Command::Verify { password } => verify::verify(card, state, password, request.data),
        Command::LogOut { password } => verify::log_out(card, state, password, request.data),
        Command::ComputeDigitalSignature => sign::compute(card, state, request.data),
        Command::Decipher => decipher::decipher(card, state, request.data),
        Command::InternalAuthenticate => authenticate::internal(card, state, request.data),
        Command::ReadPublicKey => generate::read_public_key(card, request.data),
        Command::GetChallenge => challenge::get(request.expected),
        Command::ManageSecurityEnvironment { role } => environment::choose(state, role, request.data),
        // No AES keys: Extended Capabilities (C0) says so.
        Command::Encipher => Err(Status::FunctionNotSupported),
        Command::PutData { tag } => data::put(card, state, tag),
        // What changes keys needs the administrator, and is refused even then: they come from elsewhere.
        Command::GenerateKey | Command::ResetRetryCounterByAdmin => {
            Access::Pw3.check(card, state)?;
            Err(Status::ConditionsOfUseNotSatisfied)
        }
        Command::ChangeReferenceData | Command::ResetRetryCounter => Err(Status::ConditionsOfUseNotSatisfied),
        // The historical bytes say that there is no life cycle management.
        Command::TerminateDf | Command::ActivateFile => Err(Status::InstructionNotSupportedOrInvalid),
    }
}
