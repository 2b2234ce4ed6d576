//! `--vsock`: sockets between the guest and this host.

use std::path::PathBuf;

use isoform_net::vsock::PATH_MAX;

use super::words;

/// The lowest number that a guest can have: the others are for hypervisor and host.
const FIRST_CID: u32 = 3;

/// A guest's sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vsock {
    /// The guest's number.
    pub cid: u32,
    /// Where programs of the host come to; beside it are the guest's ports.
    pub uds: PathBuf,
}

/// Reads `cid=N,uds=PATH`.
///
/// # Errors
/// An unknown or missing property, a number that no guest can have, or a path that is too
/// long for a socket.
pub fn vsock(text: &str) -> Result<Vsock, String> {
    let (mut cid, mut uds) = (None, None);
    for word in words::split(text)? {
        let value = words::value(&word)?;
        let again = match word.key.as_str() {
            "cid" => cid.replace(number(value)?).is_some(),
            "uds" => uds.replace(path(value)?).is_some(),
            other => return Err(format!("there is no `{other}` here; known are cid and uds")),
        };
        if again {
            return Err(format!("`{}` is given twice", word.key));
        }
    }
    match (cid, uds) {
        (Some(cid), Some(uds)) => Ok(Vsock { cid, uds }),
        _ => Err("it needs both: --vsock cid=3,uds=PATH".to_owned()),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let cid = text.parse().ok();
    // The last one stands for any.
    cid.filter(|cid| (FIRST_CID..u32::MAX).contains(cid))
        .ok_or_else(|| format!("`cid` is a number from {FIRST_CID} on, not `{text}`"))
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.len() > PATH_MAX {
        return Err(format!(
            "`uds` has {} bytes, and {PATH_MAX} are the most for a socket with others beside it",
            text.len()
        ));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_path_are_read() {
        let expected = Vsock {
            cid: 3,
            uds: "/tmp/a,b".into(),
        };
        assert_eq!(vsock("cid=3,uds=/tmp/a,,b"), Ok(expected.clone()));
        assert_eq!(vsock("uds=/tmp/a,,b,cid=3"), Ok(expected));
    }

    #[test]
    fn what_is_no_vsock_is_refused() {
        let long = format!("cid=3,uds={}", "p".repeat(PATH_MAX + 1));
        for text in [
            "",
            "cid=3",
            "uds=a",
            "cid=2,uds=a",
            "cid=4294967295,uds=a",
            "cid=x,uds=a",
            "cid=3,uds=",
            "cid=3,uds",
            "cid=3,cid=4,uds=a",
            "cid=3,uds=a,bus=1",
            &long,
        ] {
            assert!(vsock(text).is_err(), "{text}");
        }
    }
}
