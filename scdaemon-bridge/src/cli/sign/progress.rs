//! The bar: on standard error, only on a terminal, only for several files.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(super) fn bar(files: usize, quiet: bool) -> ProgressBar {
    if quiet || files < 2 {
        return ProgressBar::hidden();
    }
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::with_draw_target(Some(files as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} signed  {elapsed} (about {eta} left)  {wide_msg}");
    match style {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
