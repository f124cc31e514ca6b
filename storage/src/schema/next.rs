//! The schema of a release that does not exist, for tests of upgrades. Not part of released programs.

use super::{IDENTITY, KEYS, Schema, Step};

/// Builds for tests are the next release if this variable says `next`.
pub(super) fn is_wanted() -> bool {
    std::env::var_os("SEALCARD_TEST_SCHEMA").is_some_and(|value| value == "next")
}

/// Adds a column that earlier releases don't know.
const EXPAND: Step = Step {
    number: 3,
    works_with: 2,
    sqlite: "ALTER TABLE key_request ADD COLUMN made_by TEXT",
    postgres: "ALTER TABLE key_request ADD COLUMN made_by TEXT DEFAULT current_setting('application_name')",
};

/// From then on, what an earlier release writes is refused.
const CONTRACT: Step = Step {
    number: 4,
    works_with: 3,
    sqlite: "CREATE INDEX key_request_made_by ON key_request (made_by)",
    postgres: "CREATE TRIGGER key_request_is_of_next BEFORE INSERT ON key_request FOR EACH ROW
        WHEN (NEW.made_by NOT LIKE '%(schema 4)') EXECUTE FUNCTION refuse_change('made by an earlier release')",
};

pub(super) const SCHEMA: Schema = Schema { steps: &[IDENTITY, KEYS, EXPAND, CONTRACT], needed: 3 };
