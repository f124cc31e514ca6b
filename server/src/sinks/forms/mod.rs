//! How an entry is written.

mod cef;
mod ocsf;

use serde_json::Value;

use super::SinkEvent;
use crate::config::SinkForm;

/// A form of entries, as [`SinkForm`] names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form(pub SinkForm);

impl Form {
    /// The event as one line of text.
    #[must_use]
    pub fn text(self, event: &SinkEvent) -> String {
        match self.0 {
            SinkForm::Json => event.json(),
            SinkForm::Ocsf => ocsf::render(event).to_string(),
            SinkForm::Cef => cef::render(event),
        }
    }

    /// The event as a value of JSON: an object, or a text if the form is none of JSON.
    #[must_use]
    pub fn value(self, event: &SinkEvent) -> Value {
        match self.0 {
            SinkForm::Json => serde_json::from_str(&event.json()).unwrap_or_default(),
            SinkForm::Ocsf => ocsf::render(event),
            SinkForm::Cef => Value::String(cef::render(event)),
        }
    }
}
