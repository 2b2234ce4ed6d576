//! What firmware is handed: the items of `--fw-cfg`, and a kernel for it to start.

use std::path::Path;

use super::{Failure, conflict};
use crate::boot::load::{LoadError, Source};
use crate::config::firmware::{FwCfgContent, FwCfgItem, FwCfgName, FwCfgSpec};
use isoform_devices::fw_cfg::spec::key;

/// The most that an item can have: its size has 32 bits.
const MOST: u64 = u32::MAX as u64;

/// Opens and reads what is asked for, after what is there already.
pub(super) fn items(
    specs: &[FwCfgSpec],
    mut items: Vec<FwCfgItem>,
) -> Result<Vec<FwCfgItem>, Failure> {
    for FwCfgSpec { name, content } in specs {
        let named = FwCfgName::File(name.clone());
        if items.iter().any(|item| item.name == named) {
            return Err(conflict(format_args!("--fw-cfg {name} is given twice")));
        }
        let bytes = match content {
            FwCfgContent::Text(text) => text.clone().into_bytes(),
            FwCfgContent::File(path) => bytes_of(path)?,
        };
        items.push(FwCfgItem {
            name: named,
            bytes: bytes.into(),
        });
    }
    Ok(items)
}

/// A kernel with what goes beside it, for firmware to start.
pub(super) fn kernel(
    kernel: &Path,
    initrd: Option<&Path>,
    append: Option<&str>,
) -> Result<Vec<FwCfgItem>, LoadError> {
    let mut items = Vec::new();
    let mut hand = |size, data, bytes: Vec<u8>| {
        let length = bytes.len() as u32;
        items.push(by_key(size, length.to_le_bytes().into()));
        items.push(by_key(data, bytes));
    };
    hand(key::KERNEL_SIZE, key::KERNEL_DATA, bytes_of(kernel)?);
    if let Some(initrd) = initrd {
        hand(key::INITRD_SIZE, key::INITRD_DATA, bytes_of(initrd)?);
    }
    if let Some(append) = append {
        let text = [append.as_bytes(), b"\0"].concat();
        hand(key::CMDLINE_SIZE, key::CMDLINE_DATA, text);
    }
    Ok(items)
}

fn by_key(key: u16, bytes: Vec<u8>) -> FwCfgItem {
    FwCfgItem {
        name: FwCfgName::Key(key),
        bytes: bytes.into(),
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, LoadError> {
    let source = Source::open(path)?;
    if source.len() > MOST {
        return Err(LoadError::Unsupported {
            file: source.name().to_owned(),
            what: "4 GiB or larger".into(),
            advice: "firmware can be handed less than that".into(),
        });
    }
    source.read_up_to(0, MOST)
}
