//! What went wrong, and how it is said: one message, with the chain of causes
//! where `--verbose` asks for it.

use super::status;

/// Why the program cannot do what it was asked to.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line makes no sense.
    Usage(clap::Error),
    /// Something failed on the host.
    Host {
        /// What, in a message that stands by itself, and its causes.
        error: anyhow::Error,
        /// The exit status: it differs under `--exec`.
        status: u8,
    },
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Host {
            error: error.into(),
            status: status::HOST_ERROR,
        }
    }
}

impl Failure {
    /// The same failure under `--exec`.
    pub(super) fn under_exec(self) -> Failure {
        match self {
            Failure::Host { error, .. } => Failure::Host {
                error,
                status: status::EXEC_HOST_ERROR,
            },
            usage => usage,
        }
    }

    /// Prints it on standard error and returns the exit status.
    pub(super) fn report(&self, verbose: u8) -> u8 {
        match self {
            Failure::Usage(error) => usage(error),
            Failure::Host { error, status } => {
                eprintln!("error: {error}");
                if verbose > 0 {
                    for cause in error.chain().skip(1) {
                        eprintln!("  caused by: {cause}");
                    }
                }
                *status
            }
        }
    }
}

/// Prints what clap has to say, which may be the help that was asked for.
pub(super) fn usage(error: &clap::Error) -> u8 {
    // Nobody reads it if even this fails.
    let _ = error.print();
    if error.use_stderr() {
        status::USAGE
    } else {
        status::OK
    }
}
