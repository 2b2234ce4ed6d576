//! `--pflash` and `--fw-cfg`: what firmware starts from, and what it is handed.

use std::path::PathBuf;
use std::sync::Arc;

use super::words;

/// Physical address of the first flash bank of the `virt` board.
pub const FLASH_BASE: u64 = 0x2000_0000;
/// Bytes of a flash bank.
pub const FLASH_BANK: u64 = 32 << 20;
/// Flash banks, one behind the other.
pub const FLASH_BANKS: usize = 2;

/// What a flash bank holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PflashSpec {
    /// The file with the contents.
    pub file: PathBuf,
    /// The guest cannot change them.
    pub readonly: bool,
    /// What the guest changes vanishes with the machine.
    pub snapshot: bool,
}

/// Reads `FILE[,readonly=on|off][,snapshot=on|off]`, or `file=FILE` and the same.
///
/// # Errors
/// An unknown key, a bad value, a key given twice, no file.
pub fn pflash(text: &str) -> Result<PflashSpec, String> {
    let mut words = words::split(text)?.into_iter();
    let file = match words.next() {
        Some(word) if word.value.is_none() => word.key,
        Some(word) if word.key == "file" => words::value(&word)?.to_owned(),
        _ => return Err("it begins with a file: --pflash code.fd,readonly=on".to_owned()),
    };
    if file.is_empty() {
        return Err("it names no file: --pflash code.fd".to_owned());
    }
    let (mut readonly, mut snapshot) = (None, None);
    for word in words {
        let value = words::switch(&word.key, word.value.as_deref());
        let place = match word.key.as_str() {
            "readonly" => &mut readonly,
            "snapshot" => &mut snapshot,
            other => {
                return Err(format!(
                    "there is no `{other}` here; known are readonly and snapshot"
                ));
            }
        };
        if place.replace(value?).is_some() {
            return Err(format!("`{}` is given twice", word.key));
        }
    }
    Ok(PflashSpec {
        file: file.into(),
        readonly: readonly.unwrap_or(false),
        snapshot: snapshot.unwrap_or(false),
    })
}

/// A named item for firmware, as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FwCfgSpec {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub content: FwCfgContent,
}

/// What an item is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FwCfgContent {
    /// A file's bytes.
    File(PathBuf),
    /// These characters, without an end mark.
    Text(String),
}

/// An item for firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FwCfgItem {
    /// What firmware asks for.
    pub name: FwCfgName,
    /// The bytes.
    pub bytes: Arc<[u8]>,
}

/// How firmware asks for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FwCfgName {
    /// By a fixed key.
    Key(u16),
    /// By a name in the directory.
    File(String),
}

/// Reads `[name=]NAME,file=F` or `[name=]NAME,string=S`.
///
/// # Errors
/// No name, or one that the directory has no room for; neither or both contents.
pub fn fw_cfg(text: &str) -> Result<FwCfgSpec, String> {
    let form = || "it is NAME,file=F or NAME,string=S, with a name such as opt/org.example/x";
    let mut words = words::split(text)?.into_iter();
    let name = match words.next() {
        Some(word) if word.value.is_none() => word.key,
        Some(word) if word.key == "name" => words::value(&word)?.to_owned(),
        _ => return Err(form().to_owned()),
    };
    let most = isoform_devices::fw_cfg::spec::NAME_BYTES - 1;
    if name.len() > most || !name.is_ascii() || name.contains('\0') {
        return Err(format!("a name has at most {most} characters, all ASCII"));
    }
    let (Some(word), None) = (words.next(), words.next()) else {
        return Err(form().to_owned());
    };
    let content = match (word.key.as_str(), word.value) {
        ("file", Some(file)) if !file.is_empty() => FwCfgContent::File(file.into()),
        ("string", Some(text)) => FwCfgContent::Text(text),
        _ => return Err(form().to_owned()),
    };
    Ok(FwCfgSpec { name, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flash_is_a_file_with_switches() {
        let spec = |file: &str, readonly, snapshot| {
            Ok(PflashSpec {
                file: file.into(),
                readonly,
                snapshot,
            })
        };
        assert_eq!(pflash("code.fd"), spec("code.fd", false, false));
        assert_eq!(pflash("a,,b,readonly=on"), spec("a,b", true, false));
        assert_eq!(
            pflash("file=x=y,snapshot=on,readonly=off"),
            spec("x=y", false, true)
        );
        for bad in [
            "",
            "readonly=on",
            "file=",
            "f,readonly",
            "f,readonly=on,readonly=on",
            "f,unit=1",
        ] {
            assert!(pflash(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn items_have_a_name_and_one_content() {
        let text = |name: &str, text: &str| {
            Ok(FwCfgSpec {
                name: name.into(),
                content: FwCfgContent::Text(text.into()),
            })
        };
        assert_eq!(fw_cfg("opt/x,string="), text("opt/x", ""));
        assert_eq!(fw_cfg("name=opt/x,string=a,,b=c"), text("opt/x", "a,b=c"));
        let file = fw_cfg("opt/x,file=/f").map(|s| s.content);
        assert_eq!(file, Ok(FwCfgContent::File("/f".into())));
        for bad in [
            "",
            "opt/x",
            "file=x",
            "opt/x,file=",
            "opt/x,string",
            "opt/x,string=a,file=b",
            "opt/é,string=a",
        ] {
            assert!(fw_cfg(bad).is_err(), "{bad}");
        }
        assert!(fw_cfg(&format!("{},string=a", "x".repeat(56))).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-z=,/]{0,24}|.{0,24}") {
            let _ = (pflash(&text), fw_cfg(&text));
        }
    }
}
