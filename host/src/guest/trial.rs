//! Trying out whether this machine really keeps guests within their limits: a loop that is to be stopped.

use std::time::{Duration, Instant};

use super::call::Call;
use super::failure::from_trap;
use super::limits::Limits;
use super::runtime::Runtime;
use super::state::{State, new_store};
use subscription::ErrorClass;

/// What the loop may take, in milliseconds.
const LIMIT_MS: u64 = 100;

/// `(module (func (export "f") (loop br 0)))`
const LOOP: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x05\x01\x01f\0\0\x0a\x09\x01\x07\0\x03\x40\x0c\0\x0b\x0b";

impl Runtime {
    /// Runs a loop without end, and says how long it took to stop it.
    ///
    /// # Errors
    /// It could not be run, or ended in another way; the reason in words.
    pub async fn stop_a_loop(&self) -> Result<Duration, String> {
        let engine = self.engine().clone();
        let module = wasmtime::Module::new(&engine, LOOP).map_err(|error| format!("{error:#}"))?;
        let state = State::new(None, None, &Limits::default(), self.outbound());
        let mut store = new_store(&engine, state);
        let call = Call::prepare(&mut store, "handle", LIMIT_MS);
        let timed = call.clone();
        let began = Instant::now();
        let ran = call.run(async move {
            let ran = timed.timed(async {
                let instance = wasmtime::Instance::new_async(&mut store, &module, &[]).await?;
                let endless = instance.get_typed_func::<(), ()>(&mut store, "f")?;
                endless.call_async(&mut store, ()).await
            });
            let ran = ran.await;
            (store, ran)
        });
        let (store, ran) = ran.await;
        let Err(error) = ran else {
            return Err("a loop without end came to its end".to_owned());
        };
        let failure = from_trap(&error, store.data());
        match failure.class {
            ErrorClass::Deadline => Ok(began.elapsed()),
            _ => Err(failure.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_is_stopped() {
        let runtime = Runtime::new().expect("a runtime");
        let took = runtime.stop_a_loop().await.expect("stopped");
        assert!(took >= Duration::from_millis(LIMIT_MS), "{took:?}");
    }
}
