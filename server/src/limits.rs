//! Limits that are not configured: how much is admitted, and how long things may take. [`crate::config::Limits`] has
//! the others.

use std::time::Duration;

use sealcard_api::rules::NewPassword;

// Requests, from the accept loop to the answer.

/// One in so many slots is reserved for everything but the use of keys, so that administrators can act while many sign.
pub(crate) const RESERVED_SLOTS: usize = 8;

/// A connection that has been idle for less is not closed to make room: it may be in its handshake.
pub(crate) const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// How often the log has a warning of proxies' connections that were refused.
pub(crate) const PROXY_WARNING_PERIOD: Duration = Duration::from_mins(1);

/// So much of its time a network may use up in advance for answers without a login.
pub(crate) const ANONYMOUS_BURST: Duration = Duration::from_secs(2);

/// The longest delay of an answer without a login.
pub(crate) const MAX_ANONYMOUS_DELAY: Duration = Duration::from_secs(2);

/// Networks that are remembered; beyond, those are forgotten that may ask at once.
pub(crate) const ANONYMOUS_NETWORKS: usize = 4096;

/// Time limit of work on a key, its wait for a permit included, where it is more than that of other requests.
pub(crate) const KEY_WORK_TIMEOUT: Duration = Duration::from_secs(240);

/// A request that waits for a state is answered so much earlier than its time limit.
pub(crate) const LONG_POLL_MARGIN: Duration = Duration::from_secs(1);

/// Items of one page, unless the query says otherwise.
pub(crate) const PAGE_ITEMS: u32 = 100;

/// Cards that one caller gets: more than any gpg could cope with.
pub(crate) const MAX_CARDS: u32 = 1000;

/// Keys that are listed as usable by somebody.
pub(crate) const MAX_USABLE_KEYS: u32 = 1000;

// Servers that share a database.

/// How often a server tells the others that it runs. After three minutes without it they take it for ended.
pub(crate) const NODE_PERIOD: Duration = Duration::from_secs(30);

// Master keys of sealed stores.

/// How often a server looks whether a signer has a new master key.
pub(crate) const REKEY_PERIOD: Duration = Duration::from_secs(5);

/// How long it waits before it tries again to seal what could not be sealed.
pub(crate) const REKEY_RETRY: Duration = Duration::from_mins(5);

// Uses of keys.

/// How long a repetition waits for the first request with its idempotency key.
pub(crate) const REPETITION_WAIT: Duration = Duration::from_secs(10);

/// How often the state of a request is read that another server works on.
pub(crate) const STATE_POLL: Duration = Duration::from_millis(50);

/// How often the state of a request that waits for people is read without a sign that it has changed.
pub(crate) const WAITING_POLL: Duration = Duration::from_secs(5);

/// How often it is read which approvals have changed, while somebody waits.
pub(crate) const APPROVALS_POLL: Duration = Duration::from_millis(200);

/// How often requests and approvals are ended whose time is over.
pub(crate) const APPROVALS_SWEEP: Duration = Duration::from_secs(2);

/// People of a stage that are named to who waits.
pub(crate) const NAMED_APPROVERS: u32 = 20;

/// People of a stage that are listed to who asks for them.
pub(crate) const LISTED_APPROVERS: u32 = 100;

/// People of a stage that get a notice.
pub(crate) const NOTIFIED_APPROVERS: u32 = 200;

/// Approvals of one list.
pub(crate) const LISTED_APPROVALS: u32 = 1000;

/// Delay of the answer to a request that found too many waiting, so that its caller waits before the next one.
pub(crate) const BUSY_DELAY: Duration = Duration::from_secs(1);

/// Digests of one batch that are in work at once, so that a batch does not keep everyone else from the signer.
pub(crate) const BATCH_CONCURRENCY: usize = 16;

/// Principals that used a key within the last minute; the uses of further ones are refused.
pub(crate) const BUDGETED_PRINCIPALS: usize = 65_536;

/// How long a use waits for a permit of its signer.
pub(crate) const USE_WAIT: Duration = Duration::from_secs(10);

/// Uses of one principal that wait for a permit.
pub(crate) const WAITING_USES: usize = 256;

