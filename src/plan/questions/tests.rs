use super::*;

const MOST: usize = 200;

fn job(number: usize) -> JobUid {
    JobUid::parse(&format!("0f6e1c1a-9a3b-4a53-8c36-{number:012x}")).expect("a UID")
}

/// A plugin: which questions fail, by the numbers of the jobs in them.
type Plugin = dyn Fn(&[usize]) -> Option<Failure>;

/// What a round did.
#[derive(Debug, Default)]
struct Told {
    answered: HashSet<usize>,
    sizes: Vec<usize>,
    lesson: Lesson,
}

fn round(questions: &mut Questions, jobs: usize, now: Instant, plugin: &Plugin) -> Told {
    round_of(MOST, questions, jobs, now, plugin)
}

fn round_of(
    most: usize,
    questions: &mut Questions,
    jobs: usize,
    now: Instant,
    plugin: &Plugin,
) -> Told {
    let mut told = Told::default();
    questions.begin(most);
    let (mut queue, mut alone) = (Vec::new(), Vec::new());
    for number in 0..jobs {
        match questions.place(job(number), now) {
            Place::Together => queue.push(number),
            Place::Alone => alone.push(number),
            Place::Nowhere => {}
        }
    }
    let mut is_whole = true;
    while !queue.is_empty() {
        let size = questions.next(queue.len());
        let batch: Vec<_> = queue.drain(..size).collect();
        if batch.is_empty() {
            is_whole = false;
            break;
        }
        told.sizes.push(size);
        let Some(failure) = plugin(&batch) else {
            questions.answered(size, Some(Duration::ZERO), now);
            told.answered.extend(batch);
            continue;
        };
        let uids: Vec<_> = batch.iter().map(|number| job(*number)).collect();
        match questions.failed(&uids, failure) {
            Next::Again => queue.splice(0..0, batch).for_each(drop),
            Next::GoOn => {}
            Next::Stop => {
                is_whole = false;
                break;
            }
        }
    }
    for number in alone {
        let is_told = plugin(&[number]).is_none();
        questions.asked_alone(job(number), is_told, now);
        told.answered.extend(is_told.then_some(number));
    }
    told.lesson = questions.end(is_whole, now);
    told
}

/// Rounds, a second apart, until all but so many jobs are answered for in one.
fn rounds_until(
    questions: &mut Questions,
    jobs: usize,
    left: usize,
    plugin: &Plugin,
) -> (usize, Told) {
    let begin = Instant::now();
    for number in 1..20 {
        let now = begin + Duration::from_secs(number);
        let told = round(questions, jobs, now, plugin);
        if told.answered.len() + left >= jobs {
            return (number as usize, told);
        }
    }
    panic!("never: {questions:?}");
}

#[test]
fn questions_grow_to_all_jobs_or_to_what_the_plugin_bears() {
    let (most, jobs, now) = (10_000, 5_000, Instant::now());
    for (bears, want) in [
        (
            usize::MAX,
            [
                vec![200, 400, 800, 1600, 2000],
                vec![3200, 1800],
                vec![5000],
            ],
        ),
        (
            1_000,
            [
                vec![200, 400, 800, 1600, 800, 800, 800, 800, 400],
                vec![800, 800, 800, 800, 800, 800, 200],
                vec![800, 800, 800, 800, 800, 800, 200],
            ],
        ),
    ] {
        let mut questions = Questions::new();
        let plugin = move |jobs: &[usize]| (jobs.len() > bears).then_some(Failure::Refused);
        let mut sizes = || round_of(most, &mut questions, jobs, now, &plugin).sizes;
        assert_eq!([sizes(), sizes(), sizes()], want);
    }
}

#[test]
fn one_job_that_is_refused_does_not_hide_the_others() {
    for spoiler in [0, 1, 77, 198, 199] {
        let mut questions = Questions::new();
        let plugin = move |jobs: &[usize]| jobs.contains(&spoiler).then_some(Failure::Refused);
        let (rounds, told) = rounds_until(&mut questions, MOST, 1, &plugin);
        assert_eq!((rounds, &told.lesson.suspects), (1, &vec![job(spoiler)]));
        assert!(told.sizes.len() < 30, "{:?}", told.sizes);
        // It is left out from then on, and the size comes back.
        let now = Instant::now() + Duration::from_millis(1_500);
        for _ in 0..3 {
            round(&mut questions, MOST, now, &plugin);
        }
        let told = round(&mut questions, MOST, now, &plugin);
        assert_eq!(told.sizes, [199]);
        // It is asked about by itself, less and less often.
        let later = now + Duration::from_secs(60);
        assert_eq!(round(&mut questions, MOST, later, &plugin).sizes, [199]);
        assert_eq!(questions.suspects[&job(spoiler)].failures, 2);
        // Until it is answered for.
        let later = later + Duration::from_secs(600);
        assert_eq!(
            round(&mut questions, MOST, later, &|_| None).answered.len(),
            MOST
        );
        assert_eq!(round(&mut questions, MOST, later, &|_| None).sizes, [MOST]);
    }
}

