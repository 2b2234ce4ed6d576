//! SHA-256 sums: Debian's, and the names of cached objects.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::Digest as _;

/// A SHA-256 sum; prints and parses as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Of bytes in memory.
    pub fn of(bytes: &[u8]) -> Sha256 {
        Sha256(sha2::Sha256::digest(bytes).into())
    }

    /// Of a file's content.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn of_file(path: &Path) -> io::Result<Sha256> {
        let mut hasher = Hasher::default();
        io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok(hasher.finish())
    }

    /// From 64 hex digits, the only form Debian's indexes use.
    pub fn parse(text: &str) -> Option<Sha256> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut sum = [0; 32];
        for (byte, pair) in sum.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
        }
        Some(Sha256(sum))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Sums what is written to it.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// The sum so far.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sums what is read through it.
#[derive(Debug)]
pub struct Summed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Summed<R> {
    /// Around `inner`, nothing read yet.
    pub fn new(inner: R) -> Summed<R> {
        Summed {
            inner,
            hasher: Hasher::default(),
        }
    }

    /// The sum of all of it: reads what is left first.
    ///
    /// # Errors
    /// Those of reading the rest.
    pub fn finish(mut self) -> io::Result<Sha256> {
        io::copy(&mut self.inner, &mut self.hasher)?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.0.update(&buf[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's own example.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn sums_are_those_of_the_standard() {
        assert_eq!(Sha256::of(b"abc").to_string(), ABC);
        let mut summed = Summed::new(&b"abc"[..]);
        let mut first = [0; 1];
        summed.read_exact(&mut first).unwrap();
        assert_eq!(summed.finish().unwrap().to_string(), ABC);
    }

    #[test]
    fn only_64_hex_digits_parse() {
        assert_eq!(Sha256::parse(ABC), Some(Sha256::of(b"abc")));
        for bad in [
            "",
            "ab",
            &ABC[1..],
            &format!("{}g", &ABC[1..]),
            &format!("{ABC}0"),
        ] {
            assert_eq!(Sha256::parse(bad), None);
        }
        let wide = "é".repeat(32);
        assert_eq!(wide.len(), 64);
        assert_eq!(Sha256::parse(&wide), None);
    }
}
