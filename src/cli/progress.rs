//! Long work, shown: bars where a person looks on, plain lines elsewhere.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use isoform_images::Progress;

use crate::config::size::human;

/// Bars on a terminal, lines on anything else, nothing if so asked. All of it on
/// standard error.
pub(super) struct Reporter {
    form: Form,
}

enum Form {
    Bars(RefCell<Option<ProgressBar>>),
    Lines {
        what: RefCell<String>,
        done: Cell<u64>,
    },
    Silent,
}

impl Reporter {
    /// What fits standard error.
    pub(super) fn new() -> Reporter {
        let form = if std::io::stderr().is_terminal() {
            Form::Bars(RefCell::new(None))
        } else {
            Form::Lines {
                what: RefCell::default(),
                done: Cell::new(0),
            }
        };
        Reporter { form }
    }

    /// As [`Reporter::new`], but nothing where lines would mix with the standard
    /// error of somebody else's command.
    pub(super) fn for_exec(verbose: bool) -> Reporter {
        match Reporter::new() {
            Reporter {
                form: Form::Lines { .. },
            } if !verbose => Reporter { form: Form::Silent },
            reporter => reporter,
        }
    }
}

/// Templates, in indicatif's terms.
const KNOWN_SIZE: &str = "{wide_msg} {bar:24} {bytes:>10}/{total_bytes:10} {eta:>4}";
const KNOWN_COUNT: &str = "{wide_msg} {bar:24} {pos:>10}/{len:10} {eta:>4}";
const UNKNOWN_SIZE: &str = "{wide_msg} {spinner} {bytes:>10}";

fn bar(what: &str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => KNOWN_SIZE,
        None => UNKNOWN_SIZE,
    };
    bar_of(template, what, total)
}

fn bar_of(template: &str, what: &str, total: Option<u64>) -> ProgressBar {
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_message(what.to_owned())
}

impl Progress for Reporter {
    fn begin(&self, what: &str, total: Option<u64>) {
        match &self.form {
            Form::Bars(current) => *current.borrow_mut() = Some(bar(what, total)),
            Form::Lines {
                what: current,
                done,
            } => {
                what.clone_into(&mut current.borrow_mut());
                done.set(0);
                match total {
                    Some(total) => eprintln!("{what} ({})", human(total)),
                    None => eprintln!("{what}"),
                }
            }
            Form::Silent => {}
        }
    }

    fn begin_count(&self, what: &str, total: u64) {
        match &self.form {
            Form::Bars(current) => {
                *current.borrow_mut() = Some(bar_of(KNOWN_COUNT, what, Some(total)));
            }
            Form::Lines { .. } => self.begin(&format!("{what}: {total}"), None),
            Form::Silent => {}
        }
    }

    fn advance(&self, bytes: u64) {
        match &self.form {
            Form::Bars(current) => {
                if let Some(bar) = current.borrow().as_ref() {
                    bar.inc(bytes);
                }
            }
            Form::Lines { done, .. } => done.set(done.get().saturating_add(bytes)),
            Form::Silent => {}
        }
    }

    fn finish(&self) {
        match &self.form {
            Form::Bars(current) => {
                if let Some(bar) = current.take() {
                    bar.finish_and_clear();
                }
            }
            Form::Lines { what, done } => {
                log::info!("{}: {} done", what.borrow(), human(done.get()));
            }
            Form::Silent => {}
        }
    }

    fn line(&self, message: &str) {
        match &self.form {
            Form::Bars(current) => match current.borrow().as_ref() {
                Some(bar) => bar.suspend(|| eprintln!("{message}")),
                None => eprintln!("{message}"),
            },
            Form::Lines { .. } => eprintln!("{message}"),
            Form::Silent => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_good_ones() {
        for template in [KNOWN_SIZE, KNOWN_COUNT, UNKNOWN_SIZE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    /// In every form, steps may follow one another and advance beyond their size.
    #[test]
    fn any_sequence_of_steps_is_shown() {
        let bars = Form::Bars(RefCell::new(None));
        for form in [bars, Form::Silent, Reporter::new().form] {
            let reporter = Reporter { form };
            reporter.advance(1);
            reporter.begin("one", Some(10));
            reporter.line("a line");
            reporter.advance(u64::MAX);
            reporter.finish();
            reporter.begin_count("two", 3);
            reporter.advance(5);
            reporter.finish();
            reporter.begin("three", None);
            reporter.advance(5);
            reporter.finish();
            reporter.finish();
        }
    }
}
