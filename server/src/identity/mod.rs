//! Users, service accounts, groups and projects.
