//! Starting signer processes and talking to them.
