// SPDX-License-Identifier: Apache-2.0
//! The search: the corpus first, then what becomes of it. Inputs that got an
//! answer that none had got before are kept, and changed further.

use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::dice::Dice;
use crate::mutate::mutate;

/// Something that reads the input of strangers.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    /// Reads an input, and panics if the answer is wrong. Gives what kind of answer it was.
    pub(crate) run: fn(&[u8]) -> String,
    /// What belongs into such inputs.
    pub(crate) words: &'static [&'static [u8]],
    /// Makes of a changed input one that is not refused at once, such as by its checksums.
    pub(crate) mend: fn(&mut Vec<u8>),
}

/// How long a target is searched by default.
const SECONDS: u64 = 6;
/// The longest input.
const MAX_SIZE: usize = 64 << 10;
/// The most processor time that one input may take. Inputs are small.
const MAX_TIME: Duration = Duration::from_secs(4);
/// The most memory that the whole process may ever have taken, in KiB.
const MAX_MEMORY: u64 = 1 << 20;
/// How many inputs with new answers are kept.
const MAX_KEPT: usize = 2000;

/// Searches for an input that fails.
pub(crate) fn search(target: &Target) {
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse().unwrap());
    let time = Duration::from_secs(setting("UMOCI_FUZZ_SECONDS").unwrap_or(SECONDS));
    let mut dice = Dice::new(setting("UMOCI_FUZZ_SEED").unwrap_or(1));
    let mut kept = corpus(target.name);
    let mut answers: HashSet<String> = kept.iter().map(|input| check(target, input)).collect();
    let start = Instant::now();
    let mut count = kept.len();
    while start.elapsed() < time {
        let mut input = dice.pick(&kept).clone();
        mutate(&mut input, &kept, target.words, &mut dice);
        input.truncate(MAX_SIZE);
        if !dice.one_in(16) {
            (target.mend)(&mut input);
        }
        let answer = check(target, &input);
        count += 1;
        if kept.len() < MAX_KEPT && answers.insert(answer) {
            kept.push(input);
        }
    }
    check_memory();
    let (seconds, answers) = (start.elapsed().as_secs_f32(), answers.len());
    eprintln!("{}: {count} executions in {seconds:.1} s, {answers} answers", target.name);
}

/// The inputs that are kept in the repository.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let entries = fs::read_dir(directory).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

fn check(target: &Target, input: &[u8]) -> String {
    let before = processor_time();
    let answer = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let took = processor_time().saturating_sub(before);
    let failure = match &answer {
        Ok(_) if took > MAX_TIME => format!("it takes {took:?}"),
        Ok(answer) => return shape(answer),
        Err(_) => "it fails".to_owned(),
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", target.name));
    fs::write(&path, input).unwrap();
    eprintln!("{failure}: the input is in {}", path.display());
    if let Err(panic) = answer {
        resume_unwind(panic);
    }
    panic!("{}: {failure}", target.name)
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// An answer without what is different in every one: numbers, names, what is quoted.
fn shape(answer: &str) -> String {
    let plain = answer.split('"').step_by(2).flat_map(|part| part.split(": "));
    let is_word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let words = plain.flat_map(|part| part.split_whitespace().filter(is_word).take(6));
    words.take(40).collect::<Vec<_>>().join(" ")
}

fn check_memory() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MAX_MEMORY, "{peak} KiB of memory were taken");
}
