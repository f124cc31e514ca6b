//! What the server states of a use, for the signer's journal.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::LogHead;

/// Why a key is used, as the server states it. The signer can't check it, and writes it into its journal: whoever has
/// the journal and the record finds where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// The server's request.
    pub request: Uuid,
    /// Who asks for it. None if the server acts by itself.
    pub principal: Option<Uuid>,
    /// The grant that was shown.
    pub grant: Option<Uuid>,
    /// The end of the record at that time.
    pub record: Option<LogHead>,
}

impl Stated {
    /// What the server does by itself.
    #[must_use]
    pub const fn by_server(request: Uuid) -> Self {
        Self { request, principal: None, grant: None, record: None }
    }
}
