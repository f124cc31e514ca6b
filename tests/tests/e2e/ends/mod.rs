//! Every way in which something ends that should have gone on: each is clear to gpg's user and leaves nothing stuck.

mod clock;
mod codes;
mod disk_full;
mod homes;
mod interrupted;
mod many_keys;
mod one_answer;
mod scdaemon;
mod servers;