/// Uses that the signer of a sealed store has at once: fewer than fit in its queue.
pub(crate) const STORE_USES: usize = 512;

/// Uses that a token's signer has at once. A use that waits here is told to try again; one that waits in the signer's
/// queue until the deadline has an unknown outcome.
pub(crate) const TOKEN_USES: usize = 64;

/// Uses that a token's signer has whatever they cost: a token may have many sessions.
pub(crate) const TOKEN_USES_AT_ANY_COST: usize = 16;

/// Uses for each processor that the signer of a sealed store has whatever they cost. One is computed; the entries of
/// the others are on their way to the disk.
pub(crate) const STORE_USES_PER_PROCESSOR: usize = 4;

/// More uses than those are in progress only while their estimated times add up to no more than this.
pub(crate) const USES_WINDOW: Duration = Duration::from_millis(10);

/// The least of that time for each processor.
pub(crate) const USES_WINDOW_PER_PROCESSOR: Duration = Duration::from_millis(5);

/// What a use is expected to take before one of its kind has been measured.
pub(crate) const USE_ESTIMATE: Duration = Duration::from_millis(1);

// Work on keys: making, importing, adopting, revoking, destroying them.

/// Work of one kind that is done at once in one environment.
pub(crate) const KEY_WORK_CONCURRENCY: usize = 4;

/// How much of that one principal may have.
pub(crate) const KEY_WORK_OF_ONE: usize = 2;

/// Work of one principal that waits for a permit.
pub(crate) const WAITING_KEY_WORK: usize = 8;

/// How long work waits for a permit: much less than its time limit.
pub(crate) const KEY_WORK_WAIT: Duration = Duration::from_secs(20);

/// What work is expected to take.
pub(crate) const KEY_WORK_ESTIMATE: Duration = Duration::from_secs(1);

// Rules for the uses of keys.

/// How many are compiled at once, to be checked, applied or shown.
pub(crate) const COMPILING_RULES: usize = 2;

// Passwords.

/// The longest password that is looked at, in bytes: those of [`NewPassword`] fit.
pub(crate) const MAX_PASSWORD: usize = 4 * NewPassword::MAX;

/// Checks of one network that wait for each one that may run: about two seconds of work.
pub(crate) const WAITING_PASSWORDS: usize = 32;

/// How long a check waits for a permit.
pub(crate) const PASSWORD_WAIT: Duration = Duration::from_secs(20);

/// What a check is expected to take.
pub(crate) const PASSWORD_ESTIMATE: Duration = Duration::from_millis(50);

/// A network may hold many people: it gets this many times the attempts of an account.
pub(crate) const NETWORK_ATTEMPTS: u32 = 4;

/// The longest delay after wrong attempts.
pub(crate) const MAX_LOGIN_DELAY: Duration = Duration::from_secs(300);

/// After so long without a wrong attempt all are forgotten.
pub(crate) const ATTEMPTS_FORGOTTEN: Duration = Duration::from_secs(3600);

/// Accounts and networks whose wrong attempts are remembered.
pub(crate) const MAX_SUBJECTS: usize = 16_384;

/// The longest account name that is remembered as it is; no account has a longer one.
pub(crate) const MAX_SUBJECT_NAME: usize = 64;

// Signers.

/// How long a signer may take for a use.
pub(crate) const USE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a signer may take to make a key. RSA primes need luck.
pub(crate) const GENERATE_DEADLINE: Duration = Duration::from_secs(120);

/// How long a signer may take to say how it is.
pub(crate) const STATUS_DEADLINE: Duration = Duration::from_secs(3);

/// How often each signer is asked how it is.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long an attempt to unseal may take. A wrong passphrase is answered late.
pub(crate) const UNSEAL_DEADLINE: Duration = Duration::from_secs(60);

/// Journal entries in one answer of a signer.
pub(crate) const JOURNAL_PAGE: u32 = 1000;

/// The pause before an ended signer is started again, for the first time.
pub(crate) const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause before an ended signer is started again.
pub(crate) const MAX_RESTART_PAUSE: Duration = Duration::from_secs(30);

/// A signer that ran for so long is restarted at once when it ends.
pub(crate) const STEADY: Duration = Duration::from_secs(60);

