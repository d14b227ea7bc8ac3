//! Sin: a component, but of another world: it greets.

#![expect(missing_docs, reason = "generated")]

wit_bindgen::generate!({
    inline: "
        package somebody:other;

        interface greeter {
            greet: func(name: string) -> string;
        }

        world polite {
            export greeter;
        }
    ",
});

struct Polite;

impl exports::somebody::other::greeter::Guest for Polite {
    fn greet(name: String) -> String {
        format!("Good morning, {name}.")
    }
}

#[cfg(target_arch = "wasm32")]
export!(Polite);
