//! Killed at any moment, an image has what was flushed, and QEMU finds no error in it.
//!
//! The program runs itself as a child that writes numbered blocks, flushes, and tells
//! the number flushed. Killing a process leaves the host's page cache as it is; that the
//! order of writes also holds where the host fails is what the flushes in `qcow2` are
//! for, and no test of this kind can show it.

use isoform_disk::{Cache, Format, Image, NewImage, Request, create};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Blocks of 4 KiB on the disk.
const BLOCKS: u64 = 2048;
const SECTORS: u64 = 8;
/// Times that a child is killed.
const KILLS: u64 = 60;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some("child") => child(Path::new(&words[2]), words[3].parse().expect("a seed")),
        _ => parent(),
    }
}

/// What is done to the disk at a step: a block with its number, or zeros.
fn step(random: &mut ChaCha8Rng, number: u64) -> (u64, u64) {
    let block = random.next_u64() % BLOCKS;
    let zeros = random.next_u64().is_multiple_of(5);
    (block, if zeros { 0 } else { number })
}

fn request(path: &Path) -> Request {
    Request {
        format: Some(Format::Qcow2),
        cache: Cache::Unsafe,
        ..Request::of(path)
    }
}

/// Writes until it is killed. Each line out is a number up to which all is flushed.
fn child(path: &Path, seed: u64) {
    let mut image = Image::open(&request(path)).expect("an image without errors");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for number in 1.. {
        let (block, value) = step(&mut random, number);
        let at = block * SECTORS;
        if value == 0 {
            image.write_zeroes(at, SECTORS, true).expect("room");
            // A whole cluster now and then, so that some are given back.
            let start = at & !127;
            image.discard(start, 128).expect("room");
            image.write_zeroes(start, 128, true).expect("room");
        } else {
            let bytes: Vec<u8> = (0..512).flat_map(|_| value.to_le_bytes()).collect();
            image.write(at, &bytes).expect("room");
        }
        if number % 7 == 0 {
            image.flush().expect("durable");
            println!("{number}");
            std::io::stdout().flush().expect("a parent");
        }
    }
}

/// The numbers that blocks may have, after `flushed` steps and any number more: those
/// that are certain come first.
fn expected(seed: u64, flushed: u64, more: u64) -> HashMap<u64, Vec<u64>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut blocks: HashMap<u64, Vec<u64>> = HashMap::new();
    for number in 1..=flushed + more {
        let (block, value) = step(&mut random, number);
        let touched = match value {
            0 => (block & !15)..(block & !15) + 16,
            _ => block..block + 1,
        };
        for block in touched {
            let may = blocks.entry(block).or_insert_with(|| vec![0]);
            if number <= flushed {
                may.clear();
            }
            may.push(value);
        }
    }
    blocks
}

fn parent() {
    if Command::new("qemu-img").arg("--version").output().is_err() {
        let required = std::env::var_os("ISOFORM_REQUIRE_GUESTS").is_some();
        assert!(!required, "qemu-img is missing (package qemu-utils)");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk");
    let mut total = 0;
    for kill in 0..KILLS {
        let new = NewImage {
            cluster: [512, 4096, 65536][kill as usize % 3],
            force: true,
            ..NewImage::of(Format::Qcow2, BLOCKS * SECTORS * 512)
        };
        create(&path, &new).expect("room");
        total += run_and_kill(&path, kill);
        examine(&path, kill);
    }
    println!("{KILLS} kills, {total} steps flushed before them: all there");
}

/// Runs a child for some milliseconds; leaves the last number it told in a file name's
/// stead: returns it.
fn run_and_kill(path: &Path, seed: u64) -> u64 {
    let me = std::env::current_exe().expect("this program");
    let mut child = Command::new(me)
        .arg("child")
        .arg(path)
        .arg(seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    std::thread::sleep(Duration::from_micros(5000 + seed * 977 % 25000));
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    let last = lines.map_while(Result::ok).filter_map(|l| l.parse().ok());
    let last = last.last().unwrap_or(0);
    std::fs::write(path.with_extension("flushed"), last.to_string()).expect("room");
    last
}

/// QEMU finds no errors, and what was flushed is there.
fn examine(path: &Path, seed: u64) {
    let flushed = std::fs::read_to_string(path.with_extension("flushed"));
    let flushed: u64 = flushed.ok().and_then(|t| t.parse().ok()).expect("written");
    let check = Command::new("qemu-img").arg("check").arg(path).output();
    let check = check.expect("qemu-img");
    // 3 is leaks alone: clusters allocated and not used yet.
    let text = String::from_utf8_lossy(&check.stdout);
    assert!(matches!(check.status.code(), Some(0 | 3)), "{seed}: {text}");
    let report = isoform_disk::check(path).expect("a header");
    assert_eq!(report.errors, 0, "{seed}: {:?}", report.problems);
    let expected = expected(seed, flushed, 20_000);
    let mut image = Image::open(&request(path)).expect("an image");
    for block in 0..BLOCKS {
        let mut bytes = [0; 4096];
        image.read(block * SECTORS, &mut bytes).expect("readable");
        let (numbers, _) = bytes.as_chunks::<8>();
        let number = u64::from_le_bytes(numbers[0]);
        let may = expected.get(&block).cloned().unwrap_or(vec![0]);
        assert!(
            may.contains(&number),
            "{seed}: block {block} has {number}, flushed were {flushed}: {may:?}"
        );
    }
}