/// How long a signer may take to end.
pub(crate) const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// How often to look at a token that is not there, or at another server's attempt.
pub(crate) const UNLOCK_POLL: Duration = Duration::from_millis(500);

/// How often to look whether a person has acted, on whichever server.
pub(crate) const ATTENDED_POLL: Duration = Duration::from_secs(2);

/// How long to wait after a token could not remove what is to be removed.
pub(crate) const LEFTOVERS_POLL: Duration = Duration::from_secs(60);

// Upkeep.

/// How often a running server looks for uses that nobody works on.
pub(crate) const ORPHANS_PERIOD: Duration = Duration::from_secs(2);

/// How often it deletes old requests.
pub(crate) const PRUNE_PERIOD: Duration = Duration::from_mins(10);

/// The oldest state that `/readyz` answers with.
pub(crate) const READINESS_AGE: Duration = Duration::from_secs(1);

/// How long the database may take for that.
pub(crate) const DATABASE_DEADLINE: Duration = Duration::from_secs(5);

/// The longest time for which it is taken as known when keys end.
pub(crate) const KEY_ENDS_AGE: Duration = Duration::from_mins(10);

/// Connections to the metrics at once.
pub(crate) const METRICS_CONNECTIONS: usize = 8;

/// How long the head of a request may take there.
pub(crate) const METRICS_HEAD: Duration = Duration::from_secs(2);

/// How long one of these connections may last.
pub(crate) const METRICS_CONNECTION: Duration = Duration::from_secs(10);

/// How long it may take to find out how the server is. Then only what was counted is told.
pub(crate) const METRICS_DEADLINE: Duration = Duration::from_secs(5);

/// How long to wait before the metrics' address is tried again.
pub(crate) const METRICS_RETRY: Duration = Duration::from_secs(30);

/// Entries that are read at once.
pub(crate) const VERIFIED_PAGE: u32 = 500;

/// Keys that are read at once to look for those that end.
pub(crate) const ENDS_PAGE: u32 = 500;

// The record's log.

/// How often it is looked whether there are entries that no checkpoint covers: a receipt is there within a second.
pub(crate) const CHECKPOINT_PERIOD: Duration = Duration::from_millis(500);

/// The pause after a checkpoint that could not be made.
pub(crate) const CHECKPOINT_RETRY: Duration = Duration::from_secs(2);

/// How long the newest checkpoint is kept for slow witnesses before the next one takes its place: two requests.
pub(crate) const WITNESS_ROUND: Duration = Duration::from_secs(20);

/// How often it is looked whether a witness has to be asked.
pub(crate) const WITNESS_POLL: Duration = Duration::from_millis(250);

/// How long a witness may take for one answer.
pub(crate) const WITNESS_DEADLINE: Duration = Duration::from_secs(10);

/// How long a node has a witness for itself: longer than all requests of one attempt.
pub(crate) const WITNESS_LEASE: Duration = Duration::from_secs(45);

/// How often a node looks whether the one that asks a witness has ended.
pub(crate) const WITNESS_TAKEOVER_CHECK: Duration = Duration::from_secs(5);

/// Requests of one attempt: a witness that knows another size is asked again.
pub(crate) const WITNESS_REQUESTS: usize = 3;

/// The longest pause between two attempts.
pub(crate) const MAX_WITNESS_PAUSE: i64 = 30;

/// Bytes of a witness's answer: room for some signatures with ML-DSA-44.
pub(crate) const WITNESS_ANSWER: usize = 32 * 1024;

/// The most witnesses that are asked.
pub(crate) const WITNESSES: usize = 32;

/// Seconds after which the missing quorum needs a person's attention.
pub(crate) const WITNESS_LAG: u64 = 60;

// Issuers of tokens.

/// How long an issuer may take for one answer, from looking up its name.
pub(crate) const ISSUER_DEADLINE: Duration = Duration::from_secs(5);

// Notices.

/// How often the outbox is looked at.
pub(crate) const NOTICE_POLL: Duration = Duration::from_secs(1);

/// How long one attempt may take, whatever it waits for.
pub(crate) const NOTICE_DEADLINE: Duration = Duration::from_secs(45);

/// How long a webhook may take, from looking up its name to its answer.
pub(crate) const WEBHOOK_DEADLINE: Duration = Duration::from_secs(15);

