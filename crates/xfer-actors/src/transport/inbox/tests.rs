use std::sync::Arc;

use super::Inbox;
use crate::transport::buffer::BufferPool;

fn put(inbox: &mut Inbox, bytes: &[u8], sealed: bool) {
    inbox.room()[..bytes.len()].copy_from_slice(bytes);
    if sealed { inbox.received_raw(bytes.len()) } else { inbox.received_plain(bytes.len()) }
}

#[test]
fn what_is_left_moves_to_the_front() {
    let pool = BufferPool::new(8, 4);
    let mut inbox = Inbox::new(Arc::clone(&pool));
    put(&mut inbox, b"abcdef", false);
    let taken = inbox.consume(4);
    assert_eq!(inbox.slice(taken), b"abcd");
    assert_eq!(inbox.room().len(), 6);
    put(&mut inbox, b"ghijkl", false);
    assert_eq!(inbox.plain(), b"efghijkl");
    assert!(inbox.room().is_empty());
    let taken = inbox.consume(100);
    assert_eq!(inbox.slice(taken), b"efghijkl");
    assert!(inbox.is_empty());
    inbox.rest();
    assert_eq!((pool.idle(), inbox.plain().len()), (1, 0));
}

#[test]
fn opened_records_join_up() {
    let pool = BufferPool::new(32, 4);
    let mut inbox = Inbox::new(Arc::clone(&pool));
    // "<" and ">" stand for what surrounds a payload.
    put(&mut inbox, b"<<ab>><<cd>><<e", true);
    inbox.opened(6, 2..4);
    inbox.opened(6, 2..4);
    assert_eq!(inbox.plain(), b"abcd");
    assert_eq!(inbox.raw_mut(), b"<<e");
    put(&mut inbox, b"f>>", true);
    assert_eq!(inbox.plain(), b"abcd");
    assert_eq!(inbox.raw_mut(), b"<<ef>>");
    inbox.drop_raw(6);
    assert!(inbox.append_opened(b"ef"));
    assert_eq!(inbox.plain(), b"abcdef");
    assert!(!inbox.append_opened(&[0; 32]));
    assert!(inbox.append_opened(b""));
}

#[test]
fn owned_chunks_take_the_buffer_or_a_copy_whichever_is_less_work() {
    let pool = BufferPool::new(32, 4);
    let mut inbox = Inbox::new(Arc::clone(&pool));
    put(&mut inbox, b"abcdefgh<<i", false);
    let small = inbox.consume(2);
    let small = inbox.take_owned(small);
    let large = inbox.consume(6);
    let large = inbox.take_owned(large);
    assert_eq!((&*small, &*large, inbox.plain()), (&b"ab"[..], &b"cdefgh"[..], &b"<<i"[..]));
    drop((small, large));
    // Only the second one held a buffer of the pool.
    assert_eq!(pool.idle(), 1);
    drop(inbox);
    assert_eq!(pool.idle(), 2);
}
