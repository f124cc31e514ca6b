//! What administrators see of notices and channels, and do with them.

use sealcard_api::{
    Timestamp,
    ids::{NoticeId, PrincipalId},
    notices::{Notice, NoticeChannel, NoticeTest},
    rules::EmailAddress,
};
use sealcard_policy::{Action, PrincipalKind};
use sealcard_record::{Event, event::NoticeChannelAct};

use super::{Notices, channel::Channel, compose};
use crate::{
    authn::{AuthorizationError, Caller},
    storage::{NoticeCounts, NoticeFilter, StorageError},
};

/// Why something can't be done with notices.
#[derive(Debug, thiserror::Error)]
pub enum NoticesError {
    /// There is no such notice, channel or user. Retrying can't help.
    #[error("{0}")]
    NotFound(String),
    /// It can't be done as things are. Retrying can't help.
    #[error("{0}")]
    Conflict(String),
    /// The caller may not do it. Retrying can't help.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// The database failed. Retrying may help.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

type Result<T> = std::result::Result<T, NoticesError>;

const MANAGE_SERVER: &[Action] = &[Action::ManageServer];

/// A channel whose attempts have failed so often, one after the other, needs attention.
const FAILING: u64 = 2;

/// Expects that `text` is an e-mail address.
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn check_email(text: &str) -> std::result::Result<(), String> {
    EmailAddress::check(text)?;
    // What sends mail must take it too.
    text.parse::<lettre::Address>().map(drop).map_err(|error| format!("\"email\" can't be used: {error}."))
}

impl Notices {
    /// Notices with their deliveries, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list(&self, filter: NoticeFilter) -> Result<Vec<Notice>> {
        Ok(self.0.store.notices(filter).await?)
    }

    /// One notice with its deliveries.
    ///
    /// # Errors
    /// [`NoticesError::NotFound`] if there is none.
    pub async fn show(&self, id: NoticeId) -> Result<Notice> {
        self.0.store.notice(id).await?.ok_or_else(|| no_notice(id))
    }

    /// The configured channels.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn channels(&self) -> Result<Vec<NoticeChannel>> {
        let rows = self.0.store.notice_channels().await?;
        let counts = self.0.store.notice_counts(Timestamp::now()).await?;
        let shown = self.0.channels.all.iter().map(|channel| {
            let row = rows.iter().find(|row| row.name == channel.name);
            let counts = counts.iter().find(|counts| counts.channel == channel.name);
            let time = |seconds: Option<i64>| seconds.map(Timestamp::from_unix);
            NoticeChannel {
                name: channel.name.clone(),
                kind: channel.kind,
                last_success: row.and_then(|row| time(row.last_success)),
                last_failure: row.and_then(|row| time(row.last_failure)),
                last_error: row.and_then(|row| row.last_error.clone()),
                failures: row.map_or(0, |row| row.failures),
                disabled_since: row.and_then(|row| time(row.disabled_since)),
                pending: counts.map_or(0, |counts| counts.pending),
                failed: counts.map_or(0, |counts| counts.failed),
                public_keys: channel.public_keys(),
            }
        });
        Ok(shown.collect())
    }

    /// Tries failed deliveries again: those of these notices, or all. Returns how many.
    ///
    /// # Errors
    /// [`NoticesError::NotFound`] if there is no such notice.
    pub async fn retry(&self, caller: Caller, notices: Option<Vec<NoticeId>>) -> Result<u64> {
        self.0
            .store
            .write(move |tx| {
                caller.authorization(MANAGE_SERVER).check(tx, None)?;
                let Some(notices) = notices else { return Ok(tx.retry_notices(None)?) };
                let mut retried = 0;
                for id in notices {
                    if !tx.has_notice(id)? {
                        return Err(no_notice(id));
                    }
                    retried += tx.retry_notices(Some(id))?;
                }
                Ok(retried)
            })
            .await
    }

    /// Lets a channel be used again whose receiver wanted no more.
    ///
    /// # Errors
    /// [`NoticesError::NotFound`] if there is none, [`NoticesError::Conflict`] if it is not disabled.
    pub async fn enable(&self, caller: Caller, channel: String) -> Result<NoticeChannel> {
        self.known(&channel)?;
        let name = channel.clone();
        self.0
            .store
            .write(move |tx| {
                caller.authorization(MANAGE_SERVER).check(tx, None)?;
                if !tx.enable_channel(&channel)? {
                    return Err(NoticesError::Conflict(format!("The channel {channel} is not disabled.")));
                }
                tx.append_record(caller.draft(Event::NoticeChannelEnabled(NoticeChannelAct { channel })));
                Ok(())
            })
            .await?;
        let enabled = self.channels().await?.into_iter().find(|channel| channel.name == name);
        enabled.ok_or_else(|| NoticesError::NotFound(format!("There is no channel {name}.")))
    }

    /// Sends a notice that says nothing, by one channel or by all.
    ///
    /// # Errors
    /// [`NoticesError::NotFound`] if there is no such channel or user, [`NoticesError::Conflict`] if there is no channel
    /// at all.
    pub async fn test(&self, caller: Caller, test: NoticeTest) -> Result<NoticeId> {
        let NoticeTest { channel, to } = test;
        if self.0.channels.all.is_empty() {
            let none = "This server has no channel. Add [notices.mail] or [notices.webhook.NAME] to server.toml.";
            return Err(NoticesError::Conflict(none.to_owned()));
        }
        channel.as_deref().map_or(Ok(()), |name| self.known(name).map(drop))?;
        let to = match to {
            None => caller.principal,
            Some(name) => self.user(&name).await?,
        };
        let notice = compose::test(&caller.name, to, channel);
        let id = notice.id;
        self.0
            .store
            .write(move |tx| {
                caller.authorization(MANAGE_SERVER).check(tx, None)?;
                Ok(tx.notify(&notice)?)
            })
            .await
            .map(|()| id)
    }

    fn known(&self, name: &str) -> Result<&Channel> {
        let channel = self.0.channels.named(name);
        channel.map(|channel| &**channel).ok_or_else(|| NoticesError::NotFound(format!("There is no channel {name}.")))
    }

    async fn user(&self, name: &str) -> Result<PrincipalId> {
        let user = self.0.store.principal(PrincipalKind::User, name).await?;
        user.map(|user| user.id).ok_or_else(|| NoticesError::NotFound(format!("There is no user {name}.")))
    }
}

