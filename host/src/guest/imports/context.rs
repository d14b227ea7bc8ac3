//! `projectionist:guest/context` and `projectionist:config/store`: what a guest may know of its call.

use crate::guest::bindings::projectionist::{config, guest};
use crate::guest::limits::{Exceeded, MAX_RETRY_CONTEXT_BYTES};
use crate::guest::state::State;

/// The attribute that tells whether effects are dropped: `true` or `false`.
const MUTED: &str = "muted";

/// The attribute that tells that the export `finish` is called: `true`.
const FINISH: &str = "finish";

impl guest::context::Host for State {
    async fn subscriber_id(&mut self) -> wasmtime::Result<String> {
        self.count_host_call()?;
        Ok(self.context()?.subscriber_id.clone())
    }

    async fn attempt(&mut self) -> wasmtime::Result<u32> {
        self.count_host_call()?;
        Ok(self.context()?.attempt)
    }

    async fn live(&mut self) -> wasmtime::Result<bool> {
        self.count_host_call()?;
        Ok(self.context()?.live)
    }

    async fn retry_context(&mut self) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        let earlier = self.context()?.retry_context.clone();
        Ok(self.new_retry_context.clone().or(earlier))
    }

    async fn set_retry_context(&mut self, text: String) -> wasmtime::Result<()> {
        self.count_host_call()?;
        if text.len() > MAX_RETRY_CONTEXT_BYTES {
            let did = format!("the retry context has {} bytes", text.len());
            let max = MAX_RETRY_CONTEXT_BYTES as u64;
            return Err(Exceeded::new("retry-context-bytes", max, did).into());
        }
        self.new_retry_context = Some(text);
        Ok(())
    }

    async fn attribute(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        let muted = self.context()?.muted;
        Ok(match name.as_str() {
            MUTED => Some(muted.to_string()),
            FINISH => Some(true.to_string()),
            _ => None,
        })
    }

    async fn event_attribute(
        &mut self,
        _position: u64,
        _name: String,
    ) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        Ok(None)
    }
}

impl config::store::Host for State {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        Ok(self.context()?.settings.get(&key).cloned())
    }

    async fn get_all(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.count_host_call()?;
        Ok(self
            .context()?
            .settings
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}
