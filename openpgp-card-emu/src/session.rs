//! One client's view of the card: transport (chaining, long responses), security state and the operation under way.

use std::fmt;

use iso7816::Status;
use iso7816::command::{CommandView, FromSliceError, class::Class};
use zeroize::Zeroizing;

use crate::command::{self, Outcome, Request};
use crate::data::MAX_APDU_BYTES;
use crate::state::State;
use crate::{Card, KeyOperation, OperationError};

/// One client's connection to a [`Card`]: what it verified and chose, and what it is waiting for.
///
/// Sessions share nothing but the card: a password verified in one says nothing in another.
#[derive(Default)]
pub struct Session {
    pub(crate) state: State,
    chain: Option<Chain>,
    response: Option<LongResponse>,
    pending: Option<Pending>,
}

impl Session {
    /// A session in the state after a card's reset: no application selected, nothing verified.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one command APDU. Whatever the bytes are, the answer ends in a status word.
    ///
    /// While an operation is under way every command is answered with 6985, and the operation goes on.
    pub fn command(&mut self, card: &mut Card, apdu: &[u8]) -> Step {
        if self.pending.is_some() {
            return Step::status(Status::ConditionsOfUseNotSatisfied);
        }
        let view = match read_apdu(apdu) {
            Ok(view) => view,
            Err(status) => {
                self.chain = None;
                return Step::status(status);
            }
        };
        if let Err(status) = check_class(view.class()) {
            self.chain = None;
            return Step::status(status);
        }
        if u8::from(view.instruction()) == GET_RESPONSE {
            return Step::Reply(self.continue_response(&view));
        }
        self.response = None;
        let header = Header::of(&view);
        let data = match self.collect(header, &view) {
            Ok(Some(data)) => data,
            Ok(None) => return Step::status(Status::Success),
            Err(status) => return Step::status(status),
        };
        let limit = ResponseLimit::of(&view);
        let request = Request {
            instruction: header.instruction,
            p1: header.p1,
            p2: header.p2,
            data: &data,
            expected: view.expected(),
        };
        match command::run(card, &mut self.state, &request) {
            Outcome::Done(data) => Step::Reply(self.respond(data, limit)),
            Outcome::Failed(status) => Step::status(status),
            Outcome::Operation { operation, answer_bytes } => {
                let signs = matches!(operation, KeyOperation::Sign(_));
                self.pending = Some(Pending { limit, answer_bytes, counts: signs });
                Step::Operation(operation)
            }
            Outcome::Random { bytes } => {
                self.pending = Some(Pending { limit, answer_bytes: Some(bytes), counts: false });
                Step::Random { bytes }
            }
        }
    }

    /// Hands over the result of the operation that [`Session::command`] asked for and gives the response APDU.
    ///
    /// A result of the wrong length becomes 6F00. Without an operation under way (after [`Session::reset`], say) the
    /// result is dropped and the answer is 6985. The result of an aborted operation must not be handed over once
    /// another has begun.
    pub fn complete(&mut self, card: &mut Card, result: Result<Vec<u8>, OperationError>) -> Vec<u8> {
        let result = result.map(Zeroizing::new);
        let Some(pending) = self.pending.take() else {
            return status_bytes(Status::ConditionsOfUseNotSatisfied);
        };
        let data = match result {
            Ok(data) => data,
            Err(error) => return status_bytes(error.status()),
        };
        if pending.answer_bytes.is_some_and(|bytes| bytes != data.len()) {
            return status_bytes(Status::UnspecifiedCheckingError);
        }
        if pending.counts {
            card.count_signature();
        }
        self.respond(data, pending.limit)
    }

    /// Whether an operation is under way.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Gives the operation under way up; the answer for the client is 6400. Everything else stays.
    pub fn abort(&mut self) -> Vec<u8> {
        match self.pending.take() {
            Some(_) => status_bytes(OperationError::Unavailable.status()),
            None => status_bytes(Status::ConditionsOfUseNotSatisfied),
        }
    }

