use super::*;
use std::sync::Mutex;

/// Remembers identities.
#[derive(Default)]
struct File(Mutex<Vec<u32>>);

impl IrqSink for File {
    fn set(&self, input: u32, level: bool) {
        assert!(level);
        self.0.lock().expect("no panic").push(input);
    }
}

fn pages() -> (Vec<Arc<File>>, Imsic) {
    let files: Vec<Arc<File>> = (0..3).map(|_| Arc::default()).collect();
    let sinks = files.iter().map(|f| f.clone() as Arc<dyn IrqSink>);
    (files.clone(), Imsic::new(sinks.collect()))
}

fn taken(files: &[Arc<File>]) -> Vec<Vec<u32>> {
    let take = |f: &Arc<File>| std::mem::take(&mut *f.0.lock().expect("no panic"));
    files.iter().map(take).collect()
}

#[test]
fn a_word_at_the_start_of_a_page_arrives_in_its_file() {
    let (files, mut imsic) = pages();
    for (offset, value) in [
        (0, 1),
        (PAGE, 2),
        (2 * PAGE, 3),
        (PAGE, u32::MAX),
        (4, 9),
        (8, 9),
    ] {
        assert_eq!(imsic.write(offset, Size::B4, value.into()), Ok(()));
        assert_eq!(imsic.read(offset, Size::B4), Ok(0));
    }
    assert_eq!(taken(&files), [vec![1], vec![2, u32::MAX], vec![3]]);
    for size in [Size::B1, Size::B2, Size::B8] {
        assert_eq!(imsic.write(0, size, 1), Err(BusFault));
        assert_eq!(imsic.read(0, size), Err(BusFault));
    }
    assert_eq!(taken(&files), vec![Vec::<u32>::new(); 3]);
}

#[test]
fn messages_find_their_pages_and_nothing_else() {
    let (files, imsic) = pages();
    let messages = Messages::new(vec![(0x2400_0000, pages().1), (0x2800_0000, imsic)]);
    for address in [
        0x2800_0000,
        0x2800_1000,
        0x2800_0004,
        0x2800_3000,
        0x27ff_f000,
        0,
        u64::MAX,
    ] {
        messages.send(address, 5);
    }
    assert_eq!(taken(&files), [vec![5], vec![5], Vec::new()]);
}
