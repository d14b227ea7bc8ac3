//! The life of one application, from the form on the web page to the loan, the refusal or silence.

use super::Dice;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Employees come at eight and leave before six.
const OPENS: i64 = 8 * HOUR;
const CLOSES: i64 = 18 * HOUR;
/// 1970 began on a Thursday.
const FIRST_WEEKDAY: i64 = 3;
/// The web page itself.
const WEB: u32 = 112;
const EMPLOYEES: [u32; 12] = [
    10609, 10629, 10809, 10861, 10862, 10909, 10912, 10913, 11049, 11119, 11189, 11203,
];

const LEADS: &str = "W_Afhandelen leads";
const COMPLETION: &str = "W_Completeren aanvraag";
const OFFERS: &str = "W_Nabellen offertes";
const VALIDATION: &str = "W_Valideren aanvraag";
const INCOMPLETE: &str = "W_Nabellen incomplete dossiers";
const FRAUD: &str = "W_Beoordelen fraude";

/// Something that happens to an application.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub at_ms: i64,
    pub case: u32,
    pub activity: &'static str,
    pub transition: &'static str,
    pub resource: Option<u32>,
    pub amount_requested: Option<u32>,
}

/// Adds what happens to one application.
pub(super) fn live(case: u32, submitted_ms: i64, dice: &mut Dice, steps: &mut Vec<Step>) {
    let mut life = Life {
        case,
        now_ms: submitted_ms,
        employee: EMPLOYEES[0],
        dice,
        steps,
    };
    if life.is_submitted() && life.is_completed() && life.is_answered() {
        life.is_validated();
    }
}

struct Life<'a> {
    case: u32,
    now_ms: i64,
    employee: u32,
    dice: &'a mut Dice,
    steps: &'a mut Vec<Step>,
}

/// The stages. Each says whether the next one follows.
impl Life<'_> {
    /// The web page declines almost half of all applications by itself.
    fn is_submitted(&mut self) -> bool {
        let amount = self.dice.between(2, 100) as u32 * 500;
        self.steps.push(Step {
            at_ms: self.now_ms,
            case: self.case,
            activity: "A_SUBMITTED",
            transition: "COMPLETE",
            resource: Some(WEB),
            amount_requested: Some(amount),
        });
        self.after(50, 4 * SECOND);
        self.step("A_PARTLYSUBMITTED", "COMPLETE", WEB);
        self.after(30 * SECOND, MINUTE);
        if self.dice.percent(36) {
            self.step(LEADS, "SCHEDULE", WEB);
            self.begin(LEADS, 10 * MINUTE, 20 * HOUR);
            let accepted = self.dice.percent(60);
            let employee = self.employee;
            self.step(
                if accepted {
                    "A_PREACCEPTED"
                } else {
                    "A_DECLINED"
                },
                "COMPLETE",
                employee,
            );
            if accepted {
                self.work(COMPLETION, "SCHEDULE");
            }
            self.end(LEADS);
            return accepted;
        }
        if self.dice.percent(46) {
            self.step("A_DECLINED", "COMPLETE", WEB);
            return false;
        }
        self.step("A_PREACCEPTED", "COMPLETE", WEB);
        self.after(300, 3 * SECOND);
        self.step(COMPLETION, "SCHEDULE", WEB);
        true
    }

    /// Employees call until the form is complete, then make an offer.
    fn is_completed(&mut self) -> bool {
        for _ in 1..self.dice.between(1, 5) {
            self.begin(COMPLETION, HOUR, 2 * DAY);
            self.end(COMPLETION);
        }
        self.begin(COMPLETION, HOUR, 2 * DAY);
        let outcome = self.dice.between(1, 100);
        if outcome <= 30 {
            self.step(
                if outcome <= 15 {
                    "A_DECLINED"
                } else {
                    "A_CANCELLED"
                },
                "COMPLETE",
                self.employee,
            );
            self.end(COMPLETION);
            return false;
        }
        self.step("A_ACCEPTED", "COMPLETE", self.employee);
        self.after(MINUTE, 5 * MINUTE);
        self.step("A_FINALIZED", "COMPLETE", self.employee);
        self.offer();
        self.end(COMPLETION);
        true
    }

    /// The customer is called until the offer comes back signed, or not.
    fn is_answered(&mut self) -> bool {
        for _ in 0..self.dice.between(1, 6) {
            self.begin(OFFERS, 6 * HOUR, 5 * DAY);
            if self.dice.percent(9) {
                self.step("O_CANCELLED", "COMPLETE", self.employee);
                self.offer();
            }
            self.end(OFFERS);
        }
        self.begin(OFFERS, DAY, 8 * DAY);
        let sent_back = self.dice.percent(67);
        if sent_back {
            self.step("O_SENT_BACK", "COMPLETE", self.employee);
            self.after(300, SECOND);
            self.work(VALIDATION, "SCHEDULE");
        } else if self.dice.percent(90) {
            self.step("O_CANCELLED", "COMPLETE", self.employee);
            self.step("A_CANCELLED", "COMPLETE", self.employee);
        }
        self.end(OFFERS);
        sent_back
    }

    /// What the customer sent is checked, and missing papers are asked for.
    fn is_validated(&mut self) {
        if self.dice.percent(2) {
            self.work(FRAUD, "SCHEDULE");
            self.begin(FRAUD, HOUR, 2 * DAY);
            self.end(FRAUD);
        }
        if self.dice.percent(45) {
            self.begin(VALIDATION, HOUR, 3 * DAY);
            self.work(INCOMPLETE, "SCHEDULE");
            self.end(VALIDATION);
            for _ in 0..self.dice.between(1, 8) {
                self.begin(INCOMPLETE, 3 * HOUR, 3 * DAY);
                self.end(INCOMPLETE);
            }
        }
        self.begin(VALIDATION, HOUR, 3 * DAY);
        if self.dice.percent(74) {
            self.step("O_ACCEPTED", "COMPLETE", self.employee);
            let endings = [
                ["A_APPROVED", "A_REGISTERED", "A_ACTIVATED"],
                ["A_REGISTERED", "A_APPROVED", "A_ACTIVATED"],
                ["A_APPROVED", "A_ACTIVATED", "A_REGISTERED"],
            ];
            for activity in self.dice.one_of(&endings) {
                self.step(activity, "COMPLETE", self.employee);
            }
        } else {
            self.step("A_DECLINED", "COMPLETE", self.employee);
            self.step("O_DECLINED", "COMPLETE", self.employee);
        }
        self.end(VALIDATION);
    }
}

