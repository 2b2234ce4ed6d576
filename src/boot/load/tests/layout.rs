//! Where firmware, kernel, initrd and device tree go.

use super::*;

const MIB: u64 = 1 << 20;

fn payload(firmware: Firmware, program: &[u8], initrd: &[&[u8]]) -> Payload {
    Payload {
        firmware,
        program: Some(of(program).expect("a good file")),
        initrd: initrd
            .iter()
            .map(|part| Source::from_bytes("initrd", part.to_vec()))
            .collect(),
        dtb: None,
    }
}

fn kernel() -> Vec<u8> {
    image(2 * MIB, 4 * MIB, 4096)
}

#[test]
fn the_usual_layout() {
    let mut ram = Ram::new(1 << 30);
    let parts = payload(Firmware::Builtin, &kernel(), &[b"initrd"]);
    let loaded = parts.load(&mut ram).expect("it fits");
    let initrd = BASE + 130 * MIB;
    assert_eq!(loaded.fdt, BASE + (1 << 30) - 2 * MIB);
    assert_eq!(loaded.initrd, Some(initrd..initrd + 6));
    assert_eq!(ram.bytes(initrd, 6), b"initrd");
    assert_eq!(parts.start_mode(), StartMode::Supervisor);
}

#[test]
fn with_more_memory_the_tree_stays_within_the_first_gib() {
    let parts = payload(Firmware::Builtin, &kernel(), &[]);
    let loaded = parts.load(&mut Ram::new(64 << 30)).expect("it fits");
    assert_eq!(loaded.fdt, BASE + (1 << 30) - 2 * MIB);
}

#[test]
fn with_little_memory_the_initrd_comes_closer() {
    let mut ram = Ram::new(16 * MIB);
    let big = vec![7; 7 * MIB as usize];
    let loaded = payload(Firmware::Builtin, &kernel(), &[&big])
        .load(&mut ram)
        .expect("it fits");
    let initrd = loaded.initrd.expect("there is one");
    assert!(
        initrd.start >= BASE + 6 * MIB && initrd.end <= loaded.fdt,
        "{initrd:x?}"
    );
    assert!(initrd.start.is_multiple_of(4096));
    assert_eq!(ram.bytes(initrd.end - 1, 1), [7]);
}

#[test]
fn an_initrd_larger_than_memory_is_refused_with_its_size() {
    let big = vec![7; 8 * MIB as usize + 1];
    let error = payload(Firmware::Builtin, &kernel(), &[&big]).load(&mut Ram::new(16 * MIB));
    assert!(
        matches!(error, Err(LoadError::InitrdTooLarge { size, room, .. })
            if size == 8 * MIB + 1 && room == 8 * MIB),
        "{error:?}"
    );
}

#[test]
fn parts_of_an_initrd_are_aligned_to_four() {
    let mut ram = Ram::new(1 << 30);
    let loaded = payload(Firmware::Builtin, &kernel(), &[b"fives", b"end"])
        .load(&mut ram)
        .expect("it fits");
    let initrd = loaded.initrd.expect("there is one");
    assert_eq!(initrd.end - initrd.start, 11);
    assert_eq!(ram.bytes(initrd.start, 11), b"fives\0\0\0end");
}

#[test]
fn an_empty_initrd_is_refused() {
    let error = payload(Firmware::Builtin, &kernel(), &[b""]).load(&mut Ram::new(1 << 30));
    assert!(matches!(error, Err(LoadError::Malformed { .. })));
}

#[test]
fn firmware_goes_below_the_kernel() {
    let mut ram = Ram::new(1 << 30);
    let firmware = Source::from_bytes("fw", vec![9; 1000]);
    let parts = payload(Firmware::File(firmware), &kernel(), &[]);
    let loaded = parts.load(&mut ram).expect("it fits");
    assert_eq!(parts.start_mode(), StartMode::Machine);
    assert_eq!(loaded.firmware, Some(Entry::at(BASE, BASE..BASE + 1000)));
    assert_eq!(loaded.program.map(|e| e.pc), Some(BASE + 2 * MIB));
    assert_eq!(ram.bytes(BASE + 999, 2), [9, 0]);
}

#[test]
fn firmware_can_be_an_elf_and_alone() {
    let mut file = elf(vec![load_at(0, b"firm")]);
    file.kind = 3;
    file.entry = 0;
    let parts = Payload {
        firmware: Firmware::File(Source::from_bytes("fw", file.bytes())),
        program: None,
        initrd: Vec::new(),
        dtb: None,
    };
    let loaded = parts.load(&mut Ram::new(1 << 30)).expect("it fits");
    assert_eq!(loaded.firmware.map(|e| e.pc), Some(BASE));
    assert_eq!(loaded.program, None);
}

#[test]
fn firmware_and_program_in_one_place_are_refused() {
    let firmware = Source::from_bytes("fw", vec![9; 1000]);
    let program = elf(vec![load_at(BASE, b"code")]).bytes();
    let error = payload(Firmware::File(firmware), &program, &[]).load(&mut Ram::new(1 << 30));
    assert!(matches!(error, Err(LoadError::Overlap { .. })));
}

#[test]
fn firmware_larger_than_memory_or_empty_is_refused() {
    for len in [0, 17 * MIB as usize] {
        let firmware = Source::from_bytes("fw", vec![9; len]);
        let result =
            payload(Firmware::File(firmware), &kernel(), &[]).load(&mut Ram::new(16 * MIB));
        assert!(result.is_err(), "{len}");
    }
}

#[test]
fn a_program_that_fills_memory_leaves_no_room_for_the_tree() {
    let mut file = elf(vec![load_at(BASE, b"code")]);
    file.loads[0].memsz = 15 * MIB;
    let error = payload(Firmware::None, &file.bytes(), &[]).load(&mut Ram::new(16 * MIB));
    assert!(matches!(error, Err(LoadError::Overlap { .. })), "{error:?}");
}

#[test]
fn device_trees_are_checked() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("x.dtb");
    let write = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        device_tree(&path)
    };
    let mut blob = vec![0; 72];
    put(&mut blob, 0, &0xd00d_feed_u32.to_be_bytes());
    put(&mut blob, 4, &72_u32.to_be_bytes());
    assert_eq!(write(&blob).ok(), Some(blob.clone()));
    for len in 0..72 {
        assert!(write(&blob[..len]).is_err(), "{len}");
    }
    let mut padded = blob.clone();
    padded.resize(100, 0xff);
    assert_eq!(write(&padded).ok(), Some(blob.clone()));
    put(&mut blob, 4, &10_u32.to_be_bytes());
    assert!(write(&blob).is_err());
    assert!(write(b"/dts-v1/; / { };").is_err());
    assert!(write(&vec![0; FDT_ROOM as usize + 1]).is_err());
    assert!(device_tree(dir.path()).is_err());
}
