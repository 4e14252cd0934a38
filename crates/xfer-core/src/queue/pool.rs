//! A list whose places are filled again once they are free. A place stays valid until what is in it is taken out.

/// Values by their place. That a place in use is asked for is the caller's invariant.
#[derive(Debug)]
pub(super) struct Pool<T> {
    places: Vec<T>,
    free: Vec<u32>,
}

impl<T: Copy> Pool<T> {
    pub(super) fn new() -> Pool<T> {
        Pool { places: Vec::new(), free: Vec::new() }
    }

    /// Puts a value in, and says where. There is room for 2^32 of them, more than memory has.
    pub(super) fn put(&mut self, value: T) -> u32 {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = value;
            return place;
        }
        self.places.push(value);
        (self.places.len() - 1) as u32
    }

    pub(super) fn take(&mut self, place: u32) -> T {
        self.free.push(place);
        self.places[place as usize]
    }

    pub(super) fn get(&self, place: u32) -> T {
        self.places[place as usize]
    }

    pub(super) fn get_mut(&mut self, place: u32) -> &mut T {
        &mut self.places[place as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.places.capacity()
    }

    pub(super) fn state_bytes(&self) -> usize {
        self.places.capacity() * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}
