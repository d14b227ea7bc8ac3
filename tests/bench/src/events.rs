//! The log of the benchmark: accounts that are opened, used and closed, the same at every run.

/// Events of one account on average.
const EVENTS_PER_ACCOUNT: u64 = 20;

const OWNERS: [&str; 8] = [
    "Ada Lovelace",
    "Alan Turing",
    "Barbara Liskov",
    "Edsger Dijkstra",
    "Grace Hopper",
    "Leslie Lamport",
    "Michael Stonebraker",
    "Tony Hoare",
];
const CHANNELS: [&str; 4] = ["branch", "mobile", "online", "standing-order"];
const NOTES: [&str; 4] = [
    "rent",
    "monthly salary, paid on the last working day",
    "invoice 2024-0815, net within fourteen days, thank you for your order",
    "refund of the deposit for the flat in the second floor, as agreed by telephone",
];

/// The accounts of a log of so many events.
pub fn accounts_of(events: u64) -> u64 {
    (events / EVENTS_PER_ACCOUNT).max(1)
}

/// One event, before it has a position.
pub struct NewEvent {
    pub stream: String,
    pub version: u64,
    pub event_type: &'static str,
    /// JSON of 150 to 300 bytes.
    pub data: String,
}

/// The events in their order.
pub struct Events {
    left: u64,
    random: u64,
    accounts: Vec<Account>,
}

#[derive(Clone, Default)]
struct Account {
    version: u64,
    balance: u64,
    closed: bool,
}

impl Events {
    pub fn new(count: u64) -> Events {
        Events::over(count, accounts_of(count))
    }

    /// So many events of so many accounts.
    pub fn over(count: u64, accounts: u64) -> Events {
        let accounts = usize::try_from(accounts).unwrap_or(1);
        Events {
            left: count,
            random: 0x9e37_79b9_7f4a_7c15,
            accounts: vec![Account::default(); accounts],
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*: the log has to look mixed, no more.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

impl Iterator for Events {
    type Item = NewEvent;

    fn next(&mut self) -> Option<NewEvent> {
        self.left = self.left.checked_sub(1)?;
        let count = self.accounts.len() as u64;
        let mut number = self.below(count) as usize;
        while self.accounts[number].closed {
            number = self.below(count) as usize;
        }
        let id = format!("{number:06}");
        let (reference, branch) = (self.below(1 << 31), self.below(900) + 100);
        let (channel, note) = (self.pick(&CHANNELS), self.pick(&NOTES));
        let common = format!(
            r#""currency":"EUR","channel":"{channel}","branch":"{branch}","reference":"REF-{reference:010}","note":"{note}""#
        );
        let owner = self.pick(&OWNERS);
        let (roll, amount) = (self.below(1_000), self.below(100_000) + 1);
        // Some accounts have to stay open, or a long log would find none.
        let may_close = !number.is_multiple_of(4);
        let account = &mut self.accounts[number];
        account.version += 1;
        let (event_type, data) = if account.version == 1 {
            let data = format!(
                r#"{{"account":"{id}","owner":"{owner}","product":"current account","terms":"2024-03",{common}}}"#
            );
            ("AccountOpened", data)
        } else if roll < 5 && may_close {
            account.closed = true;
            let data = format!(
                r#"{{"account":"{id}","reason":"at the customer's request","confirmed":true,{common}}}"#
            );
            ("AccountClosed", data)
        } else if roll < 400 && account.balance >= amount {
            account.balance -= amount;
            ("MoneyWithdrawn", moved(&id, amount, &common))
        } else {
            account.balance += amount;
            ("MoneyDeposited", moved(&id, amount, &common))
        };
        Some(NewEvent {
            stream: format!("account-{id}"),
            version: account.version,
            event_type,
            data,
        })
    }
}

fn moved(id: &str, amount: u64, common: &str) -> String {
    format!(
        r#"{{"account":"{id}","amount":{amount},"counterparty":"DE89370400440532013000",{common}}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn bodies_have_the_size_that_is_promised() {
        let sizes: Vec<usize> = Events::new(20_000).map(|event| event.data.len()).collect();
        let range = (sizes.iter().min(), sizes.iter().max());
        assert!(
            sizes.iter().all(|size| (140..=300).contains(size)),
            "{range:?}"
        );
    }

    #[test]
    fn most_accounts_are_there_and_some_are_closed() {
        let events: Vec<_> = Events::new(20_000).collect();
        let of = |event_type| {
            events
                .iter()
                .filter(|event| event.event_type == event_type)
                .count()
        };
        assert_eq!(of("AccountOpened"), 1_000);
        assert!(
            (10..500).contains(&of("AccountClosed")),
            "{}",
            of("AccountClosed")
        );
        assert!(of("MoneyWithdrawn") > 5_000, "{}", of("MoneyWithdrawn"));
    }
}
