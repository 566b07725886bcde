//! The instances of a family (disks, interfaces, sensors) by name, kept as long as they are there.

use std::sync::Arc;

/// Instances of one kind, at most [`LIMIT`].
#[derive(Debug)]
pub(super) struct Table<T> {
    rows: Vec<Row<T>>,
    /// Where the next one probably is: the kernel lists them in the same order each time.
    next: usize,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Row<T> {
    /// Its own name.
    pub(super) name: Arc<str>,
    /// What is kept of it.
    pub(super) kept: T,
    seen: bool,
}

/// The most instances of a family: what is beyond is not measured.
pub(super) const LIMIT: usize = 64;

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { rows: Vec::new(), next: 0 }
    }
}

impl<T: Default> Table<T> {
    /// The row of `name`, new if it was not there; `None` when the table is full.
    pub(super) fn row(&mut self, name: &[u8]) -> Option<&mut Row<T>> {
        let is_it = |row: &Row<T>| row.name.as_bytes() == name;
        let at = match self.rows.get(self.next) {
            Some(row) if is_it(row) => self.next,
            Some(_) | None => match self.rows.iter().position(is_it) {
                Some(at) => at,
                None if self.rows.len() >= LIMIT => return None,
                None => {
                    let name = String::from_utf8_lossy(name).into();
                    self.rows.push(Row { name, kept: T::default(), seen: false });
                    self.rows.len() - 1
                }
            },
        };
        self.next = at + 1;
        let row = &mut self.rows[at];
        row.seen = true;
        Some(row)
    }

    /// Forgets those that were not asked for since this was called last: they are gone, and one that
    /// comes back under the same name counts from zero.
    pub(super) fn forget_unseen(&mut self) {
        self.rows.retain_mut(|row| std::mem::take(&mut row.seen));
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stays_while_it_is_seen_and_begins_anew_when_it_comes_back() {
        let mut table: Table<u32> = Table::default();
        table.row(b"eth0").unwrap().kept = 1;
        table.row(b"wlan0").unwrap().kept = 2;
        table.forget_unseen();
        assert_eq!(table.row(b"wlan0").unwrap().kept, 2);
        table.forget_unseen();
        assert_eq!(table.row(b"eth0").unwrap().kept, 0);
        assert_eq!(table.row(b"wlan0").unwrap().kept, 2);
    }

    #[test]
    fn a_flood_of_instances_is_bounded() {
        let mut table: Table<u32> = Table::default();
        let taken = (0..1000).filter(|i| table.row(format!("eth{i}").as_bytes()).is_some()).count();
        assert_eq!(taken, LIMIT);
    }
}
