//! Trials: bytes drawn by chance, or grown by the fuzzer, are read as deeds; after each, everything
//! that must hold is looked at.
//!
//! ```text
//!   fuzz/targets/session ─┐                         ┌─ deeds of clients, disk, gate, clock ─> Core
//!   proptest in CI ───────┼─> bytes ─> Chance ─> ───┼─ filters in the tree ──> a list of filters
//!   fuzz/seeds ───────────┘                         └─ publishes and filters ─> rights, said plainly
//! ```

mod acl;
mod filter;
mod session;

pub use acl::trial as acl;
pub use filter::trial as filter;
pub use session::trial as session;

/// Decisions read from bytes; when they are used up, every decision is the first.
struct Chance<'b>(&'b [u8]);

impl<'b> Chance<'b> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    fn one_of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }

    fn often(&mut self) -> bool {
        self.byte() < 200
    }

    fn seldom(&mut self) -> bool {
        self.byte() >= 200
    }

    /// Bytes as they stand.
    fn bytes(&mut self, most: usize) -> &'b [u8] {
        let count = self.below(most + 1).min(self.0.len());
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// How much is enough, as in the scenario tests.
    fn cases(short: u32, long: u32) -> u32 {
        if std::env::var_os("MAESTRO_LONG").is_some() { long } else { short }
    }

    fn seeds(target: &str, trial: fn(&[u8])) {
        let folder = format!("{}/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder}: {e}"));
        let mut count = 0;
        for file in files {
            let path = file.unwrap().path();
            println!("{}", path.display()); // the last one printed is the one that failed
            trial(&std::fs::read(path).unwrap());
            count += 1;
        }
        assert!(count > 0, "no seeds in {folder}");
    }

    fn by_chance(cases: u32, longest: usize, trial: fn(&[u8])) {
        let config =
            ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        proptest!(config, |(bytes in prop::collection::vec(any::<u8>(), 0..longest))| trial(&bytes));
    }

    #[test]
    fn whatever_clients_the_disk_and_the_gate_do_everything_agrees_after_each_step() {
        seeds("session", super::session);
        by_chance(cases(2000, 100_000), 600, super::session);
    }

    #[test]
    fn the_tree_finds_what_a_list_of_filters_finds() {
        seeds("filter", super::filter);
        by_chance(cases(3000, 100_000), 300, super::filter);
    }

    #[test]
    fn nobody_reads_or_writes_what_a_plain_evaluator_denies() {
        seeds("acl", super::acl);
        by_chance(cases(5000, 200_000), 200, super::acl);
    }
}
