use std::collections::HashMap;

use super::*;

const REPEATS_FOR: Duration = Duration::from_secs(10);

fn job(number: u32) -> JobUid {
    JobUid::parse(&format!("0f6e1c1a-9a3b-4a53-8c36-{number:012x}")).expect("a UID")
}

fn jobs(numbers: &[u32]) -> HashSet<JobUid> {
    numbers.iter().copied().map(job).collect()
}

/// Asks and is answered at once.
fn ask(freshness: &mut Freshness, asked: &[u32], told: &[u32], now: Instant) -> Denials {
    let number = freshness.begins(jobs(asked), now);
    freshness.answered(number, jobs(told), REPEATS_FOR, now)
}

#[test]
fn a_repetition_denies_only_what_was_asked_about_before() {
    let begin = Instant::now();
    let at = |after: u64| begin + Duration::from_secs(after);
    let mut freshness = Freshness::default();
    let mut denied =
        |after, asked: &[u32], told: &[u32]| ask(&mut freshness, asked, told, at(after)).denied;
    assert_eq!(denied(0, &[1, 2, 3], &[1, 2]), jobs(&[3]));
    // The same question again.
    assert_eq!(denied(1, &[1, 2, 3], &[1, 2]), jobs(&[3]));
    // Other questions, and the answer of before.
    assert_eq!(denied(2, &[4, 5], &[1, 2]), jobs(&[]));
    // Another answer.
    assert_eq!(denied(3, &[1, 2, 3, 4, 5], &[1, 2, 4]), jobs(&[3, 5]));
    // Too late to be any of those.
    assert_eq!(denied(20, &[1, 2, 4], &[1, 2]), jobs(&[4]));
}

#[test]
fn an_empty_answer_may_be_a_repetition() {
    let begin = Instant::now();
    let mut freshness = Freshness::default();
    assert_eq!(ask(&mut freshness, &[1], &[], begin).denied, jobs(&[1]));
    let second = ask(&mut freshness, &[2], &[], begin + Duration::from_secs(9));
    assert_eq!(second.denied, jobs(&[]));
    assert_eq!(second.untold_until, Some(begin + REPEATS_FOR));
    let third = begin + Duration::from_secs(11);
    let until = freshness.empty_until(&jobs(&[1]), REPEATS_FOR, third);
    assert_eq!(until, Some(begin + Duration::from_secs(19)));
    assert_eq!(freshness.empty_until(&jobs(&[2]), REPEATS_FOR, third), None);
    // A plugin that does not repeat itself is believed.
    let number = freshness.begins(jobs(&[3]), third);
    let answer = freshness.answered(number, jobs(&[]), Duration::ZERO, third);
    assert_eq!(answer.denied, jobs(&[3]));
}

#[test]
fn what_was_not_answered_may_be_repeated() {
    let begin = Instant::now();
    let at = |after: u64| begin + Duration::from_secs(after);
    for (may_be_answered, denied) in [(true, jobs(&[])), (false, jobs(&[2]))] {
        let mut freshness = Freshness::default();
        let number = freshness.begins(jobs(&[1]), begin);
        freshness.failed(number, may_be_answered, REPEATS_FOR, at(30));
        assert_eq!(ask(&mut freshness, &[2], &[], at(35)).denied, denied);
        assert_eq!(ask(&mut freshness, &[2], &[], at(60)).denied, jobs(&[2]));
        assert_eq!(freshness.questions.len(), 1, "the others are forgotten");
    }
}

/// A plugin that repeats its answers, asked by several at once; times in milliseconds.
struct Plugin {
    repeats_for: u64,
    has: HashSet<u32>,
    last: Option<(u64, HashSet<u32>)>,
}

/// A question, with what the plugin has answered.
struct UnderWay {
    number: u64,
    began: u64,
    asked: Vec<u32>,
    told: Option<HashSet<u32>>,
}

impl Plugin {
    fn answer(&mut self, asked: &[u32], now: u64) -> HashSet<u32> {
        match &self.last {
            Some((at, told)) if now < at + self.repeats_for => told.clone(),
            _ => {
                let told: HashSet<_> = asked
                    .iter()
                    .copied()
                    .filter(|it| self.has.contains(it))
                    .collect();
                self.last = Some((now, told.clone()));
                told
            }
        }
    }
}

/// Whoever asks what and whenever: what is denied was not there at the earliest time of which the answer
/// can be.
#[test]
fn a_job_that_was_always_there_is_never_denied() {
    let mut denials = 0;
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let repeats_for = random.u64(0..=10_000);
        let mut plugin = Plugin {
            repeats_for,
            has: HashSet::new(),
            last: None,
        };
        let begin = Instant::now();
        let at = |now: u64| begin + Duration::from_millis(now);
        let mut since: HashMap<u32, u64> = HashMap::new();
        let mut freshness = Freshness::default();
        let mut under_way: Vec<UnderWay> = Vec::new();
        let mut now = 0;
        for _ in 0..400 {
            now += random.u64(0..2_000);
            let some: Vec<u32> = (0..6).filter(|_| random.bool()).collect();
            match random.u8(0..6) {
                0 => {
                    let new = random.u32(0..6);
                    if plugin.has.insert(new) {
                        since.insert(new, now);
                    }
                }
                1 if random.u8(0..3) == 0 => {
                    plugin.has.remove(&random.u32(0..6));
                }
                1 | 2 if !some.is_empty() => {
                    let asked = some.iter().copied().map(job).collect();
                    under_way.push(UnderWay {
                        number: freshness.begins(asked, at(now)),
                        began: now,
                        asked: some,
                        told: None,
                    });
                }
                3 | 4 if !under_way.is_empty() => {
                    let place = random.usize(..under_way.len());
                    let question = &mut under_way[place];
                    if question.told.is_none() {
                        question.told = Some(plugin.answer(&question.asked, now));
                        if random.u8(0..8) == 0 {
                            freshness.failed(question.number, true, REPEATS_FOR, at(now));
                            under_way.swap_remove(place);
                        }
                    }
                }
                _ => {
                    let Some(place) = under_way.iter().position(|it| it.told.is_some()) else {
                        continue;
                    };
                    let UnderWay {
                        number,
                        began,
                        told,
                        ..
                    } = under_way.swap_remove(place);
                    let told = told.into_iter().flatten().map(job).collect();
                    let answer = freshness.answered(number, told, REPEATS_FOR, at(now));
                    for it in (0..6).filter(|it| answer.denied.contains(&job(*it))) {
                        denials += 1;
                        let was_there = plugin.has.contains(&it) && since[&it] + 10_000 < began;
                        assert!(!was_there, "seed {seed}: job {it} is denied at {now}");
                    }
                }
            }
        }
    }
    assert!(denials > 100, "{denials}: hardly anything is denied");
}
