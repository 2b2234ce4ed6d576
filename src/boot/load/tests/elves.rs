//! ELF files.

use super::*;

#[test]
fn a_program_at_the_ram_base_owns_the_machine() {
    let mut file = elf(vec![
        load_at(BASE, b"code"),
        load_at(BASE + 0x1000, b"data"),
    ]);
    file.loads[1].memsz = 0x100;
    file.entry = BASE + 2;
    let program = of(&file.bytes()).expect("a good file");
    assert_eq!(program.start_mode(BASE), StartMode::Machine);
    let mut ram = Ram::new(16 << 20);
    let entry = program.load(&mut ram).expect("it fits");
    assert_eq!(entry, Entry::at(BASE + 2, BASE..BASE + 0x1100));
    assert_eq!(ram.bytes(BASE, 4), b"code");
    assert_eq!(ram.bytes(BASE + 0x1000, 5), b"data\0");
    assert!(ram.zeroed.contains(&(BASE + 0x1004..BASE + 0x1100)));
}

#[test]
fn a_second_load_restores_zeroed_data() {
    let mut file = elf(vec![load_at(BASE, b"code")]);
    file.loads[0].memsz = 16;
    let program = of(&file.bytes()).expect("a good file");
    let mut ram = Ram::new(16 << 20);
    program.load(&mut ram).expect("it fits");
    ram.write(BASE, &[0xaa; 16]).expect("RAM");
    program.load(&mut ram).expect("it fits");
    assert_eq!(ram.bytes(BASE, 16), b"code\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn tohost_means_the_bare_machine_wherever_it_is_linked() {
    let mut file = elf(vec![load_at(BASE + 0x20_0000, &[0; 64])]);
    assert_eq!(
        of(&file.bytes()).map(|p| p.start_mode(BASE)).ok(),
        Some(StartMode::Supervisor)
    );
    file.symbols = vec![
        ("tohost", BASE + 0x20_0010),
        ("fromhost", BASE + 0x20_0018),
        ("begin_signature", BASE + 0x20_0020),
        ("end_signature", BASE + 0x20_0030),
    ];
    let program = of(&file.bytes()).expect("a good file");
    assert_eq!(program.start_mode(BASE), StartMode::Machine);
    let entry = program.load(&mut Ram::new(16 << 20)).expect("it fits");
    let htif = Htif {
        tohost: BASE + 0x20_0010,
        fromhost: Some(BASE + 0x20_0018),
    };
    assert_eq!(entry.htif, Some(htif));
    assert_eq!(entry.signature, Some(BASE + 0x20_0020..BASE + 0x20_0030));
}

#[test]
fn entry_and_symbols_are_turned_into_physical_addresses() {
    let virt = 0xffff_ffc0_0000_0000;
    let mut file = elf(vec![Load {
        vaddr: virt,
        ..load_at(BASE + 0x1000, &[1; 32])
    }]);
    file.entry = virt + 8;
    file.symbols = vec![("tohost", virt + 16)];
    let entry = exercise(&file.bytes()).expect("a good file");
    assert_eq!(entry.pc, BASE + 0x1008);
    assert_eq!(entry.htif.map(|h| h.tohost), Some(BASE + 0x1010));
}

#[test]
fn a_vmlinux_is_a_kernel_wherever_it_is_linked() {
    let kernel = image(0x20_0000, 0, 256);
    for paddr in [0, 0xffff_ffff_8000_0000, BASE + 0x20_0000] {
        let virt = 0xffff_ffff_8000_0000;
        let head = Load {
            vaddr: virt,
            paddr,
            memsz: 256,
            kind: 1,
            data: kernel.clone(),
        };
        let data = Load {
            vaddr: virt + 0x1000,
            paddr: paddr + 0x1000,
            ..load_at(0, b"more")
        };
        let mut file = elf(vec![head, data]);
        file.kind = 3;
        file.entry = virt;
        let program = of(&file.bytes()).expect("a good file");
        assert!(program.is_linux() && program.start_mode(BASE) == StartMode::Supervisor);
        let mut ram = Ram::new(16 << 20);
        let entry = program.load(&mut ram).expect("it fits");
        assert_eq!(entry.pc, BASE + 0x20_0000);
        assert_eq!(ram.bytes(BASE + 0x20_1000, 4), b"more");
    }
}

#[test]
fn a_relocatable_program_linked_at_0_goes_to_the_ram_base() {
    let mut file = elf(vec![load_at(0, b"firm"), load_at(0x1000, b"ware")]);
    file.kind = 3;
    file.entry = 0;
    let program = of(&file.bytes()).expect("a good file");
    assert_eq!(program.start_mode(BASE), StartMode::Machine);
    let entry = program.load(&mut Ram::new(16 << 20)).expect("it fits");
    assert_eq!((entry.pc, entry.extent), (BASE, BASE..BASE + 0x1004));
    file.kind = 2;
    assert!(matches!(
        exercise(&file.bytes()),
        Err(LoadError::OutsideRam { .. })
    ));
}

#[test]
fn segments_outside_ram_are_named() {
    for addr in [0, BASE - 2, BASE + (64 << 20) - 2, u64::MAX - 3] {
        let error = exercise(&elf(vec![load_at(BASE, b"ok"), load_at(addr, b"four")]).bytes());
        let Err(LoadError::OutsideRam { what, wants, .. }) = error else {
            panic!("{addr:#x}: {error:?}");
        };
        assert_eq!((what.as_str(), wants.start), ("segment 1", addr));
    }
}

#[test]
fn what_is_no_program_for_this_machine_is_refused() {
    let good = || elf(vec![load_at(BASE, b"code")]);
    let wrong = [
        ElfFile { class: 1, ..good() },
        ElfFile { data: 2, ..good() },
        ElfFile {
            machine: 62,
            ..good()
        },
    ];
    for file in wrong {
        assert!(matches!(
            of(&file.bytes()),
            Err(LoadError::WrongArch { .. })
        ));
    }
    for kind in [0, 1, 4] {
        let file = ElfFile { kind, ..good() };
        assert!(matches!(
            of(&file.bytes()),
            Err(LoadError::Unsupported { .. })
        ));
    }
    let interpreter = Load {
        kind: 3,
        ..load_at(0, b"/lib/ld.so\0")
    };
    let user = elf(vec![load_at(BASE, b"code"), interpreter]);
    assert!(of(&user.bytes()).is_err_and(|e| e.to_string().contains("user space")));
}

#[test]
fn contradictions_are_refused() {
    let good = || elf(vec![load_at(BASE, b"code")]);
    let overlapping = elf(vec![load_at(BASE, &[0; 64]), load_at(BASE + 63, b"x")]);
    assert!(matches!(
        exercise(&overlapping.bytes()),
        Err(LoadError::Malformed { .. })
    ));
    let mut short = good();
    short.loads[0].memsz = 3;
    assert!(matches!(
        of(&short.bytes()),
        Err(LoadError::Malformed { .. })
    ));
    let lost = ElfFile {
        entry: BASE + 4,
        ..good()
    };
    assert!(matches!(
        of(&lost.bytes()),
        Err(LoadError::Malformed { .. })
    ));
    assert!(matches!(
        of(&elf(vec![]).bytes()),
        Err(LoadError::Malformed { .. })
    ));
}

#[test]
fn symbols_become_labels_for_listings() {
    let mut file = elf(vec![load_at(BASE, &[0; 16])]);
    file.symbols = vec![
        ("b", BASE + 8),
        ("a", BASE),
        ("$x", BASE),
        (".L1", BASE + 4),
    ];
    let labels = elf::labels(&Source::from_bytes("test", file.bytes())).expect("a good file");
    assert_eq!(labels, [(BASE, "a".to_owned()), (BASE + 8, "b".to_owned())]);
}

/// The committed guest programs, built by a toolchain and not by this file.
#[test]
fn the_built_in_guest_and_a_test_program() {
    let bin = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("test-roms/bin");
    let hello = detect_path(&bin.join("hello.elf")).expect("committed");
    assert_eq!(hello.start_mode(BASE), StartMode::Machine);
    assert_eq!(
        hello.load(&mut Ram::new(64 << 20)).map(|e| e.pc).ok(),
        Some(BASE)
    );
    let test = detect_path(&bin.join("rv64i.elf")).expect("committed");
    let entry = test.load(&mut Ram::new(64 << 20)).expect("it fits");
    let htif = entry.htif.expect("it reports through tohost");
    assert!(entry.extent.contains(&htif.tohost));
}
