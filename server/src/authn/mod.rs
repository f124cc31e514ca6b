//! Who asks: passwords, service tokens and grants.
