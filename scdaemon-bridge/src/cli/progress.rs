//! The bar: on standard error, only on a terminal, only for several files.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// From this width on there is room for a bar beside the numbers.
const WIDE: u16 = 80;

/// `done` is what happens to each file, such as `signed`.
pub(super) fn bar(files: usize, done: &str, quiet: bool) -> ProgressBar {
    if quiet || files < 2 {
        return ProgressBar::hidden();
    }
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::with_draw_target(Some(files as u64), ProgressDrawTarget::stderr());
    let columns = terminal_size::terminal_size_of(std::io::stderr()).map_or(WIDE, |(width, _)| width.0);
    match ProgressStyle::with_template(&template(columns, done)) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// Of one thing whose size is known, such as bytes or entries: `unit`.
pub(super) fn amount(size: u64, unit: &str, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
    let columns = terminal_size::terminal_size_of(std::io::stderr()).map_or(WIDE, |(width, _)| width.0);
    match ProgressStyle::with_template(&template(columns, unit)) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// One line at any width: a narrow terminal gets the numbers alone.
fn template(columns: u16, done: &str) -> String {
    if columns < WIDE {
        return format!("{{pos}}/{{len}} {done}, {{eta}} left");
    }
    format!("{{bar:20}} {{pos}}/{{len}} {done}, about {{eta}} left  {{wide_msg}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_gets_no_bar_and_no_file_name() {
        for columns in [40, 60, 79] {
            assert_eq!(template(columns, "signed"), "{pos}/{len} signed, {eta} left");
        }
        assert!(template(80, "signed").contains("{wide_msg}"));
    }
}
