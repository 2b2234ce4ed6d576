//! What the documentation says, and what hostile guests might ask.

use std::sync::Arc;

use isoform_core::{Device, Size};
use isoform_memory::Ram;
use proptest::prelude::*;

use super::spec::{self, key};
use super::{FwCfg, Items};
use crate::testing::{Access, any_access, transfer};

const BASE: u64 = 0x8000_0000;
const RAM: u64 = 0x10_0000;

struct Rig {
    device: FwCfg,
    ram: Arc<Ram>,
}

fn rig() -> Rig {
    let ram = Arc::new(Ram::new(BASE, RAM).expect("1 MiB"));
    let mut items = Items::default();
    items.set(key::NB_CPUS, 3u16.to_le_bytes());
    items.set(key::KERNEL_DATA, vec![0xa5; 100_000]);
    assert!(items.add_file("opt/org.test/text", *b"hello, firmware"));
    assert!(items.add_file("etc/empty", []));
    assert!(!items.add_file("etc/empty", *b"again"));
    assert!(!items.add_file("", []));
    assert!(!items.add_file(&"x".repeat(56), []));
    Rig {
        device: FwCfg::new(items, ram.clone()),
        ram,
    }
}

impl Rig {
    fn select(&mut self, key: u16) {
        let value = key.swap_bytes().into();
        self.device
            .write(spec::SELECTOR, Size::B2, value)
            .expect("answered");
    }
    fn take(&mut self, count: usize) -> Vec<u8> {
        let mut byte = || self.device.read(spec::DATA, Size::B1).expect("answered") as u8;
        (0..count).map(|_| byte()).collect()
    }
    /// Runs a DMA structure at the start of RAM; its control word afterwards.
    fn dma(&mut self, control: u32, length: u32, address: u64) -> u32 {
        let mut bytes = control.to_be_bytes().to_vec();
        bytes.extend(length.to_be_bytes());
        bytes.extend(address.to_be_bytes());
        self.ram.write(BASE, &bytes).expect("RAM");
        self.device
            .write(spec::DMA, Size::B8, BASE.swap_bytes())
            .expect("answered");
        let mut word = [0; 4];
        self.ram.read(BASE, &mut word).expect("RAM");
        u32::from_be_bytes(word)
    }
    fn ram(&self, at: u64, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.ram.read(at, &mut bytes).expect("RAM");
        bytes
    }
}

#[test]
fn it_says_what_it_is() {
    let mut t = rig();
    assert_eq!(t.take(6), b"QEMU\0\0");
    t.select(key::ID);
    assert_eq!(t.take(4), [3, 0, 0, 0]);
    let signature = t.device.read(spec::DMA, Size::B8).expect("answered");
    assert_eq!(signature.to_le_bytes(), *b"QEMU CFG");
    assert_eq!(
        t.device.read(20, Size::B4),
        Ok(u32::from_le_bytes(*b" CFG").into())
    );
}

#[test]
fn data_come_in_the_order_of_addresses_at_any_width() {
    let mut t = rig();
    t.select(key::FILE_FIRST);
    let mut read = |size| t.device.read(spec::DATA, size).expect("answered");
    assert_eq!(read(Size::B8).to_le_bytes(), *b"hello, f");
    assert_eq!(read(Size::B4), u64::from(u32::from_le_bytes(*b"irmw")));
    assert_eq!(read(Size::B2), u64::from(u16::from_le_bytes(*b"ar")));
    assert_eq!(read(Size::B2), u64::from(b'e'), "zeros behind the end");
    assert_eq!(read(Size::B8), 0);
    t.select(key::FILE_FIRST | 0x4000);
    assert_eq!(t.take(5), b"hello");
    t.device.write(spec::DATA, Size::B1, 7).expect("answered");
    assert_eq!(t.take(2), b", ");
    t.select(0x3fff);
    assert_eq!(t.take(3), [0; 3]);
}

