//! The person's terminal in raw mode, and its way back, whatever happens.
//!
//! Settings are restored when [`Raw`] is dropped, by a panic hook, and by a thread
//! that receives the signals a terminal or a person sends. Only SIGKILL and a crash
//! of the process itself are beyond reach.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, Once, PoisonError};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, tcgetattr,
    tcsetattr,
};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

/// The settings to go back to while the terminal is raw.
static ORIGINAL: Mutex<Option<Termios>> = Mutex::new(None);
/// Hook and signal thread are set up once for the process.
static GUARDS: Once = Once::new();

/// The terminal on standard input, raw until this is dropped.
#[derive(Debug)]
pub(super) struct Raw(());

impl Raw {
    /// Makes it raw: every key comes at once and unechoed, Ctrl-C included.
    pub(super) fn enter() -> io::Result<Raw> {
        let original = tcgetattr(io::stdin().as_fd())?;
        GUARDS.call_once(install_guards);
        *lock() = Some(original.clone());
        set(&raw(original))?;
        Ok(Raw(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Restores the terminal if it is raw. Safe to call at any time, also before
/// leaving the process in an unusual way.
pub fn restore() {
    if let Some(original) = lock().take() {
        // A terminal that is gone needs no restoring.
        let _ = set(&original);
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    ORIGINAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// At once: waiting for output to drain could wait for a terminal that is stuck.
fn set(settings: &Termios) -> io::Result<()> {
    Ok(tcsetattr(
        io::stdin().as_fd(),
        OptionalActions::Now,
        settings,
    )?)
}

/// Output processing stays on: messages of this program beside the guest's keep
/// their line ends, and the guest's own carriage returns do no harm.
fn raw(mut settings: Termios) -> Termios {
    settings.input_modes -= InputModes::IGNBRK
        | InputModes::BRKINT
        | InputModes::PARMRK
        | InputModes::ISTRIP
        | InputModes::INLCR
        | InputModes::IGNCR
        | InputModes::ICRNL
        | InputModes::IXON;
    settings.output_modes |= OutputModes::OPOST;
    settings.local_modes -= LocalModes::ECHO
        | LocalModes::ECHONL
        | LocalModes::ICANON
        | LocalModes::IEXTEN
        | LocalModes::ISIG;
    settings.special_codes[SpecialCodeIndex::VMIN] = 1;
    settings.special_codes[SpecialCodeIndex::VTIME] = 0;
    settings
}

fn install_guards() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore();
        previous(info);
    }));
    let ignored = ignored_signals();
    let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT]
        .into_iter()
        // What the parent made us ignore (nohup) stays ignored.
        .filter(|signal| ignored & (1 << (signal - 1)) == 0);
    let signals = match Signals::new(wanted) {
        Ok(signals) => signals,
        Err(error) => {
            log::warn!("signals will leave the terminal raw (`reset` helps): {error}");
            return;
        }
    };
    let thread = std::thread::Builder::new().name("console-signals".to_owned());
    if let Err(error) = thread.spawn(move || handle(signals)) {
        log::warn!("signals will not end this program: {error}");
    }
}

/// The signals this process ignores, bit 0 for signal 1 (proc(5), `SigIgn`).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// The signal thread: puts the terminal right, then lets the signal do what it does
/// to every program.
fn handle(mut signals: Signals) {
    for signal in signals.forever() {
        match signal {
            SIGTSTP => {
                let original = lock().clone();
                if let Some(original) = &original {
                    // As in `restore`.
                    let _ = set(original);
                }
                default(SIGTSTP);
                // Stopped here until SIGCONT, which the next turn handles.
            }
            SIGCONT => {
                let original = lock().clone();
                if let Some(original) = original {
                    // As in `restore`.
                    let _ = set(&raw(original));
                }
            }
            _ => {
                restore();
                default(signal);
            }
        }
    }
}

fn default(signal: i32) {
    if let Err(error) = signal_hook::low_level::emulate_default_handler(signal) {
        log::warn!("signal {signal} could not take effect: {error}");
    }
}
