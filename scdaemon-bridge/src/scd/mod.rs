//! The replacement scdaemon: sessions and a file for each group of commands.