/// How long a connection to a webhook is kept.
pub(crate) const WEBHOOK_IDLE: Duration = Duration::from_secs(30);

/// How long a mail server may take for each step.
pub(crate) const MAIL_STEP: Duration = Duration::from_secs(15);

/// How long a connection to a mail server is kept.
pub(crate) const MAIL_IDLE: Duration = Duration::from_secs(30);

/// How long looking up a name may take.
pub(crate) const NOTICE_LOOKUP: Duration = Duration::from_secs(10);

/// Names that are looked up at once.
pub(crate) const NOTICE_LOOKUPS: usize = 2;

/// How long a server has a message for itself: longer than an attempt and noting what came of it.
pub(crate) const NOTICE_LEASE: Duration = Duration::from_secs(120);

/// How often it looks for messages that servers that have ended had.
pub(crate) const NOTICE_LEASE_CHECK: Duration = Duration::from_secs(30);

/// Messages that one channel sends at once.
pub(crate) const MESSAGES_AT_ONCE: usize = 4;

/// The pause after a receiver could not be reached, for the first time.
pub(crate) const CHANNEL_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
pub(crate) const MAX_CHANNEL_PAUSE: Duration = Duration::from_secs(15);

/// Days for which approvals are kept of which nothing can come any more.
pub(crate) const APPROVAL_DAYS: i64 = 90;

/// Days for which finished notices are kept.
pub(crate) const NOTICE_DAYS: i64 = 30;

// Sinks of the record.

/// How often it is looked whether there are new entries.
pub(crate) const SINK_POLL: Duration = Duration::from_millis(500);

/// What is known of required sinks is not older, or keys are not used.
pub(crate) const SINK_STATE_AGE: Duration = Duration::from_secs(15);

/// How often a node looks whether the one that delivers has ended.
pub(crate) const SINK_TAKEOVER_CHECK: Duration = Duration::from_secs(5);

/// How long a node has a sink for itself: longer than a batch and noting what came of it.
pub(crate) const SINK_LEASE: Duration = Duration::from_secs(90);

/// How long a batch may take, whatever it waits for.
pub(crate) const SINK_DEADLINE: Duration = Duration::from_secs(45);

/// After so long no further request of a batch is begun.
pub(crate) const SINK_ROUND: Duration = Duration::from_secs(5);

/// Entries that are read at once.
pub(crate) const SINK_ENTRIES: u32 = 200;

/// Bytes of entries in a batch.
pub(crate) const SINK_BATCH: usize = 512 * 1024;

/// Parked entries that are tried again in one round.
pub(crate) const SINK_RETRIED: u32 = 20;

/// So many entries are parked one after the other. If the receiver refuses still more, it is not the entries' fault.
pub(crate) const SINK_PARKED_IN_A_ROW: u32 = 10;

/// The longest pause after a failure.
pub(crate) const MAX_SINK_PAUSE: Duration = Duration::from_mins(1);

/// The longest pause that a receiver may ask for.
pub(crate) const MAX_SINK_RETRY_AFTER: Duration = Duration::from_hours(1);

/// How much of an answer is read.
pub(crate) const SINK_ANSWER: usize = 64 * 1024;

/// The longest body of a webhook: Standard Webhooks asks for less than 20 kB.
pub(crate) const WEBHOOK_BODY: usize = 19_000;

/// How long connecting to a receiver of syslog may take, and its handshake.
pub(crate) const SINK_CONNECT: Duration = Duration::from_secs(10);

/// How long a connection must stand after messages of syslog were written.
pub(crate) const SYSLOG_SETTLE: Duration = Duration::from_millis(100);

/// How long Splunk's indexers may take to acknowledge.
pub(crate) const SINK_ACKNOWLEDGEMENT: Duration = Duration::from_secs(20);

/// How often they are asked.
pub(crate) const SINK_ACKNOWLEDGEMENT_POLL: Duration = Duration::from_millis(500);

/// How long a test of a sink may take: less than a request.
pub(crate) const SINK_TEST_DEADLINE: Duration = Duration::from_secs(20);

/// Parked entries that are listed.
pub(crate) const LISTED_PARKED: u32 = 1000;
