//! Fetches an image of the catalogue with plain progress lines:
//! `cargo run -p isoform-images --example fetch -- NAME [CACHE [MIRROR]]`.

use std::cell::Cell;

use isoform_images::{Options, Progress, fetch, list};

/// One line a step, at its start and end.
#[derive(Default)]
struct Lines {
    done: Cell<u64>,
}

impl Progress for Lines {
    fn begin(&self, what: &str, total: Option<u64>) {
        self.done.set(0);
        eprintln!(
            "{what} ({} bytes)",
            total.map_or("?".to_owned(), |n| n.to_string())
        );
    }

    fn advance(&self, bytes: u64) {
        self.done.set(self.done.get() + bytes);
    }

    fn finish(&self) {
        eprintln!("  {} bytes", self.done.get());
    }

    fn line(&self, message: &str) {
        eprintln!("{message}");
    }
}

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    let progress = Lines::default();
    let mut options = Options::new(&progress);
    let name = arguments
        .next()
        .unwrap_or_else(|| "debian:riscv64".to_owned());
    options.cache_dir = arguments.next().map(Into::into);
    options.mirror = arguments.next();
    match fetch(&name, &options).and_then(|image| Ok((image, list(&options)?))) {
        Ok((image, entries)) => {
            println!("{image:#?}\n{entries:#?}");
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
