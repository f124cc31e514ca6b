//! What is wrong with a text, as compilers show it.

use sealcard_api::key_rules::Diagnostic;

use super::{Source, clean_line};
use crate::cli::{
    output::{BAD, BOLD, DIM, clean},
    table::width,
};

/// The message, the place, the line of the text with the place marked, and advice.
pub(super) fn shown(source: &Source, diagnostic: &Diagnostic) -> String {
    let Diagnostic { message, help, line, column, end_line, end_column } = diagnostic;
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let mut text = format!("{BAD}error{BAD:#}{BOLD}: {}{BOLD:#}\n", clean(message));
    text.push_str(&format!("{DIM}{margin}-->{DIM:#} {}:{line}:{column}", source.name));
    if let Some(shown) = source.text.lines().nth(line.saturating_sub(1)) {
        let before: String = shown.chars().take(column.saturating_sub(1)).collect();
        let end = if end_line == line { *end_column } else { usize::MAX };
        let marked: String = shown.chars().skip(before.chars().count()).take(end.saturating_sub(*column)).collect();
        let (blanks, marks) = (width(&clean_line(&before)), width(&clean_line(&marked)).max(1));
        text.push_str(&format!("\n{DIM}{margin} |{DIM:#}\n{DIM}{number} |{DIM:#} {}", clean_line(shown)));
        let (blanks, marks) = (" ".repeat(blanks), "^".repeat(marks));
        text.push_str(&format!("\n{DIM}{margin} |{DIM:#} {blanks}{BAD}{marks}{BAD:#}"));
    }
    if let Some(help) = help {
        text.push_str(&format!("\n{DIM}{margin} ={DIM:#} {BOLD}help{BOLD:#}: {}", clean(help)));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "rules.toml".to_owned(), text: text.to_owned() }
    }

    fn at(line: usize, column: usize, end_line: usize, end_column: usize) -> Diagnostic {
        let help = Some("sealcard admin group add makers".to_owned());
        Diagnostic { message: "there is no group makers".to_owned(), help, line, column, end_line, end_column }
    }

    fn plain(source: &Source, diagnostic: &Diagnostic) -> String {
        anstream::adapter::strip_str(&shown(source, diagnostic)).to_string()
    }

    #[test]
    fn place_is_marked_under_its_line() {
        let text = source("[rule.tags]\n\twho = { groups = [\"makers\"] }\n");
        let told = plain(&text, &at(2, 20, 2, 28));
        let expected = "\
error: there is no group makers
 --> rules.toml:2:20
  |
2 |     who = { groups = [\"makers\"] }
  |                       ^^^^^^^^
  = help: sealcard admin group add makers
";
        assert_eq!(told, expected);
    }

    #[test]
    fn place_over_several_lines_is_marked_to_the_end_of_the_first() {
        let told = plain(&source("abc\ndef\n"), &at(1, 2, 2, 2));
        assert!(told.contains("1 | abc\n  |  ^^\n"), "{told}");
    }

    proptest! {
        #[test]
        fn any_place_in_any_text_is_shown(text: String, line in 0_usize..9, column in 0_usize..9, end in 0_usize..9) {
            let told = plain(&source(&text), &at(line, column, line, end));
            let (has_place, escapes) = (told.contains("-->"), told.contains('\u{1b}'));
            prop_assert!(has_place && !escapes, "{}", told);
        }
    }
}
