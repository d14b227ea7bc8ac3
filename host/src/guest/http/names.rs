//! What a name stands for: asked once for each request. What was found is what is checked, and what is connected.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::origin::Origin;

/// Addresses that are looked at for one name.
const MAX_ADDRESSES: usize = 16;

/// In builds with debug assertions: names that answer something else at every question, as in
/// `rebinds.test=127.0.0.2,127.0.0.1`. Tests stand in for a server of names with it.
pub const NAMES_VARIABLE: &str = "PROJECTIONIST_NAMES";

/// Who is asked for addresses.
pub(super) struct Names {
    /// By name: the answers that are left. The last one stays.
    planned: Mutex<Vec<(String, Vec<String>)>>,
}

impl Names {
    /// The resolver of this machine.
    pub fn of_this_machine() -> Names {
        let variable = match cfg!(debug_assertions) {
            true => std::env::var(NAMES_VARIABLE).ok(),
            false => None,
        };
        Names::planned(&variable.unwrap_or_default())
    }

    fn planned(text: &str) -> Names {
        let plans = text.split(';').filter_map(|plan| plan.split_once('='));
        let plans = plans.map(|(name, answers)| {
            let answers = answers.split(',').map(str::to_owned);
            (name.to_owned(), answers.collect())
        });
        Names {
            planned: Mutex::new(plans.collect()),
        }
    }

    /// The addresses that the host of an origin stands for now.
    pub async fn ask(&self, origin: &Origin) -> io::Result<Vec<SocketAddr>> {
        let planned = self.next(&origin.host);
        let host = planned.as_ref().unwrap_or(&origin.host).clone();
        let found = tokio::net::lookup_host((host, origin.port)).await?;
        Ok(found.take(MAX_ADDRESSES).collect())
    }

    fn next(&self, name: &str) -> Option<String> {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, answers) = planned.iter_mut().find(|(planned, _)| planned == name)?;
        match answers.len() {
            0 => None,
            1 => answers.first().cloned(),
            _ => Some(answers.remove(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(names: &Names, origin: &str) -> Vec<String> {
        let found = names.ask(&origin.parse().expect("an origin")).await;
        let found = found.expect("an answer");
        found.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn an_address_stands_for_itself_with_the_port_of_its_origin() {
        let names = Names::planned("");
        assert_eq!(asked(&names, "http://127.0.0.1:81").await, ["127.0.0.1:81"]);
        assert_eq!(asked(&names, "https://[::1]").await, ["[::1]:443"]);
    }

    #[tokio::test]
    async fn a_planned_name_answers_something_else_at_each_question() {
        let names = Names::planned("rebinds.test=127.0.0.2,127.0.0.1");
        for expected in ["127.0.0.2:80", "127.0.0.1:80", "127.0.0.1:80"] {
            assert_eq!(asked(&names, "http://rebinds.test").await, [expected]);
        }
    }
}