#[test]
fn several_that_are_refused_are_found_as_well() {
    let mut questions = Questions::new();
    let plugin = |jobs: &[usize]| {
        jobs.iter()
            .any(|job| job % 40 == 7)
            .then_some(Failure::Refused)
    };
    let (rounds, _) = rounds_until(&mut questions, MOST, 5, &plugin);
    assert!(rounds <= 8, "{rounds}");
}

#[test]
fn one_job_over_which_the_plugin_hangs_is_found() {
    for spoiler in [0, 99, 199] {
        let mut questions = Questions::new();
        let plugin = move |jobs: &[usize]| jobs.contains(&spoiler).then_some(Failure::TimedOut);
        let (rounds, _) = rounds_until(&mut questions, MOST, 1, &plugin);
        assert!(rounds <= 6, "{spoiler}: {rounds}");
        assert!(questions.ceiling.is_none());
    }
}

#[test]
fn a_plugin_that_takes_too_long_for_many_is_asked_about_fewer() {
    for failure in [Failure::TimedOut, Failure::Refused] {
        for bears in [1, 3, 30, 150] {
            let mut questions = Questions::new();
            let plugin = move |jobs: &[usize]| (jobs.len() > bears).then_some(failure);
            let (_, _) = rounds_until(&mut questions, MOST, 0, &plugin);
            let now = Instant::now() + Duration::from_secs(30);
            // What is learned lasts: no question fails.
            round(&mut questions, MOST, now, &plugin);
            let told = round(&mut questions, MOST, now, &plugin);
            assert_eq!(told.answered.len(), MOST, "{bears}");
            assert!(told.sizes.iter().all(|size| *size <= bears), "{told:?}");
            assert!(questions.suspects.is_empty());
            // It is tried again, once, and comes back where that goes well.
            let later = now + Duration::from_secs(1000);
            let sizes = (0..3).flat_map(|_| round(&mut questions, MOST, later, &plugin).sizes);
            assert_eq!(sizes.filter(|size| *size > bears).count(), 1, "{bears}");
            let later = later + Duration::from_secs(10_000);
            for _ in 0..3 {
                round(&mut questions, MOST, later, &|_| None);
            }
            assert_eq!(round(&mut questions, MOST, later, &|_| None).sizes, [MOST]);
        }
    }
}

#[test]
fn a_plugin_that_is_dead_is_asked_a_few_times_and_nobody_is_blamed() {
    let begin = Instant::now();
    for (failure, most) in [(Failure::TimedOut, 2), (Failure::Refused, 10)] {
        let mut questions = Questions::new();
        for number in 0..50 {
            let now = begin + Duration::from_secs(number);
            let told = round(&mut questions, 1000, now, &move |_| Some(failure));
            assert!(told.sizes.len() <= most, "{:?}", told.sizes);
            assert_eq!(told.lesson, Lesson::default());
        }
        assert!(questions.suspects.is_empty() && questions.ceiling.is_none());
        // It comes back, and so does the size.
        let told = round(&mut questions, 1000, begin, &|_| None);
        assert_eq!(told.answered.len(), 1000);
        assert_eq!(
            round(&mut questions, 1000, begin, &|_| None).sizes,
            [MOST; 5]
        );
    }
}

#[test]
fn a_job_that_an_error_denies_is_asked_about_by_itself_in_each_round() {
    let mut questions = Questions::new();
    let now = Instant::now();
    for _ in 0..3 {
        questions.begin(MOST);
        questions.denied(job(1), now);
        questions.end(true, now);
        questions.begin(MOST);
        assert_eq!(questions.place(job(1), now), Place::Alone);
        assert_eq!(questions.place(job(2), now), Place::Together);
    }
}

