//! Numbers to a table: medians, ratios, geometric means, and the bars they are held to.

/// The middle one, or of an even number the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

/// What a group's ratios should be: QEMU's time in ours, so that more is better.
#[derive(Clone, Copy)]
pub(super) struct Bar {
    /// The least geometric mean.
    pub(super) mean: Option<f64>,
    /// The least ratio of the sums.
    pub(super) total: Option<f64>,
    /// The least ratio of any row.
    pub(super) each: Option<f64>,
}

/// What a group's rows come to.
struct Outcome {
    mean: f64,
    total: f64,
    least: f64,
}

impl Bar {
    /// The bar and whether it is met, in words; empty where there is none.
    fn verdict(&self, outcome: &Outcome) -> String {
        let part = |what: &str, bar: Option<f64>, is: f64| {
            let verdict = if bar.is_some_and(|bar| is < bar) {
                "MISSED"
            } else {
                "met"
            };
            bar.map(|bar| format!("{what} {bar:.1}: {verdict}"))
        };
        let parts = [
            part("mean", self.mean, outcome.mean),
            part("total", self.total, outcome.total),
            part("each", self.each, outcome.least),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A row: seconds of each run on each side.
#[derive(Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) ours: Vec<f64>,
    pub(super) theirs: Vec<f64>,
}

/// Prints the head of the table.
pub(super) fn head(left: &str, right: &str) {
    println!("{:<26} {left:>10} {right:>10} {:>7}", "", "ratio");
}

/// Prints a group's rows, and their mean and total with the group's bar.
pub(super) fn group(name: &str, rows: Vec<Row>, bar: Bar) {
    let (mut logarithms, mut least, count) = (0.0, f64::INFINITY, rows.len());
    let (mut ours_sum, mut theirs_sum) = (0.0, 0.0);
    for row in rows {
        let (ours, theirs) = (median(row.ours), median(row.theirs));
        line(&format!("{name} {}", row.name), ours, theirs);
        logarithms += (theirs / ours).ln();
        least = least.min(theirs / ours);
        ours_sum += ours;
        theirs_sum += theirs;
    }
    let outcome = Outcome {
        mean: (logarithms / count as f64).exp(),
        total: theirs_sum / ours_sum,
        least,
    };
    if count > 1 {
        line(&format!("{name}: total"), ours_sum, theirs_sum);
        let label = format!("{name}: geometric mean");
        println!("{label:<26} {:>10} {:>10} {:>7.2}", "", "", outcome.mean);
    }
    let verdict = bar.verdict(&outcome);
    if !verdict.is_empty() {
        println!("    bars: {verdict}");
    }
}

/// Prints a line of the table.
fn line(label: &str, ours: f64, theirs: f64) {
    let ratio = theirs / ours;
    println!("{label:<26} {ours:>10.3} {theirs:>10.3} {ratio:>7.2}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
    }

    #[test]
    fn bars() {
        let bar = Bar {
            mean: Some(2.0),
            total: Some(3.0),
            each: Some(1.2),
        };
        let outcome = Outcome {
            mean: 2.0,
            total: 2.9,
            least: 1.1,
        };
        let verdict = bar.verdict(&outcome);
        assert_eq!(
            verdict,
            "mean 2.0: met, total 3.0: MISSED, each 1.2: MISSED"
        );
    }
}
