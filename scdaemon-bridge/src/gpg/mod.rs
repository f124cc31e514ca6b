//! Driving the installed GnuPG.