#[test]
fn an_answer_that_took_long_or_may_be_an_earlier_one_is_no_reason_for_more() {
    let mut questions = Questions::new();
    let now = Instant::now();
    questions.begin(MOST);
    let uids: Vec<_> = (0..MOST).map(job).collect();
    assert_eq!(questions.failed(&uids, Failure::TimedOut), Next::Again);
    questions.answered(100, None, now);
    assert_eq!(questions.next(1000), 100);
    questions.end(true, now);
    let mut questions = Questions::new();
    questions.begin(10_000);
    questions.answered(FIRST, Some(SOON), now);
    assert_eq!(questions.next(1000), FIRST);
    questions.answered(FIRST, Some(Duration::ZERO), now);
    assert_eq!(questions.next(1000), 2 * FIRST);
    questions.answered(2 * FIRST, Some(LATE), now);
    assert_eq!(questions.next(1000), 2 * FIRST);
    questions.answered(2 * FIRST, Some(LATE * 2), now);
    assert_eq!(questions.next(1000), FIRST);
    questions.begin(50);
    assert_eq!(questions.next(1000), 50, "the setting counts");
}

/// The SLURM plugin asks the site about one job after the other, and gives an answer again for 10 s.
#[test]
fn a_plugin_that_needs_time_for_each_job_and_repeats_itself_is_not_asked_about_ever_more() {
    let (mut questions, mut now) = (Questions::new(), Instant::now());
    let for_each = Duration::from_millis(40);
    for _ in 0..20 {
        questions.begin(10_000);
        let (mut left, mut is_first) = (2_000, true);
        while left > 0 {
            let size = questions.next(left);
            let took = for_each * size as u32;
            assert!(took <= Duration::from_secs(10), "{size}");
            now += took;
            questions.answered(size, is_first.then_some(took), now);
            (left, is_first) = (left - size, false);
        }
        questions.end(true, now);
        now += Duration::from_secs(10);
    }
}

/// What one bad job has made small is large again, also with a plugin that needs a while for any answer.
#[test]
fn questions_become_large_again_however_long_an_answer_takes() {
    let (mut questions, now) = (Questions::new(), Instant::now());
    questions.begin(10_000);
    let plugin = |jobs: &[usize]| jobs.contains(&7).then_some(Failure::Refused);
    round_of(10_000, &mut questions, 1_000, now, &plugin);
    questions.size = 1;
    for _ in 0..8 {
        questions.answered(questions.size(), Some(Duration::from_secs(4)), now);
    }
    assert_eq!(questions.size(), FIRST);
}

/// A front end that turns large questions away says so in ways that look like an outage.
#[test]
fn what_looks_like_an_outage_and_comes_of_the_size_does_not_end_the_questions() {
    const BEARS: usize = 300;
    let (mut questions, mut now) = (Questions::new(), Instant::now());
    let mut rounds_that_failed = 0;
    for _ in 0..100 {
        questions.begin(10_000);
        let mut left = 2_000;
        while left > 0 {
            let size = questions.next(left);
            if size > BEARS {
                questions.outage(size, true, now);
                rounds_that_failed += 1;
                break;
            }
            questions.answered(size, Some(Duration::ZERO), now);
            left -= size;
        }
        assert!(left < 2_000, "some are told of in each round");
        questions.end(left == 0, now);
        now += Duration::from_secs(10);
    }
    assert!(rounds_that_failed <= 3, "{rounds_that_failed}");
    // An outage by itself says nothing of sizes.
    questions.begin(10_000);
    let mut questions = Questions::new();
    for _ in 0..3 {
        questions.begin(10_000);
        questions.answered(questions.size(), Some(Duration::ZERO), now);
        questions.outage(2 * FIRST, false, now);
        questions.end(false, now);
    }
    let sizes = round_of(10_000, &mut questions, 1_000, now, &|_| None).sizes;
    assert_eq!(sizes, [FIRST, 2 * FIRST, 400]);
}

#[test]
fn after_a_round_without_any_answer_and_after_a_refusal_that_names_a_job_questions_are_small() {
    let now = Instant::now();
    let grown = || {
        let mut questions = Questions::new();
        round_of(10_000, &mut questions, 5_000, now, &|_| None);
        assert!(questions.size() > 1_000);
        questions
    };
    let mut questions = grown();
    let told = round_of(10_000, &mut questions, 5_000, now, &|_| {
        Some(Failure::TimedOut)
    });
    assert_eq!((told.answered.len(), questions.size()), (0, FIRST));
    let mut questions = grown();
    questions.begin(10_000);
    questions.named(job(7), now);
    assert_eq!(questions.next(5_000), FIRST);
}