fn no_notice(id: NoticeId) -> NoticesError {
    NoticesError::NotFound(format!("There is no notice {id}. Notices are kept for 30 days."))
}

/// How the channels work, for those who watch the server.
#[derive(Debug, Default)]
pub(crate) struct NoticesState {
    /// Deliveries that are tried, or tried again later.
    pub(crate) pending: u64,
    /// What needs a person, one sentence each.
    pub(crate) attention: Vec<String>,
}

impl Notices {
    /// How the channels work.
    ///
    /// # Errors
    /// If the database fails.
    pub(crate) async fn state(&self) -> std::result::Result<NoticesState, StorageError> {
        let counts = self.0.store.notice_counts(Timestamp::now()).await?;
        let sum = |of: fn(&NoticeCounts) -> u64| counts.iter().map(of).sum::<u64>();
        let mut state = NoticesState { pending: sum(|one| one.pending), attention: Vec::new() };
        for row in self.0.store.notice_channels().await? {
            if self.0.channels.named(&row.name).is_none() {
                continue;
            }
            let (name, why) = (&row.name, row.last_error.as_deref().unwrap_or_default());
            if let Some(since) = row.disabled_since {
                let since = Timestamp::from_unix(since);
                state.attention.push(format!(
                    "The channel {name} for notices is disabled ({since}): {why}; once the receiver wants notices again, \
                     run sealcard admin notices enable {name}."
                ));
            } else if row.failures >= FAILING {
                state.attention.push(format!(
                    "Notices can't be delivered by the channel {name}: {why}; see sealcard admin notices channels."
                ));
            }
        }
        let lately = match sum(|one| one.failed_lately) {
            0 => return Ok(state),
            1 => "1 notice".to_owned(),
            many => format!("{many} notices"),
        };
        state.attention.push(format!(
            "{lately} could not be delivered within the last day: run sealcard admin notices list --failed."
        ));
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lettre_takes_each_address_that_passes(text in "[a-z0-9_+-]{1,70}(\\.[a-z0-9_+-]{1,20}){0,3}@[a-z0-9-]{1,70}(\\.[a-z0-9-]{1,20}){0,4}") {
            if EmailAddress::check(&text).is_ok() {
                prop_assert!(check_email(&text).is_ok(), "{}", text);
            }
        }
    }
}
