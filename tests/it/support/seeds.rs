//! Runs that are drawn from a seed: many by default, more when asked, one alone when it failed.

use std::ops::Range;

/// Says which seed it was when a run fails.
struct Seed {
    test: &'static str,
    seed: u64,
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { test, seed } = *self;
            eprintln!("seed {seed} fails; alone: FANFARE_SEEDS={seed}..{} cargo test --test it {test}", seed + 1);
        }
    }
}

/// Runs `run` for each seed: `usually` so many, or as the environment variable `FANFARE_SEEDS` says, which is a number
/// of them, or a range such as `17..18`.
pub(crate) fn for_each_seed(test: &'static str, usually: u64, mut run: impl FnMut(u64)) {
    for seed in seeds(usually) {
        let _seed = Seed { test, seed };
        run(seed);
    }
}

/// Whether the seeds are those that it usually runs, so that what they show is known.
pub(crate) fn are_usual() -> bool {
    std::env::var_os("FANFARE_SEEDS").is_none()
}

fn seeds(usually: u64) -> Range<u64> {
    let Ok(asked) = std::env::var("FANFARE_SEEDS") else { return 0..usually };
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("FANFARE_SEEDS is no number or range: {asked}"));
    match asked.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&asked),
    }
}
