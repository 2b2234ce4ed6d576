//! Members in one process, in another that is killed, and one that speaks nonsense.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, send,
    socket_with,
};
use tempfile::TempDir;

use super::macs::Mac;
use super::{MEMBERS, Switch, SwitchConfig, SwitchError, is_name};
use crate::cable::{FRAMES, NicEnd, cable};

const A: Mac = [0x52, 0x54, 0, 0, 0, 0xA];
const B: Mac = [0x52, 0x54, 0, 0, 0, 0xB];
const C: Mac = [0x52, 0x54, 0, 0, 0, 0xC];
const ALL: Mac = [0xFF; 6];
const PATIENCE: Duration = Duration::from_secs(10);

fn home() -> TempDir {
    let home = tempfile::tempdir().expect("a folder");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).expect("ours");
    home
}

fn config(home: &Path) -> SwitchConfig {
    SwitchConfig {
        name: "lab".to_owned(),
        mtu: 1500,
        home: Some(home.to_owned()),
    }
}

struct Card {
    nic: NicEnd,
    switch: Switch,
}

impl Card {
    fn join(home: &TempDir) -> Self {
        let (nic, host) = cable(|| {}).expect("a cable");
        let switch = Switch::start(&config(home.path()), host).expect("a switch");
        Self { nic, switch }
    }

    fn send(&self, from: Mac, to: Mac, number: u32) {
        let mut frame = [to, from].concat();
        frame.extend([0x88, 0xB5]);
        frame.extend(number.to_be_bytes());
        frame.resize(60, 0);
        wait("room", || self.nic.send(frame.clone()).ok());
    }

    /// The number of the next frame.
    fn receive(&self) -> u32 {
        let frame = wait("a frame", || self.nic.receive());
        u32::from_be_bytes(*frame[14..].first_chunk().expect("a number"))
    }

    /// That nothing comes, in the time that something would have come.
    fn has_nothing(&self) {
        thread::sleep(Duration::from_millis(100));
        assert!(self.nic.is_empty());
    }
}

