//! A disk of random contents in memory, and qemu-img to compare with.

use isoform_disk::{Cache, Format, Image, Request};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Whether qemu-img is here. Where guests are required it must be.
pub(crate) fn have_qemu() -> bool {
    let here = Command::new("qemu-img").arg("--version").output().is_ok();
    assert!(
        here || std::env::var_os("ISOFORM_REQUIRE_GUESTS").is_none(),
        "qemu-img is missing (package qemu-utils)"
    );
    here
}

/// Runs one of QEMU's programs.
pub(crate) fn qemu(program: &str, words: &[&str]) -> Output {
    let output = Command::new(program).args(words).output();
    output.unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// Runs qemu-img, which must succeed.
pub(crate) fn qemu_img(words: &[&str]) -> String {
    let output = qemu("qemu-img", words);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {text}{errors}");
    text
}

/// A temporary folder's file.
pub(crate) fn in_folder(folder: &tempfile::TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    let text = path.to_str().expect("plain names").to_owned();
    (path, text)
}

/// A writable qcow2 disk. Its flushes do nothing: they would be most of a test's time.
pub(crate) fn qcow2(path: &Path) -> Request {
    Request {
        format: Some(Format::Qcow2),
        cache: Cache::Unsafe,
        ..Request::of(path)
    }
}

/// What a disk must hold, changed as the disk is.
pub(crate) struct Model {
    pub(crate) bytes: Vec<u8>,
    pub(crate) random: ChaCha8Rng,
}

impl Model {
    /// Zeros.
    pub(crate) fn new(size: usize, seed: u64) -> Self {
        let random = ChaCha8Rng::seed_from_u64(seed);
        let bytes = vec![0; size];
        Self { bytes, random }
    }

    /// Runs of random bytes, of one byte and of zeros.
    pub(crate) fn filled(size: usize, seed: u64) -> Self {
        let mut model = Self::new(size, seed);
        let mut at = 0;
        while at < size {
            let len = (512 * (1 + model.below(300))).min(size - at);
            let kind = model.below(3);
            let byte = model.random.next_u32() as u8;
            let part = &mut model.bytes[at..at + len];
            match kind {
                0 => model.random.fill_bytes(part),
                1 => part.fill(byte),
                _ => {}
            }
            at += len;
        }
        model
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.random.next_u64() as usize % n
    }

    /// A random range in sectors, mostly short.
    pub(crate) fn range(&mut self) -> (usize, usize) {
        let sectors = self.bytes.len() / 512;
        let most = [4, 64, 1024][self.below(3)];
        let len = (1 + self.below(most)).min(sectors);
        (self.below(sectors - len + 1), len)
    }

    /// Does something to disk and model alike.
    pub(crate) fn step(&mut self, image: &mut Image) {
        let (at, len) = self.range();
        let range = at * 512..(at + len) * 512;
        match self.below(10) {
            0..5 => {
                let mut data = vec![0; len * 512];
                self.random.fill_bytes(&mut data);
                image.write(at as u64, &data).expect("room");
                self.bytes[range].copy_from_slice(&data);
            }
            kind @ (5 | 6) => {
                let zeroed = image.write_zeroes(at as u64, len as u64, kind == 5);
                zeroed.expect("room");
                self.bytes[range].fill(0);
            }
            7 => {
                // What is there afterwards is the disk's to say: both are asked.
                image.discard(at as u64, len as u64).expect("room");
                image
                    .read(at as u64, &mut self.bytes[range])
                    .expect("readable");
            }
            8 => image.flush().expect("durable"),
            _ => {
                let mut read = vec![0; len * 512];
                image.read(at as u64, &mut read).expect("readable");
                assert!(read == self.bytes[range], "sectors {at} to {}", at + len);
            }
        }
    }

    /// Compares the whole disk.
    pub(crate) fn compare(&self, image: &mut Image) {
        let mut at = 0;
        for part in self.bytes.chunks(1 << 20) {
            let mut read = vec![0xa5; part.len()];
            image.read(at, &mut read).expect("readable");
            for (n, (a, b)) in read.chunks(512).zip(part.chunks(512)).enumerate() {
                assert!(a == b, "sector {} differs", at + n as u64);
            }
            at += part.len() as u64 / 512;
        }
    }

    /// Compares with what QEMU reads, and has it check the image.
    pub(crate) fn compare_with_qemu(&self, image: &str, folder: &tempfile::TempDir) {
        let (path, name) = in_folder(folder, "as-qemu-reads-it");
        qemu_img(&["convert", "-O", "raw", image, &name]);
        let read = std::fs::read(path).expect("readable");
        assert_eq!(read.len(), self.bytes.len());
        for (n, (a, b)) in read.chunks(512).zip(self.bytes.chunks(512)).enumerate() {
            assert!(a == b, "sector {n} differs for QEMU");
        }
        check(image);
    }
}

/// QEMU and we find the image without errors and leaks.
pub(crate) fn check(image: &str) {
    qemu_img(&["check", image]);
    let report = isoform_disk::check(Path::new(image)).expect("a qcow2 image");
    assert_eq!((report.errors, report.leaks), (0, 0), "{report:?}");
}
