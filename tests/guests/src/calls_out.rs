//! What the guests share that send HTTP requests: where to and with what is set by the test, in `[settings]`.

use projectionist_sdk::prelude::*;

const CREATE_ANSWERS: &str = "CREATE TABLE answers (
    position bigint NOT NULL,
    n bigint NOT NULL,
    status bigint NOT NULL,
    headers text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (position, n)
)";
const NOTE: &str =
    "INSERT INTO answers (position, n, status, headers, body) VALUES ($1, $2, $3, $4, $5)";

/// The `setup` of a guest that keeps answers.
pub fn create_answers(sql: Sql) -> Result {
    sql.execute(CREATE_ANSWERS, &[])?;
    Ok(())
}

/// Sends `times` requests of `method` to `url`, with `header` (`name: value`) and `body-bytes` bytes, and keeps the answers. With
/// `goes-on` it keeps errors, too, instead of failing with the first. With `follows` it goes where it is redirected to.
pub fn call_out(message: Message, config: Config, http: Http, sql: Sql) -> Result {
    let url = config
        .get("url")
        .ok_or_else(|| Failure::stop("`url` is not set"))?;
    let method = config.get("method").unwrap_or_else(|| "GET".to_owned());
    let body_bytes: usize = config.parse_or("body-bytes", 0)?;
    let goes_on: bool = config.parse_or("goes-on", false)?;
    let follows: bool = config.parse_or("follows", false)?;
    for n in 0..config.parse_or("times", 1_i64)? {
        let mut request = http.request(&method, &url);
        if let Some((name, value)) = config
            .get("header")
            .as_deref()
            .and_then(|set| set.split_once(": "))
        {
            request = request.header(name, value);
        }
        if body_bytes > 0 {
            request = request.body(vec![b'x'; body_bytes]);
        }
        let answered = request
            .send()
            .and_then(|answer| match answer.header("location") {
                Some(location) if follows => http.get(location).send(),
                _ => Ok(answer),
            });
        let (status, headers, body) = match answered {
            Ok(answer) => {
                let headers = answer.headers();
                let headers = headers
                    .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value)));
                let body = String::from_utf8_lossy(answer.body()).into_owned();
                (i64::from(answer.status()), headers.collect(), body)
            }
            Err(error) if goes_on => (0, String::new(), error.to_string()),
            Err(error) => return Err(error.into()),
        };
        let position = i64::try_from(message.position())?;
        sql.execute(NOTE, &params![position, n, status, headers, body])?;
    }
    Ok(())
}
