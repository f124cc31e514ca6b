//! One id type for each noun. All are UUIDs of version 7 (RFC 9562), so they sort by time of creation.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id of the present time.
            #[must_use]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// A user or a service account: whoever can hold a grant.
    PrincipalId
);
id!(
    /// A group of principals.
    GroupId
);
id!(
    /// A project: keys, members and rules of one product or team.
    ProjectId
);
id!(
    /// A configured key source.
    EnvironmentId
);
id!(
    /// A signing key: one OpenPGP certificate and its card.
    KeyId
);
id!(
    /// One component key (primary key or subkey) of a signing key.
    ComponentId
);
id!(
    /// What a workstation holds after `login`.
    GrantId
);
id!(
    /// A token of a service account.
    ServiceTokenId
);
id!(
    /// An approval that was asked for, whatever became of it.
    ApprovalId
);
id!(
    /// One HTTP request, as it stands in the record, the logs and in every problem.
    RequestId
);

id!(
    /// A notice that people are told by mail or in a channel.
    NoticeId
);

macro_rules! first_of {
    ($($name:ident),+) => {$(
        impl $name {
            /// The smallest id of this time: all ids that were made earlier are smaller.
            #[must_use]
            pub fn first_of(time: Timestamp) -> Self {
                let milliseconds = time.unix().max(0).cast_unsigned().saturating_mul(1000);
                Self(uuid::Builder::from_unix_timestamp_millis(milliseconds, &[0; 10]).into_uuid())
            }
        }
    )+};
}

first_of!(RequestId, ApprovalId, NoticeId);