    /// What a reset or a loss of power does: back to the state of [`Session::new`].
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Joins the parts of a chained command (ISO 7816-4 section 5.3.3). `None`: more parts follow.
    fn collect(&mut self, header: Header, view: &CommandView<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, Status> {
        let last = view.class().chain().last_or_only();
        let mut data = match self.chain.take() {
            Some(chain) if chain.header == header => chain.data,
            // A new client begins with SELECT; it need not know that the one before vanished in the middle.
            Some(_) if header.instruction != SELECT => return Err(Status::LastCommandOfChainExpected),
            _ => Zeroizing::new(Vec::new()),
        };
        if data.len().saturating_add(view.data().len()) > MAX_APDU_BYTES {
            return Err(Status::WrongLength);
        }
        extend(&mut data, view.data());
        if last {
            return Ok(Some(data));
        }
        self.chain = Some(Chain { header, data });
        Ok(None)
    }

    fn respond(&mut self, data: Zeroizing<Vec<u8>>, limit: ResponseLimit) -> Vec<u8> {
        self.response = Some(LongResponse { data, sent: 0 });
        self.next_part(limit)
    }

    fn continue_response(&mut self, view: &CommandView<'_>) -> Vec<u8> {
        self.chain = None;
        if (view.p1, view.p2) != (0, 0) {
            return status_bytes(Status::WrongParameters);
        }
        if self.response.is_none() {
            return status_bytes(Status::ConditionsOfUseNotSatisfied);
        }
        self.next_part(ResponseLimit::of(view))
    }

    /// As much of the response as fits, with 61xx when more is left (section 7.2.17).
    fn next_part(&mut self, limit: ResponseLimit) -> Vec<u8> {
        let Some(mut response) = self.response.take() else {
            return status_bytes(Status::ConditionsOfUseNotSatisfied);
        };
        let rest = response.data.get(response.sent..).unwrap_or_default();
        let (part, left) = rest.split_at_checked(limit.0).unwrap_or((rest, &[]));
        let status = match u8::try_from(left.len()) {
            Ok(0) => Status::Success,
            Ok(few) => Status::MoreAvailable(few),
            Err(_) => Status::MoreAvailable(0),
        };
        let mut apdu = Vec::with_capacity(part.len().saturating_add(2));
        apdu.extend(part);
        apdu.extend(u16::from(status).to_be_bytes());
        if !left.is_empty() {
            response.sent = response.sent.saturating_add(part.len());
            self.response = Some(response);
        }
        apdu
    }
}

impl fmt::Debug for Session {
    // Without the buffers: a chained command may be a password, a response a session key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("state", &self.state).field("pending", &self.pending).finish_non_exhaustive()
    }
}

/// What [`Session::command`] asks of its caller.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// The response APDU is this.
    Reply(Vec<u8>),
    /// Perform this with the private key, then call [`Session::complete`].
    Operation(KeyOperation),
    /// Call [`Session::complete`] with this many random bytes: the card has no source of its own.
    Random {
        /// How many.
        bytes: usize,
    },
}

impl Step {
    fn status(status: Status) -> Self {
        Self::Reply(status_bytes(status))
    }
}

impl fmt::Debug for Step {
    // A reply without its data: they may be a session key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(response) => {
                let (data, status) = response.split_last_chunk::<2>().unwrap_or((&[], &[0, 0]));
                write!(f, "Reply({} bytes, {:04X})", data.len(), u16::from_be_bytes(*status))
            }
            Self::Operation(operation) => f.debug_tuple("Operation").field(operation).finish(),
            Self::Random { bytes } => f.debug_struct("Random").field("bytes", bytes).finish(),
        }
    }
}

struct Chain {
    header: Header,
    data: Zeroizing<Vec<u8>>,
}

struct LongResponse {
    data: Zeroizing<Vec<u8>>,
    sent: usize,
}

#[derive(Debug)]
struct Pending {
    limit: ResponseLimit,
    /// How long the result must be, where that is known.
    answer_bytes: Option<usize>,
    /// Whether success counts as a signature.
    counts: bool,
}

/// What must be the same in all parts of a chained command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    instruction: u8,
    p1: u8,
    p2: u8,
}

impl Header {
    fn of(view: &CommandView<'_>) -> Self {
        Self { instruction: view.instruction().into(), p1: view.p1, p2: view.p2 }
    }
}

/// How many bytes of data a response may carry.
#[derive(Debug, Clone, Copy)]
struct ResponseLimit(usize);

impl ResponseLimit {
    /// A host that leaves Le out of a command that has an answer wants all that the form allows.
    fn of(view: &CommandView<'_>) -> Self {
        match (view.expected(), view.extended) {
            (0, false) => Self(256),
            (0, true) => Self(MAX_APDU_BYTES),
            (expected, _) => Self(expected.min(MAX_APDU_BYTES)),
        }
    }
}

fn read_apdu(apdu: &[u8]) -> Result<CommandView<'_>, Status> {
    if apdu.len() > MAX_APDU_BYTES {
        return Err(Status::WrongLength);
    }
    CommandView::try_from(apdu).map_err(|error| match error {
        FromSliceError::InvalidClass => Status::ClassNotSupported,
        _ => Status::WrongLength,
    })
}

/// Only the basic logical channel, without secure messaging.
fn check_class(class: Class) -> Result<(), Status> {
    match class.into_inner() {
        CLA | CLA_CHAINED => Ok(()),
        cla if cla & 0xE0 != 0 => Err(Status::ClassNotSupported),
        cla if cla & 0x03 != 0 => Err(Status::LogicalChannelNotSupported),
        _ => Err(Status::SecureMessagingNotSupported),
    }
}

/// Appends without leaving a copy of a password behind in memory that a growing vector gives back.
fn extend(data: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    if data.capacity().saturating_sub(data.len()) < more.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity(data.len().saturating_add(more.len()).saturating_mul(2)));
        larger.extend_from_slice(data);
        *data = larger;
    }
    data.extend_from_slice(more);
}

fn status_bytes(status: Status) -> Vec<u8> {
    u16::from(status).to_be_bytes().to_vec()
}

impl OperationError {
    fn status(self) -> Status {
        match self {
            Self::Denied => Status::SecurityStatusNotSatisfied,
            Self::Unavailable => Status::UnspecifiedNonpersistentExecutionError,
            Self::WrongData => Status::IncorrectDataParameter,
        }
    }
}

const CLA: u8 = 0x00;
const CLA_CHAINED: u8 = 0x10;
const SELECT: u8 = 0xA4;
const GET_RESPONSE: u8 = 0xC0;
