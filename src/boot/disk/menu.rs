//! What boot loaders are told: `extlinux.conf` (the Boot Loader Specification's elder,
//! U-Boot's "distro boot") and as much of `grub.cfg` as `grub-mkconfig` writes.

/// The language of a menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Keywords, one a line.
    Extlinux,
    /// GRUB's shell.
    Grub,
}

/// What a menu boots if nobody chooses. Paths are absolute on the menu's file system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Choice {
    pub(super) kernel: String,
    pub(super) initrd: Vec<String>,
    pub(super) append: String,
}

/// The menu's default; `None` where it has no kernel in it.
pub(super) fn choose(text: &str, form: Form, path: &str) -> Option<Choice> {
    let mut choice = match form {
        Form::Extlinux => extlinux(text),
        Form::Grub => grub(text),
    }?;
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let absolute = |path: &mut String| {
        if !path.starts_with('/') {
            *path = format!("{folder}/{path}");
        }
    };
    absolute(&mut choice.kernel);
    choice.initrd.iter_mut().for_each(absolute);
    Some(choice)
}

/// The label that `default` names, else the first.
fn extlinux(text: &str) -> Option<Choice> {
    let mut default = None;
    let mut entries: Vec<(&str, Choice)> = Vec::new();
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        let entry = entries.last_mut().map(|(_, choice)| choice);
        match (word.to_ascii_lowercase().as_str(), entry) {
            ("default", _) => default = Some(rest),
            ("label", _) => entries.push((rest, Choice::default())),
            ("linux" | "kernel", Some(entry)) => entry.kernel = rest.to_owned(),
            ("initrd", Some(entry)) => entry.initrd = rest.split(',').map(str::to_owned).collect(),
            ("append", Some(entry)) => entry.append = rest.to_owned(),
            _ => {}
        }
    }
    entries.retain(|(_, choice)| !choice.kernel.is_empty());
    let chosen = entries
        .iter()
        .position(|(label, _)| Some(*label) == default)
        .unwrap_or(0);
    (chosen < entries.len()).then(|| entries.swap_remove(chosen).1)
}

/// The first kernel, which is the default unless somebody changed it, and the initrd
/// behind it. Words that GRUB would have to compute are left out.
fn grub(text: &str) -> Option<Choice> {
    let commands = text.lines().map(words).filter(|words| words.len() > 1);
    let mut commands = commands.skip_while(|words| words.first().is_none_or(|w| w != "linux"));
    let linux = commands.next()?;
    let initrd = commands
        .take_while(|words| words.first().is_none_or(|w| w != "linux"))
        .find(|words| words.first().is_some_and(|w| w == "initrd"));
    let fixed = |word: &&String| !word.contains('$');
    Some(Choice {
        kernel: linux.get(1).filter(fixed)?.clone(),
        initrd: initrd
            .iter()
            .flat_map(|words| words.iter().skip(1))
            .filter(fixed)
            .cloned()
            .collect(),
        append: linux
            .iter()
            .skip(2)
            .filter(fixed)
            .cloned()
            .collect::<Vec<_>>()
            .join(" "),
    })
}

/// The words of a line, of which quotes are taken off.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '#') if word.is_none() => break,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == c => quote = None,
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extlinux_has_a_default_and_relative_paths() {
        let text = "## made by hand\ndefault l1\n\nlabel l0\n\tmenu label A\n\tlinux /boot/a\n\
                    label l1\n\tLINUX ../b\n\tinitrd /boot/i,j\n\tappend root=/dev/vda ro  quiet\n\
                    label l2\n";
        let choice = choose(text, Form::Extlinux, "/boot/extlinux/extlinux.conf").unwrap();
        assert_eq!(choice.kernel, "/boot/extlinux/../b");
        assert_eq!(choice.initrd, ["/boot/i", "/boot/extlinux/j"]);
        assert_eq!(choice.append, "root=/dev/vda ro  quiet");
        let first = choose(&text.replace("l1\n\n", "gone\n\n"), Form::Extlinux, "/e").unwrap();
        assert_eq!(first.kernel, "/boot/a");
    }

    #[test]
    fn grubs_first_entry_is_taken_without_what_it_would_compute() {
        let text = "set default=\"0\"\nif [ x = y ]; then\n  echo 'no linux here'\nfi\n\
                    menuentry 'Debian' --class debian {\n\tsearch --no-floppy\n\
                    \tlinux\t/boot/vmlinux-6 root=UUID=1-2 ro  console=ttyS0 $vt_handoff 'a b'\n\
                    \techo\t'Loading'\n\tinitrd\t/boot/initrd.img-6\n}\n\
                    menuentry 'Old' {\n\tlinux /boot/old\n\tinitrd /boot/old.img\n}\n";
        let choice = choose(text, Form::Grub, "/boot/grub/grub.cfg").unwrap();
        assert_eq!(choice.kernel, "/boot/vmlinux-6");
        assert_eq!(choice.initrd, ["/boot/initrd.img-6"]);
        assert_eq!(choice.append, "root=UUID=1-2 ro console=ttyS0 a b");
        let bare = choose("linux /k\nlinux /l\ninitrd /i", Form::Grub, "/g").unwrap();
        assert_eq!(bare.initrd, Vec::<String>::new());
    }

    #[test]
    fn a_menu_without_a_kernel_is_none() {
        for text in [
            "",
            "label a\nappend x",
            "linux",
            "linux $kernel",
            "default a\nlinux /a",
        ] {
            assert_eq!(choose(text, Form::Extlinux, "/a/b"), None, "{text}");
            if !text.ends_with("/a") {
                assert_eq!(choose(text, Form::Grub, "/a/b"), None, "{text}");
            }
        }
    }
}
