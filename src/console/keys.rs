//! What a person types: bytes for the guest, Ctrl-A commands, the monitor.
//!
//! The keys are QEMU's: Ctrl-A, then x, c, h or Ctrl-A again. This file is pure:
//! bytes in, [`Action`]s out.

use crate::config::size;

/// Starts a command; typed twice, itself.
const CTRL_A: u8 = 0x01;
/// Longest line the monitor takes, bytes.
const MAX_LINE: usize = 256;
const PROMPT: &str = "isoform> ";
const HELP: &str = "\
Ctrl-A x       quit\n\
Ctrl-A c       open the monitor, or return from it\n\
Ctrl-A Ctrl-A  send Ctrl-A to the guest\n\
Ctrl-A h       this help\n";
const MONITOR_HELP: &str = "\
info          what the machine is doing\n\
balloon SIZE  have the guest do with so much memory, as 512M\n\
reset         restart the machine\n\
quit          end the machine and the program\n\
help          this list\n\
Ctrl-A c returns to the guest's console.\n";

/// What follows from keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Bytes for the guest.
    Input(Vec<u8>),
    /// Text for the person; lines end in `\n`.
    Show(String),
    /// The monitor's `info`; the answer is to be shown, then [`Keys::prompt`].
    Info,
    /// Bytes of memory that the guest is to have.
    Balloon(u64),
    /// Restart the machine.
    Reset,
    /// End it all.
    Quit,
}

/// Where keys go at the moment.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Ctrl-A came last.
    prefix: bool,
    /// The monitor is open; this is its line so far.
    monitor: Option<String>,
}

impl Keys {
    /// Takes keys, returns what follows from them in order.
    pub(super) fn feed(&mut self, keys: &[u8]) -> Vec<Action> {
        let mut actions = Vec::new();
        for &key in keys {
            if std::mem::take(&mut self.prefix) {
                self.command(key, &mut actions);
            } else if key == CTRL_A {
                self.prefix = true;
            } else {
                self.key(key, &mut actions);
            }
        }
        actions
    }

    /// The prompt, where the monitor is open.
    pub(super) fn prompt(&self) -> &'static str {
        if self.monitor.is_some() { PROMPT } else { "" }
    }

    /// The key after Ctrl-A.
    fn command(&mut self, key: u8, actions: &mut Vec<Action>) {
        match key {
            b'x' => actions.push(Action::Quit),
            b'c' => self.toggle_monitor(actions),
            b'h' | b'?' => show(actions, &format!("\n{HELP}{}", self.prompt())),
            CTRL_A | b'a' => self.key(CTRL_A, actions),
            // Any other pair is dropped, as a person expects of a mistyped command.
            _ => {}
        }
    }

    fn toggle_monitor(&mut self, actions: &mut Vec<Action>) {
        if self.monitor.take().is_some() {
            show(actions, "\n");
        } else {
            self.monitor = Some(String::new());
            show(
                actions,
                &format!("\nThe monitor; `help` lists its commands.\n{PROMPT}"),
            );
        }
    }

    fn key(&mut self, key: u8, actions: &mut Vec<Action>) {
        let Some(line) = &mut self.monitor else {
            match actions.last_mut() {
                Some(Action::Input(bytes)) => bytes.push(key),
                _ => actions.push(Action::Input(vec![key])),
            }
            return;
        };
        match key {
            b'\r' | b'\n' => {
                let line = std::mem::take(line);
                show(actions, "\n");
                self.monitor_line(line.trim(), actions);
            }
            // Backspace, as either key sends it.
            0x7f | 0x08 if line.pop().is_some() => show(actions, "\u{8} \u{8}"),
            // Ctrl-C and Ctrl-U give up the line, Ctrl-D leaves.
            0x03 | 0x15 => {
                line.clear();
                show(actions, &format!("\n{PROMPT}"));
            }
            0x04 => self.toggle_monitor(actions),
            b' '..=b'~' if line.len() < MAX_LINE => {
                line.push(char::from(key));
                show(actions, &char::from(key).to_string());
            }
            _ => {}
        }
    }

    fn monitor_line(&mut self, line: &str, actions: &mut Vec<Action>) {
        match line {
            "" => {}
            "info" => return actions.push(Action::Info),
            "reset" => actions.push(Action::Reset),
            "quit" | "q" => return actions.push(Action::Quit),
            "help" | "?" => show(actions, MONITOR_HELP),
            line if line.split_whitespace().next() == Some("balloon") => balloon(line, actions),
            other => show(
                actions,
                &format!("There is no command `{other}`; `help` lists them.\n"),
            ),
        }
        show(actions, PROMPT);
    }
}