fn wait<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let late = Instant::now() + PATIENCE;
    loop {
        if let Some(result) = done() {
            return result;
        }
        assert!(Instant::now() < late, "{what}: it takes too long");
        thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn frames_go_to_all_until_it_is_known_who_is_where() {
    let home = home();
    let [a, b, c] = [0; 3].map(|_| Card::join(&home));
    a.send(A, B, 1);
    assert_eq!((b.receive(), c.receive()), (1, 1));
    b.send(B, A, 2);
    assert_eq!(a.receive(), 2);
    a.send(A, B, 3);
    assert_eq!(b.receive(), 3);
    c.has_nothing();
    // Groups are everybody.
    a.send(A, ALL, 4);
    a.send(A, [1, 0, 0x5E, 0, 0, 1], 5);
    for card in [&b, &c] {
        assert_eq!((card.receive(), card.receive()), (4, 5));
    }
    a.has_nothing();
}

#[test]
fn who_leaves_is_forgotten_and_may_come_back() {
    let home = home();
    let [a, b, c] = [0; 3].map(|_| Card::join(&home));
    b.send(B, A, 1);
    assert_eq!((a.receive(), c.receive()), (1, 1));
    let seats = || {
        fs::read_dir(home.path().join("switch/lab"))
            .expect("a folder")
            .count()
    };
    assert_eq!(seats(), 4);
    drop(b);
    assert_eq!(seats(), 3);
    // The address is nobody's any more: all get what is for it.
    let mut number = 1;
    wait("the end to be noticed", || {
        number += 1;
        a.send(A, B, number);
        thread::sleep(Duration::from_millis(20));
        c.nic.receive()
    });
    let b = Card::join(&home);
    b.send(B, ALL, 9);
    assert_eq!(a.receive(), 9);
    a.send(A, B, 10);
    assert_eq!(b.receive(), 10);
}

#[test]
fn none_is_lost_while_all_are_read() {
    const COUNT: u32 = 10_000;
    let home = home();
    let (a, b) = (Card::join(&home), Card::join(&home));
    b.send(B, A, 0);
    assert_eq!(a.receive(), 0);
    let mut read = 0;
    for number in 0..COUNT {
        a.send(A, B, number);
        // What is on the way fits the queues.
        while number - read >= 64 {
            assert_eq!(b.receive(), read);
            read += 1;
        }
    }
    for number in read..COUNT {
        assert_eq!(b.receive(), number);
    }
    assert_eq!(a.switch.dropped(), 0);
}

#[test]
fn who_reads_nothing_holds_up_nobody() {
    let home = home();
    let [a, deaf, c] = [0; 3].map(|_| Card::join(&home));
    let mut number = 0;
    while a.switch.dropped() == 0 {
        assert!(
            number < 100_000,
            "what is kept for one member grows and grows"
        );
        number += 1;
        a.send(A, ALL, number);
        assert_eq!(c.receive(), number);
    }
    // It reads again: what was kept for it comes, and then what is sent.
    let mut kept = 0;
    while wait("silence", || Some(deaf.nic.receive())).is_some() {
        kept += 1;
    }
    assert!(kept >= FRAMES);
    let later = number + 1;
    wait("a new frame", || {
        number += 1;
        a.send(A, ALL, number);
        let heard = deaf.nic.receive()?;
        (heard[14..18] >= later.to_be_bytes()[..]).then_some(())
    });
}

/// A connection to the first member without a member behind it.
fn stranger(home: &TempDir) -> OwnedFd {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .expect("a socket");
    let path = home.path().join("switch/lab/0");
    connect(&socket, &SocketAddrUnix::new(path).expect("short")).expect("somebody");
    socket
}

#[test]
fn frames_of_wrong_lengths_go_nowhere() {
    let home = home();
    let (a, b) = (Card::join(&home), Card::join(&home));
    for length in [0, 1, 13, 1523, 65_000, 200_000] {
        b.nic.send(vec![0xFF; length]).expect("room");
    }
    wait("them to be dropped", || {
        (b.switch.dropped() == 6).then_some(())
    });

    let hostile = stranger(&home);
    for length in [1, 5, 13, 1523, 9000, 65_000] {
        send(&hostile, &vec![0xFF; length], SendFlags::NOSIGNAL).expect("sent");
    }
    wait("them to be dropped", || {
        (a.switch.dropped() == 6).then_some(())
    });
    a.has_nothing();
    for length in [14, 1522] {
        let whole = vec![0xFF; length];
        send(&hostile, &whole, SendFlags::NOSIGNAL).expect("sent");
        assert_eq!(wait("a frame", || a.nic.receive()), whole);
    }
    // An empty message is no frame but the end.
    send(&hostile, &[], SendFlags::NOSIGNAL).expect("sent");
    wait("the end", || {
        send(&hostile, &[0xFF; 60], SendFlags::NOSIGNAL).err()
    });
    while a.nic.receive().is_some() {}
    b.send(B, ALL, 7);
    assert_eq!(a.receive(), 7);
}

/// Where this test program is run again as a member of a switch.
const MEMBER: &str = "ISOFORM_TEST_SWITCH";

#[test]
#[ignore = "run by who_is_killed_leaves_nothing_that_lasts"]
fn a_member_until_it_is_killed() {
    let Some(home) = std::env::var_os(MEMBER) else {
        return;
    };
    let (nic, host) = cable(|| {}).expect("a cable");
    let _switch = Switch::start(&config(Path::new(&home)), host).expect("a switch");
    loop {
        let _ = nic.send([ALL, B].concat().into_iter().chain([0; 48]).collect());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn who_is_killed_leaves_nothing_that_lasts() {
    let home = home();
    let me = std::env::current_exe().expect("a program");
    let mut member = Command::new(me);
    member.args([
        "--exact",
        "switch::tests::a_member_until_it_is_killed",
        "--ignored",
    ]);
    member.env(MEMBER, home.path()).stdout(Stdio::null());
    let mut member = member.spawn().expect("a process");
    let first = home.path().join("switch/lab/0");
    wait("the member", || first.exists().then_some(()));
    let a = Card::join(&home);
    assert_eq!(a.receive(), 0, "it sends");
    member.kill().expect("SIGKILL");
    member.wait().expect("dead");
    assert!(first.exists(), "its socket is left behind");

    let c = Card::join(&home);
    while a.nic.receive().is_some() {}
    c.send(C, B, 5);
    assert_eq!(a.receive(), 5);
    a.send(A, C, 6);
    assert_eq!(c.receive(), 6);
    let seats = fs::read_dir(home.path().join("switch/lab")).expect("a folder");
    assert_eq!(seats.count(), 3, "the dead one's name was taken again");
}

fn refused(config: &SwitchConfig) -> SwitchError {
    let (_nic, host) = cable(|| {}).expect("a cable");
    Switch::start(config, host).expect_err("refused")
}

#[test]
fn names_stay_in_their_folder() {
    for good in ["a", "lab-1", "A_b.c", &"x".repeat(32)] {
        assert!(is_name(good), "{good}");
    }
    for bad in [
        "",
        ".",
        "..",
        ".a",
        "a/b",
        "../x",
        "a b",
        "ä",
        "a\0",
        &"x".repeat(33),
    ] {
        assert!(!is_name(bad), "{bad}");
    }
    let home = home();
    let name = "../up".to_owned();
    let config = SwitchConfig {
        name,
        ..config(home.path())
    };
    assert!(matches!(refused(&config), SwitchError::Name(_)));
    assert!(!home.path().join("up").exists());
}

#[test]
fn folders_that_others_could_reach_are_refused() {
    let home = home();
    fs::create_dir(home.path().join("switch")).expect("ours");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(home.path().join("switch"), mode).expect("ours");
    assert!(matches!(
        refused(&config(home.path())),
        SwitchError::Open(_)
    ));
    fs::remove_dir(home.path().join("switch")).expect("ours");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let link = home.path().join("switch");
    std::os::unix::fs::symlink(elsewhere.path(), link).expect("ours");
    assert!(matches!(
        refused(&config(home.path())),
        SwitchError::Open(_)
    ));
}

#[test]
fn a_full_switch_says_so() {
    let home = home();
    drop(Card::join(&home));
    let seats: Vec<OwnedFd> = (0..MEMBERS)
        .map(|number| {
            let flags = SocketFlags::CLOEXEC;
            let kind = SocketType::SEQPACKET;
            let seat = socket_with(AddressFamily::UNIX, kind, flags, None).expect("a socket");
            let path = home.path().join(format!("switch/lab/{number}"));
            bind(&seat, &SocketAddrUnix::new(path).expect("short")).expect("free");
            listen(&seat, 1).expect("bound");
            seat
        })
        .collect();
    assert!(matches!(refused(&config(home.path())), SwitchError::Full));
    drop(seats);
    Card::join(&home);
}
