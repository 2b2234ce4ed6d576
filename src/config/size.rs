//! Sizes of memory as people write them.

/// Least memory a machine can have, bytes.
pub const MIN_MEMORY: u64 = 16 << 20;
/// Most memory a machine can have, bytes.
pub const MAX_MEMORY: u64 = 64 << 30;
/// Bytes of translated code kept, if nothing else is said.
pub const CODE_CACHE: usize = 128 << 20;
/// Least and most, bytes: room for a few regions, and what near jumps reach.
const CODE_CACHES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 30;
/// Memory comes in pages of this size, bytes.
const PAGE: u64 = 4096;

/// Reads a size: a number of bytes, or one with K, M, G or T behind it (powers of
/// 1024; `MiB` and `MB` mean the same).
///
/// # Errors
/// Anything else, and what exceeds 64 bits.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err("a size is a whole number with K, M, G or T, as in 512M or 4G".to_owned()),
    };
    if number.is_empty() {
        return Err("a size begins with a number, as in 512M or 4G".to_owned());
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .ok_or_else(|| "that is more than 64 bits can count".to_owned())
}

/// Reads the size of the code cache.
///
/// # Errors
/// What [`bytes`] refuses, less than 1 MiB, more than 1 GiB.
pub fn code_cache(text: &str) -> Result<usize, String> {
    let size = bytes(text)?;
    let fits = CODE_CACHES
        .contains(&size)
        .then(|| usize::try_from(size).ok());
    fits.flatten()
        .ok_or_else(|| "the code cache takes from 1M to 1G".to_owned())
}

/// Reads the size of guest memory.
///
/// # Errors
/// What [`bytes`] refuses, less than [`MIN_MEMORY`], more than [`MAX_MEMORY`], or no
/// whole number of pages.
pub fn memory(text: &str) -> Result<u64, String> {
    let size = bytes(text)?;
    if size < MIN_MEMORY {
        let unit = if text.bytes().all(|b| b.is_ascii_digit()) {
            format!("; a number alone counts bytes: is {text}M what you mean?")
        } else {
            String::new()
        };
        return Err(format!(
            "a guest needs at least {}{unit}",
            human(MIN_MEMORY)
        ));
    }
    if size > MAX_MEMORY {
        return Err(format!("a guest can have at most {}", human(MAX_MEMORY)));
    }
    if !size.is_multiple_of(PAGE) {
        return Err(format!(
            "memory comes in pages of {PAGE} bytes; round it to a multiple"
        ));
    }
    Ok(size)
}

/// A size in the largest unit that expresses it exactly or to a tenth.
pub fn human(size: u64) -> String {
    let units = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    for (unit, name) in units {
        if size >= unit {
            let tenths = (u128::from(size) * 10 + u128::from(unit) / 2) / u128::from(unit);
            return match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                tenth => format!("{}.{tenth} {name}", tenths / 10),
            };
        }
    }
    format!("{size} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_and_without_units() {
        let good = [
            ("16M", 16 << 20),
            ("1G", 1 << 30),
            ("1g", 1 << 30),
            ("512MiB", 512 << 20),
            ("64G", 64 << 30),
            ("16777216", 16 << 20),
            ("16384k", 16 << 20),
        ];
        for (text, size) in good {
            assert_eq!(memory(text), Ok(size), "{text}");
        }
        let bad = [
            "",
            "G",
            "1X",
            "-1G",
            "1.5G",
            "0",
            "15M",
            "65G",
            "1T",
            "16777217",
            " 1G",
            "0x10000000",
            "99999999999999999999",
            "18014398509481985K",
            "1G1",
        ];
        for text in bad {
            assert!(memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_alone_gets_the_advice_it_needs() {
        assert!(memory("512").is_err_and(|e| e.contains("512M")));
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(human(999), "999 bytes");
        assert_eq!(human(1 << 30), "1 GiB");
        assert_eq!(human(1536 << 20), "1.5 GiB");
    }
}
