//! What the installer says on its console, while it says it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use isoform_images::Progress;
use isoform_images::system::STEP;

/// Lines shown of a log that ended badly.
const TAIL_LINES: usize = 15;
/// Bytes of it that are looked at for them.
const TAIL_BYTES: u64 = 16 << 10;
/// A longer line is not one of the installer's; its rest is passed over.
const MAX_LINE: usize = 4096;

/// What dpkg says for each package.
const DONE: [&str; 2] = ["Unpacking ", "Setting up "];

/// A log that grows.
pub(super) struct Log<'a> {
    file: Option<File>,
    line: Vec<u8>,
    progress: &'a dyn Progress,
    in_step: bool,
}

impl<'a> Log<'a> {
    /// The one at `path`. One that cannot be read is not worth an error: the work goes
    /// on without being shown.
    pub(super) fn of(path: &Path, progress: &'a dyn Progress) -> Self {
        Self {
            file: File::open(path).ok(),
            line: Vec::new(),
            progress,
            in_step: false,
        }
    }

    /// Shows what has come since.
    pub(super) fn follow(&mut self) {
        let mut news = Vec::new();
        if let Some(file) = &mut self.file {
            let _ = file.read_to_end(&mut news);
        }
        for byte in news {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() < MAX_LINE => self.line.push(byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim();
        if let Some((count, title)) = line.strip_prefix(STEP).and_then(|s| s.split_once(' ')) {
            self.end_step();
            match count.parse() {
                Ok(count) if count > 0 => self.progress.begin_count(title, count),
                _ => self.progress.begin(title, None),
            }
            self.in_step = true;
        } else if self.in_step && DONE.iter().any(|word| line.starts_with(word)) {
            self.progress.advance(1);
        }
    }

    fn end_step(&mut self) {
        if std::mem::take(&mut self.in_step) {
            self.progress.finish();
        }
    }
}

impl Drop for Log<'_> {
    fn drop(&mut self) {
        self.end_step();
    }
}

/// Its last lines, each with a new line at its end; without what would move a cursor.
pub(super) fn tail(path: &Path) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(end.saturating_sub(TAIL_BYTES)))?;
        file.take(TAIL_BYTES).read_to_end(&mut bytes)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    let lines: Vec<String> = text
        .lines()
        .map(clean)
        .filter(|line| !line.is_empty())
        .collect();
    let skipped = lines.len().saturating_sub(TAIL_LINES);
    lines
        .iter()
        .skip(skipped)
        .map(|line| format!("  {line}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Write;

    use super::*;

    #[derive(Default)]
    struct Notes(RefCell<Vec<String>>);

    impl Notes {
        fn add(&self, note: String) {
            self.0.borrow_mut().push(note);
        }
    }

    impl Progress for Notes {
        fn begin(&self, what: &str, _total: Option<u64>) {
            self.add(format!("begin {what}"));
        }
        fn begin_count(&self, what: &str, total: u64) {
            self.add(format!("begin {what} of {total}"));
        }
        fn advance(&self, n: u64) {
            self.add(format!("+{n}"));
        }
        fn finish(&self) {
            self.add("end".to_owned());
        }
        fn line(&self, message: &str) {
            self.add(message.to_owned());
        }
    }

    #[test]
    fn steps_and_packages_are_shown_as_they_come() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let notes = Notes::default();
        let mut log = Log::of(file.path(), &notes);
        file.write_all(b"Unpacking nothing\r\n@@ 0 one\r\n@@ 2 tw")
            .unwrap();
        log.follow();
        file.write_all(b"o\r\nUnpacking a (1) ...\r\nSetting up a (1) ...\r\n\xff\r\n@@ x\n")
            .unwrap();
        log.follow();
        drop(log);
        let expected = ["begin one", "end", "begin two of 2", "+1", "+1", "end"];
        assert_eq!(*notes.0.borrow(), expected);
    }

    #[test]
    fn the_tail_is_short_and_harmless() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for n in 0..3000 {
            write!(file, "line {n}\x1b[2J\r\n\r\n").unwrap();
        }
        let tail = tail(file.path());
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("  line 2999[2J\n"), "{tail}");
        assert_eq!(super::tail(Path::new("/nowhere/at all")), "");
    }
}
