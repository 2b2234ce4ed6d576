//! Operands at which something changes: zeros, the ends of the subnormal, normal and
//! integer ranges, what rounds to them, NaNs.

/// Values that results at the ends of a format's range come from, by a few constants of
/// the format.
macro_rules! values {
    ($name:ident, $F:ident, $least:expr) => {
        pub(crate) const $name: &[$F] = &[
            0.0,
            -0.0,
            1.0,
            -1.0,
            1.5,
            -0.5,
            0.1,
            2.0,
            3.0,
            -7.0,
            1e3 / 3.0,
            1.0 + $F::EPSILON,
            1.0 - $F::EPSILON / 2.0,
            // The subnormals, and the first normal values.
            $least,
            -3.0 * $least,
            $F::MIN_POSITIVE / 2.0,
            $F::MIN_POSITIVE - $least,
            $F::MIN_POSITIVE,
            -$F::MIN_POSITIVE,
            $F::MIN_POSITIVE + $least,
            $F::MIN_POSITIVE * 2.0,
            $F::MIN_POSITIVE * 2.0 - $least,
            $F::MIN_POSITIVE * 1.3,
            $F::MAX,
            $F::MIN,
            $F::MAX / 2.0,
            $F::MAX / 3.0,
            $F::INFINITY,
            $F::NEG_INFINITY,
            // Whole numbers: halves of them, the ends of the integer types.
            0.75,
            2.5,
            -3.5,
            2147483647.0,
            2147483648.0,
            -2147483648.0,
            -2147483649.0,
            2147483647.5,
            4294967295.0,
            4294967296.0,
            4294967295.5,
            -0.99,
            9007199254740993.0,
            9223372036854774784.0,
            9223372036854775808.0,
            -9223372036854775808.0,
            -9223372036854777856.0,
            18446744073709551616.0,
            18446744073709549568.0,
        ];
    };
}

values!(SINGLES, f32, f32::from_bits(1));
values!(DOUBLES, f64, f64::from_bits(1));

/// Quiet and signaling, and what a narrower value looks like; then values whose products
/// and quotients are at the ends of the range, and those whose errors are below it.
pub(crate) const NANS_64: [u64; 16] = [
    0x7ff8_0000_0000_0000,
    0xfff8_0000_0000_0001,
    0x7ff0_0000_0000_0001,
    0xffff_ffff_3f80_0000,
    0x1ff0_0000_0000_0001,
    0x2000_0000_0000_0000,
    0x1fff_ffff_ffff_ffff,
    0x2010_0000_0000_0001,
    0x5ff0_0000_0000_0001,
    0x0360_0000_0000_0000,
    0x0350_0000_0000_0001,
    0x0370_0000_0000_0003,
    0x0800_0000_0000_0001,
    0x1b00_0000_0000_0001,
    0x36a0_0000_0000_0000,
    0x3810_0000_0000_0001,
];

/// Quiet and signaling NaNs, values that are not boxed as they should be, and values
/// whose products are at the ends of the range.
pub(crate) const ODD_32: [u64; 12] = [
    0xffff_ffff_7fc0_0000,
    0xffff_ffff_ffc0_0001,
    0xffff_ffff_7f80_0001,
    0x0000_0000_3f80_0000,
    0xffff_fffe_3f80_0000,
    0x3ff0_0000_0000_0000,
    0x7fff_ffff_4000_0000,
    0xffff_ffff_2000_0000,
    0xffff_ffff_1fff_ffff,
    0xffff_ffff_2080_0001,
    0xffff_ffff_5f80_0001,
    0xffff_ffff_1f80_0001,
];

/// Where conversions of integers change.
pub(crate) const INTEGERS: [u64; 22] = [
    0,
    1,
    -1i64 as u64,
    7,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 24,
    (1 << 24) + 1,
    -(1i64 << 24) as u64,
    -((1i64 << 24) + 1) as u64,
    0xff_ffff,
    1 << 53,
    (1 << 53) + 1,
    -(1i64 << 53) as u64,
    -((1i64 << 53) + 1) as u64,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX - 1024,
    0x8000_0000_0000_0001,
    0x1234_5678_9abc_def0,
];

/// Values as they stand in a register.
pub(crate) fn boxed(values: &[f32]) -> impl Iterator<Item = u64> {
    values.iter().map(|v| !0 << 32 | u64::from(v.to_bits()))
}
