//! What wit-bindgen makes of `wit/`: one world with everything in it. What a guest does not call, the linker drops, so a
//! projector built with it imports no `projectionist:append`. Public for what the SDK does not cover.
#![expect(missing_docs, reason = "generated; the documentation is in wit/")]
#![allow(clippy::all, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package projectionist:sdk;

        world guest {
            include projectionist:guest/processor-core@0.1.0;
            export projectionist:guest/lifecycle@0.1.0;
            export projectionist:guest/recovery@0.1.0;
            export projectionist:guest/batch@0.1.0;
            export projectionist:guest/chunk-handler@0.1.0;
        }
    ",
    world: "projectionist:sdk/guest",
    generate_all,
    additional_derives: [PartialEq],
    pub_export_macro: true,
    export_macro_name: "export_component",
    runtime_path: "::wit_bindgen::rt",
    default_bindings_module: "::projectionist_sdk::bindings",
});
