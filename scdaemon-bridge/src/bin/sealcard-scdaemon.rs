//! The replacement scdaemon, started by gpg-agent.

fn main() {}