#[test]
fn the_directory_lists_what_has_names() {
    let mut t = rig();
    t.select(key::FILE_DIR);
    let directory = t.take(4 + 2 * 64);
    assert_eq!(directory[..4], [0, 0, 0, 2]);
    assert_eq!(directory[4..12], [0, 0, 0, 15, 0, 0x20, 0, 0]);
    assert!(directory[12..].starts_with(b"opt/org.test/text\0"));
    assert_eq!(directory[68..76], [0, 0, 0, 0, 0, 0x21, 0, 0]);
}

#[test]
fn dma_selects_skips_and_copies() {
    let mut t = rig();
    let to = BASE + 0x1001;
    let select = u32::from(key::FILE_FIRST) << 16 | 8;
    assert_eq!(t.dma(select | 4, 7, 0), 0);
    assert_eq!(t.dma(2, 10, to), 0);
    assert_eq!(t.ram(to, 10), b"firmware\0\0");
    let select = u32::from(key::KERNEL_DATA) << 16 | 8;
    assert_eq!(t.dma(select | 2, 100_001, to), 0);
    let copied = t.ram(to, 100_001);
    assert!(copied[..100_000].iter().all(|b| *b == 0xa5));
    assert_eq!(copied[100_000], 0);
    // By two writes, the upper half first.
    t.dma(u32::from(key::NB_CPUS) << 16 | 8, 0, 0);
    let mut bytes = 2u32.to_be_bytes().to_vec();
    bytes.extend(2u32.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    t.ram.write(BASE, &bytes).expect("RAM");
    for (offset, half) in [(16, 0u32), (20, BASE as u32)] {
        let half = half.swap_bytes().into();
        t.device.write(offset, Size::B4, half).expect("answered");
    }
    assert_eq!(t.ram(to, 2), [3, 0]);
}

#[test]
fn dma_reaches_ram_only() {
    let mut t = rig();
    let select = u32::from(key::KERNEL_DATA) << 16 | 8 | 2;
    for (length, address) in [
        (1, BASE - 1),
        (1, 0),
        (1, 0x1000_0000),
        (2, BASE + RAM - 1),
        (u32::MAX, BASE),
        (u32::MAX, u64::MAX - 5),
        (1, u64::MAX),
    ] {
        let before = t.ram(BASE + 16, RAM as usize - 16);
        assert_eq!(
            t.dma(select, length, address),
            1,
            "{length} at {address:#x}"
        );
        assert!(t.ram(BASE + 16, RAM as usize - 16) == before);
    }
    assert_eq!(t.dma(select, 0, BASE), 0);
    // A structure out of RAM: there is nowhere to say so.
    for at in [0, BASE - 8, BASE + RAM - 8, u64::MAX - 3] {
        t.device
            .write(spec::DMA, Size::B8, at.swap_bytes())
            .expect("answered");
    }
    // Nothing can be written.
    assert_eq!(t.dma(u32::from(key::FILE_FIRST) << 16 | 8 | 16, 4, BASE), 1);
    // A structure that it overwrites itself.
    assert_eq!(t.dma(select, 64, BASE), 0);
}

fn run(t: &mut Rig, accesses: &[Access]) -> Vec<String> {
    let step = |access: &Access| format!("{:?}", access.run(&mut t.device));
    accesses.iter().map(step).collect()
}

fn accesses() -> impl Strategy<Value = Vec<Access>> {
    prop::collection::vec(any_access(spec::WINDOW), 0..40)
}

proptest! {
    #[test]
    fn a_restored_device_behaves_as_the_saved_one(before in accesses(), after in accesses()) {
        let (mut a, mut b) = (rig(), rig());
        run(&mut a, &before);
        transfer(&a.device, &mut b.device);
        prop_assert_eq!(run(&mut a, &after), run(&mut b, &after));
    }

    #[test]
    fn any_structure_is_answered(control: u32, length: u32, address: u64) {
        let mut t = rig();
        let status = t.dma(control, length, address);
        prop_assert!(status <= 1);
        t.dma(control & 0xffff_001e, length % 0x1000, BASE + 64 + address % RAM);
    }
}
