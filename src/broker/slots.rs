//! Numbered places that are used again, each use under a new number: an old key never reaches a new
//! tenant.

/// Names one tenancy of one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    index: u32,
    tenancy: u32,
}

impl Key {
    /// The key as one number, for the kernel to carry.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.tenancy) << 32 | u64::from(self.index)
    }
    /// The reverse of [`Key::to_bits`].
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the number")]
    pub(crate) fn from_bits(bits: u64) -> Key {
        Key { index: bits as u32, tenancy: (bits >> 32) as u32 }
    }
}

/// The places.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    tenancy: u32,
    tenant: Option<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Moves a tenant in.
    pub(crate) fn insert(&mut self, tenant: T) -> Key {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.tenancy = place.tenancy.wrapping_add(1);
            place.tenant = Some(tenant);
            return Key { index, tenancy: place.tenancy };
        }
        let index = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(Place { tenancy: 0, tenant: Some(tenant) });
        Key { index, tenancy: 0 }
    }

    /// Moves a tenant out; its key is worth nothing from now on.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.tenancy != key.tenancy {
            return None;
        }
        let tenant = place.tenant.take()?;
        self.free.push(key.index);
        Some(tenant)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(key.index as usize)?;
        if place.tenancy == key.tenancy { place.tenant.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.tenancy == key.tenancy { place.tenant.as_mut() } else { None }
    }

    /// How many tenants there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Every tenant, in no promised order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let index = u32::try_from(index).ok()?;
            Some((Key { index, tenancy: place.tenancy }, place.tenant.as_ref()?))
        })
    }

    /// Every tenant, to be changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.places.iter_mut().filter_map(|place| place.tenant.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_never_reaches_the_next_tenant() {
        let mut slots = Slots::default();
        let first = slots.insert("first");
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second");
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
        assert_eq!(Key::from_bits(second.to_bits()), second);
        assert_eq!(slots.len(), 1);
    }
}
