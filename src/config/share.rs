//! `--share`: which folder of the host the guest gets, and under which name.

use std::path::PathBuf;

use isoform_devices::virtio::p9::spec::TAG_MAX;

/// A folder for the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The folder on the host.
    pub folder: PathBuf,
    /// The name that the guest mounts it by: 1 to [`TAG_MAX`] bytes.
    pub tag: String,
    /// The guest cannot change anything in it.
    pub readonly: bool,
}

/// Reads `HOSTDIR:TAG[:ro]`. What stands before the last colons may hold some itself.
///
/// # Errors
/// A part is missing, or the tag is one that could not be typed in the guest.
pub fn share(text: &str) -> Result<Share, String> {
    let parts = |text: &str| {
        let (folder, tag) = text.rsplit_once(':')?;
        Some((folder.to_owned(), tag.to_owned()))
    };
    let read_only = text.strip_suffix(":ro").and_then(parts);
    let readonly = read_only.is_some();
    let Some((folder, tag)) = read_only.or_else(|| parts(text)) else {
        return Err("it is HOSTDIR:TAG or HOSTDIR:TAG:ro, such as .:work".to_owned());
    };
    if matches!(tag.as_str(), "ro" | "rw") {
        return Err(format!(
            "`{tag}` stands where the tag belongs: HOSTDIR:TAG:ro is a folder to read only"
        ));
    }
    if folder.is_empty() {
        return Err("it names no folder; the one you are in is `.`".to_owned());
    }
    if tag.is_empty() || !tag.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
        return Err(format!(
            "`{tag}` is no tag: that is a word without blanks and commas, by which the guest mounts the folder"
        ));
    }
    if tag.len() > TAG_MAX {
        return Err(format!(
            "the tag has {} bytes, and {TAG_MAX} are the most",
            tag.len()
        ));
    }
    Ok(Share {
        folder: folder.into(),
        tag,
        readonly,
    })
}

/// Checks shares against each other.
///
/// # Errors
/// Two have one tag: the guest would find the first only.
pub fn check(shares: &[Share]) -> Result<(), String> {
    for (nth, share) in shares.iter().enumerate() {
        if let Some(other) = shares.iter().take(nth).find(|s| s.tag == share.tag) {
            return Err(format!(
                "the folders {} and {} both have the tag {}; give one of them another",
                other.folder.display(),
                share.folder.display(),
                share.tag
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_tag_and_access_are_told_apart() {
        for (text, folder, tag, readonly) in [
            (".:work", ".", "work", false),
            ("/a/b:tag:ro", "/a/b", "tag", true),
            ("/a:b:tag", "/a:b", "tag", false),
            ("/a:b:tag:ro", "/a:b", "tag", true),
        ] {
            let expected = Share {
                folder: folder.into(),
                tag: tag.to_owned(),
                readonly,
            };
            assert_eq!(share(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_share_is_refused() {
        let long = format!("dir:{}", "t".repeat(256));
        for text in [
            "",
            "dir",
            "dir:ro",
            "dir:rw",
            "dir:ro:ro",
            ":tag",
            ":",
            "dir:",
            "dir::ro",
            "dir:a b",
            "dir:a,b",
            &long,
        ] {
            assert!(share(text).is_err(), "{text}");
        }
        assert!(share(&format!("dir:{}", "t".repeat(255))).is_ok());
    }

    #[test]
    fn a_tag_names_one_folder() {
        let shares = |texts: &[&str]| -> Vec<Share> {
            texts.iter().map(|t| share(t).expect("good")).collect()
        };
        assert!(check(&shares(&["a:x", "a:y"])).is_ok());
        assert!(check(&shares(&["a:x", "b:y", "c:x:ro"])).is_err());
    }
}
