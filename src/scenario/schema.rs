//! The JSON schema of scenario files, checked in as `scenarios/schema.json`.

use super::section::Scenario;

/// The schema as indented JSON, ending in a newline.
pub fn json() -> String {
    let schema = schemars::schema_for!(Scenario);
    let text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text + "\n"
}
