//! A hart's state as names and values.

use isoform_riscv::disasm::{F_NAMES, X_NAMES};
use isoform_riscv::{Reservation, State};

/// Every register, and what else the state holds, in the manual's names.
pub(super) fn named(state: &State) -> Vec<(String, u64)> {
    // All fields by name: one added later must be decided on here.
    let State {
        x,
        f,
        pc,
        icount,
        privilege,
        fcsr,
        reservation:
            Reservation {
                valid,
                size,
                addr,
                value,
            },
        mstatus,
        medeleg,
        mideleg,
        mie,
        mtvec,
        mcounteren,
        menvcfg,
        mcountinhibit,
        mscratch,
        mepc,
        mcause,
        mtval,
        mseccfg,
        pmpcfg,
        pmpaddr,
        stvec,
        scounteren,
        senvcfg,
        sscratch,
        sepc,
        scause,
        stval,
        stimecmp,
        satp,
        mcycle_offset,
        minstret_offset,
        miselect,
        siselect,
    } = state;
    let mut all: Vec<(String, u64)> = vec![("pc".into(), *pc)];
    let numbered = |names: &[&str; 32], values: &[u64; 32]| -> Vec<(String, u64)> {
        let names = names.iter().map(|name| (*name).to_owned());
        names.zip(values.iter().copied()).collect()
    };
    all.extend(numbered(&X_NAMES, x));
    all.extend(numbered(&F_NAMES, f));
    let others = [
        ("privilege", *privilege as u64),
        ("fcsr", u64::from(*fcsr)),
        ("mstatus", *mstatus),
        ("medeleg", *medeleg),
        ("mideleg", *mideleg),
        ("mie", *mie),
        ("mtvec", *mtvec),
        ("mcounteren", *mcounteren),
        ("menvcfg", *menvcfg),
        ("mcountinhibit", *mcountinhibit),
        ("mscratch", *mscratch),
        ("mepc", *mepc),
        ("mcause", *mcause),
        ("mtval", *mtval),
        ("mseccfg", *mseccfg),
        ("stvec", *stvec),
        ("scounteren", *scounteren),
        ("senvcfg", *senvcfg),
        ("sscratch", *sscratch),
        ("sepc", *sepc),
        ("scause", *scause),
        ("stval", *stval),
        ("stimecmp", *stimecmp),
        ("satp", *satp),
        ("reservation", u64::from(*valid)),
        ("reservation size", u64::from(*size)),
        ("reservation address", *addr),
        ("reservation value", *value),
        ("mcycle offset", *mcycle_offset),
        ("minstret offset", *minstret_offset),
        ("miselect", *miselect),
        ("siselect", *siselect),
        ("instructions", *icount),
    ];
    all.extend(others.map(|(name, value)| (name.to_owned(), value)));
    for (n, (config, address)) in pmpcfg.iter().zip(pmpaddr).enumerate() {
        all.push((format!("pmpcfg[{n}]"), u64::from(*config)));
        all.push((format!("pmpaddr{n}"), *address));
    }
    all
}