/// The monitor's `balloon SIZE`.
fn balloon(line: &str, actions: &mut Vec<Action>) {
    let wanted = line.trim_start_matches("balloon").trim();
    match size::bytes(wanted) {
        Ok(bytes) => actions.push(Action::Balloon(bytes)),
        Err(why) => show(actions, &format!("balloon SIZE: {why}\n")),
    }
}

/// Adds text, to the last piece if that is text too.
fn show(actions: &mut Vec<Action>, text: &str) {
    match actions.last_mut() {
        Some(Action::Show(shown)) => shown.push_str(text),
        _ => actions.push(Action::Show(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(keys: &[u8]) -> Vec<Action> {
        Keys::default().feed(keys)
    }

    /// The actions without what is shown.
    fn effects(keys: &[u8]) -> Vec<Action> {
        let mut actions = feed(keys);
        actions.retain(|a| !matches!(a, Action::Show(_)));
        actions
    }

    fn shown(keys: &[u8]) -> String {
        let texts = feed(keys).into_iter().filter_map(|a| match a {
            Action::Show(text) => Some(text),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn keys_reach_the_guest_untouched() {
        let all: Vec<u8> = (0..=255).filter(|&b| b != CTRL_A).collect();
        assert_eq!(feed(&all), [Action::Input(all)]);
    }

    #[test]
    fn ctrl_a_twice_is_ctrl_a_once() {
        assert_eq!(feed(b"a\x01\x01b"), [Action::Input(b"a\x01b".to_vec())]);
        assert_eq!(feed(b"\x01\x01x"), [Action::Input(b"\x01x".to_vec())]);
        assert_eq!(feed(b"\x01zb"), [Action::Input(b"b".to_vec())]);
    }

    #[test]
    fn a_command_may_come_in_two_reads() {
        let mut keys = Keys::default();
        assert_eq!(keys.feed(b"a\x01"), [Action::Input(b"a".to_vec())]);
        assert_eq!(keys.feed(b"x"), [Action::Quit]);
    }

    #[test]
    fn the_monitor_takes_lines_and_gives_the_guest_nothing() {
        assert_eq!(effects(b"\x01cinfo\r"), [Action::Info]);
        assert_eq!(effects(b"\x01cinfx\x7fo\r"), [Action::Info]);
        assert_eq!(effects(b"\x01c reset \r"), [Action::Reset]);
        assert_eq!(effects(b"\x01cquit\n"), [Action::Quit]);
        let balloon = [Action::Balloon(512 << 20)];
        assert_eq!(effects(b"\x01cballoon 512M\n"), balloon);
        for bad in [&b"balloon\n"[..], b"balloon x\n", b"balloons 1M\n"] {
            assert_eq!(effects(&[b"\x01c", bad].concat()), []);
        }
        assert_eq!(effects(b"\x01cnonsense\rhelp\r\r"), []);
        assert!(shown(b"\x01cnonsense\r").contains("no command `nonsense`"));
        assert!(shown(b"\x01chelp\r").contains("reset"));
    }

    #[test]
    fn leaving_the_monitor() {
        for leave in [&b"\x01cab\x01cok"[..], b"\x01c\x04ok"] {
            assert_eq!(effects(leave), [Action::Input(b"ok".to_vec())], "{leave:?}");
        }
        assert_eq!(effects(b"\x01cinfo\x03\r"), []);
    }

    #[test]
    fn help_and_quit_work_everywhere() {
        assert!(shown(b"\x01h").contains("Ctrl-A x"));
        assert!(shown(b"\x01c\x01h").ends_with(PROMPT));
        assert_eq!(effects(b"\x01cinf\x01x"), [Action::Quit]);
    }

    #[test]
    fn a_line_has_a_bound_and_no_control_characters() {
        let mut keys = Keys::default();
        keys.feed(b"\x01c");
        keys.feed(&[b'y'; 10_000]);
        keys.feed(&[0x1b, 0x80, 0xff]);
        assert_eq!(keys.monitor.as_ref().map(String::len), Some(MAX_LINE));
    }
}
