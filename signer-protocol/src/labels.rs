//! How the keys are called that Sealcard makes on a token.

use sealcard_api::algorithm::ComponentRole;
use uuid::Uuid;

/// The labels that a key made for a component can have: the long one, and one of 40 characters at most for tokens that
/// have no room for it.
#[must_use]
pub fn own_labels(role: ComponentRole, component: Uuid) -> [String; 2] {
    // The end of a time-ordered UUID is random.
    let (_, end) = component.as_u64_pair();
    [format!("sealcard/{role}/{component}"), format!("sealcard/{role}/{end:016x}")]
}

/// Whether a key with this label and id (in hexadecimal) was made by this server for this component. Adopted keys have
/// others, also those that another server has made. Either is enough: some tokens write one of them themselves.
#[must_use]
pub fn is_made_here(role: ComponentRole, component: Uuid, label: &str, id: &str) -> bool {
    own_labels(role, component).iter().any(|own| own == label) || id == component.simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_labels_fit_into_forty_characters() {
        for role in ComponentRole::ALL {
            let [long, short] = own_labels(role, Uuid::now_v7());
            assert!(short.len() <= 40 && long.len() > 40, "{short}");
        }
    }

    #[test]
    fn only_the_components_own_names_tell_that_it_was_made_here() {
        let (component, role) = (Uuid::now_v7(), ComponentRole::Sign);
        for label in own_labels(role, component) {
            assert!(is_made_here(role, component, &label, "0a0b"));
            assert!(!is_made_here(ComponentRole::Decrypt, component, &label, "0a0b"));
            assert!(!is_made_here(role, Uuid::now_v7(), &label, "0a0b"));
        }
        assert!(is_made_here(role, component, "F", &component.simple().to_string()));
        assert!(!is_made_here(role, component, "", ""));
    }
}