/// What the stages are made of.
impl Life<'_> {
    fn offer(&mut self) {
        self.step("O_SELECTED", "COMPLETE", self.employee);
        self.after(SECOND, 3 * SECOND);
        self.step("O_CREATED", "COMPLETE", self.employee);
        self.after(30, 200);
        self.step("O_SENT", "COMPLETE", self.employee);
        self.after(100, SECOND);
        self.work(OFFERS, "SCHEDULE");
    }

    /// Somebody takes the work up, after some time and in office hours.
    fn begin(&mut self, work: &'static str, earliest: i64, latest: i64) {
        self.after(earliest, latest);
        let until_open = closed_for(self.now_ms);
        if until_open > 0 {
            self.after(until_open, until_open + 4 * HOUR);
        }
        self.employee = self.dice.one_of(&EMPLOYEES);
        self.work(work, "START");
        self.after(20 * SECOND, 15 * MINUTE);
    }

    fn end(&mut self, work: &'static str) {
        self.after(SECOND, 2 * MINUTE);
        self.work(work, "COMPLETE");
    }

    /// Work items do not always say who did them.
    fn work(&mut self, work: &'static str, transition: &'static str) {
        self.step(work, transition, self.employee);
        if transition != "SCHEDULE" && self.dice.percent(12) {
            self.steps
                .last_mut()
                .expect("a step was added above")
                .resource = None;
        }
    }

    fn step(&mut self, activity: &'static str, transition: &'static str, resource: u32) {
        self.steps.push(Step {
            at_ms: self.now_ms,
            case: self.case,
            activity,
            transition,
            resource: Some(resource),
            amount_requested: None,
        });
    }

    fn after(&mut self, at_least: i64, at_most: i64) {
        self.now_ms += self.dice.between(at_least as u64, at_most as u64) as i64;
    }
}

/// How long until the office opens; 0 while it is open.
fn closed_for(at_ms: i64) -> i64 {
    let (day, time) = (at_ms.div_euclid(DAY), at_ms.rem_euclid(DAY));
    let works = |day: i64| (day + FIRST_WEEKDAY).rem_euclid(7) < 5;
    if works(day) && (OPENS..CLOSES).contains(&time) {
        return 0;
    }
    if works(day) && time < OPENS {
        return OPENS - time;
    }
    let next = (day + 1..)
        .find(|day| works(*day))
        .expect("every week has working days");
    (next - day) * DAY + OPENS - time
}
