//! The table and the file.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;
use xtask::output;

/// One measurement beside what it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) name: String,
    /// Sealcard's median.
    pub(crate) ours: f64,
    /// The median of what it is compared with, or the goal.
    pub(crate) peer: f64,
    /// What that is.
    pub(crate) peer_name: &'static str,
    /// The unit of both.
    pub(crate) unit: &'static str,
    /// `ours / peer`.
    pub(crate) ratio: f64,
}

#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, ours: f64, peer_name: &'static str, peer: f64) {
        // Two zeros are as good as each other.
        let ratio = if ours == 0.0 && peer == 0.0 { 1.0 } else { ours / peer };
        self.0.push(Row { name: name.to_owned(), ours, peer, peer_name, unit, ratio });
    }

    pub(crate) fn print(&self) {
        let header = ("what", "Sealcard", "compared with", "unit", "ratio");
        output::result(&format!(
            "\n{:<46} {:>10} {:>24}  {:<6} {:>6}",
            header.0, header.1, header.2, header.3, header.4
        ));
        for row in &self.0 {
            let peer = format!("{} {:>8.2}", row.peer_name, row.peer);
            output::result(&format!(
                "{:<46} {:>10.2} {peer:>24}  {:<6} {:>6.2}",
                row.name, row.ours, row.unit, row.ratio
            ));
        }
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        fs::create_dir_all(file.parent().context("a file without a folder")?)?;
        fs::write(file, serde_json::to_vec_pretty(&self.0)?).with_context(|| format!("writing {}", file.display()))
    }
}

/// The middle value; the mean of the two in the middle if their number is even.
pub(crate) fn median(mut values: Vec<f64>) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle).context("nothing was measured")?;
    let lower = if values.len().is_multiple_of(2) { values.get(middle.saturating_sub(1)) } else { None };
    Ok(lower.map_or(upper, |lower| f64::midpoint(*lower, upper)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::float_cmp)] // exact values in, exact values out
    fn the_median_of_even_and_odd_numbers_of_values_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).unwrap(), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).unwrap(), 2.5);
        assert!(median(Vec::new()).is_err());
    }
}
