//! Principals, groups, projects, memberships, grants and service tokens.
