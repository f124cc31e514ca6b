//! End-to-end tests with the real tools. `cargo xtask test --build-only` builds what they run.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[macro_use]
mod support;

mod agent;
mod approvals;
mod audit;
mod audit_program;
mod backups;
mod claims;
mod commands;
mod crashes;
mod database_move;
mod ends;
mod failures;
mod files;
mod first_steps;
mod gpg_card;
mod history;
mod imports;
mod incidents;
mod installation;
mod log;
mod log_crashes;
mod logins;
mod machine_login;
mod mail;
mod malformed;
mod metrics;
mod near_ends;
mod nodes;
mod notices;
mod own_user;
mod packages;
mod parallel;
mod power_failure;
mod profiles;
mod quick_start;
mod recipes;
mod rekeys;
mod renewals;
mod reports;
mod reverse_proxies;
mod revocations;
mod rules;
mod rules_commands;
mod rules_page;
mod secrets;
mod separation;
mod server_clock;
mod service_manager;
mod signing;
mod sinks;
mod ssh;
mod status;
mod stubs;
mod tokens;
mod tool_setup;
mod upgrades;
mod witnesses;
