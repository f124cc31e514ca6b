//! OpenPGP certificates.
