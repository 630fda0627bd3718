//! The JSON schema of scenario files, checked in as `scenarios/schema.json`.

use serde_json::Value;

use super::section::Scenario;

/// The schema as indented JSON, ending in a newline.
pub fn json() -> String {
    let mut schema = schemars::schema_for!(Scenario).to_value();
    plain_descriptions(&mut schema);
    let text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text + "\n"
}

/// Cuts references to Rust items (``; see [`item`]``) from descriptions: editors show them as text.
fn plain_descriptions(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(text)) = object.get_mut("description")
                && let Some(start) = text.find("; see [`")
            {
                let end = text[start..].find(']').map_or(text.len(), |end| start + end + 1);
                text.replace_range(start..end, "");
            }
            object.values_mut().for_each(plain_descriptions);
        }
        Value::Array(array) => array.iter_mut().for_each(plain_descriptions),
        _ => {}
    }
}
