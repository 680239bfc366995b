//! Lists that hold little more than what is in them: where one entry a connection or participant is kept, the
//! usual growth to twice the size would waste as much again.
//!
//! Touches: nothing. Bounds: those of the caller.

/// Appends to a list that grows by an eighth at a time, at least by four.
pub fn push_tight<T>(list: &mut Vec<T>, value: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 8).max(4));
    }
    list.push(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_grows_by_an_eighth_at_a_time() {
        let mut list = Vec::new();
        for n in 0..10_000 {
            push_tight(&mut list, n);
            assert!(list.capacity() <= list.len() + (list.len() / 8).max(4), "{n}");
        }
        assert!(list.iter().copied().eq(0..10_000));
    }
}
