//! The groups of the table, and the bars that they are held to.

use super::table::Bar;

/// A group of rows.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) what: What,
    pub(super) bar: Bar,
}

/// How the rows of a group are got.
pub(super) enum What {
    /// Bare programs (`bench_…` of `test-roms/roms.toml`), from process start to end.
    Bare(&'static [&'static str]),
    /// Works of the Linux program, by the guest's clock; one boot does all of them.
    Works,
    /// Works of the Linux program that devices take part in: a scratch disk, and a card
    /// on a network of the guest's own.
    Devices,
    /// Walking and packing a shared folder, by the guest's clock; one boot does both.
    Share,
    /// The share of a CPU that a guest takes which waits, with a disk and a card: no
    /// comparison with QEMU, but with the most that it may be.
    Idle,
    /// Real programs on a disk with Debian, by the guest's clock; one boot does all.
    Real,
    /// From process start, by way of userland, to power-off; Isoform with code that an
    /// earlier boot kept, or without.
    Boot { warm: bool },
    /// A work for two processes, on one hart and on two: no comparison with QEMU, but
    /// of each with itself.
    Harts,
}

/// Shown, but held to nothing.
pub(super) const NO_BAR: Bar = bar(None, None);

const fn bar(mean: Option<f64>, each: Option<f64>) -> Bar {
    Bar {
        mean,
        total: None,
        each,
    }
}

/// All groups, in the order of the table.
pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "integer",
        what: What::Works,
        bar: bar(Some(2.0), Some(1.2)),
    },
    Group {
        name: "float",
        what: What::Works,
        bar: bar(Some(2.0), None),
    },
    Group {
        name: "memory",
        what: What::Works,
        bar: bar(Some(1.5), None),
    },
    Group {
        name: "kernel",
        what: What::Works,
        bar: bar(None, Some(1.0)),
    },
    Group {
        name: "rewriting",
        what: What::Works,
        bar: bar(None, Some(1.0)),
    },
    Group {
        name: "bare",
        what: What::Bare(&[
            "sort",
            "sha",
            "table",
            "matrix",
            "state",
            "list",
            "interpret",
            "fib",
            "strings",
            "sieve",
            "crc",
        ]),
        bar: bar(Some(2.0), Some(1.2)),
    },
    Group {
        name: "bare-float",
        what: What::Bare(&["nbody", "product", "mandelbrot", "fft"]),
        bar: bar(Some(2.0), None),
    },
    Group {
        name: "bare-tlb",
        what: What::Bare(&["tlb_hit", "tlb_miss"]),
        bar: NO_BAR,
    },
    Group {
        name: "real",
        what: What::Real,
        bar: Bar {
            mean: None,
            total: Some(1.3),
            each: Some(0.9),
        },
    },
    Group {
        name: "disk",
        what: What::Devices,
        bar: bar(None, Some(1.5)),
    },
    Group {
        name: "scattered",
        what: What::Devices,
        bar: bar(None, Some(1.0)),
    },
    Group {
        name: "network",
        what: What::Devices,
        bar: bar(None, Some(1.5)),
    },
    Group {
        name: "share",
        what: What::Share,
        bar: bar(None, Some(1.0)),
    },
    Group {
        name: "idle",
        what: What::Idle,
        bar: NO_BAR,
    },
    Group {
        name: "boot",
        what: What::Boot { warm: false },
        bar: bar(None, Some(1.0)),
    },
    Group {
        name: "boot-warm",
        what: What::Boot { warm: true },
        bar: bar(None, Some(1.5)),
    },
    Group {
        name: "harts",
        what: What::Harts,
        bar: bar(None, Some(1.7)),
    },
];

/// The groups whose kernels are portable, and so have a native judge.
pub(super) const PORTABLE: &[&str] = &["integer", "float", "memory"];
