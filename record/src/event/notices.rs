//! Channels for notices.

use serde::{Deserialize, Serialize};

use super::Subject;

/// Something was done with a channel for notices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeChannelAct {
    /// Its name in the server's configuration.
    pub channel: String,
}

impl Subject for NoticeChannelAct {}
