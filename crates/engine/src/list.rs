//! The list of containers, from engines that have more words for a container's state than the client library.
//!
//! podman says `stopped`, `configured` and `initialized` (its libpod/define/containerstate.go) where Docker says
//! `exited` and `created`, and one such container makes the whole list unreadable. It must not read anything else
//! more kindly: an answer that is cut off stays an error.

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptions;
use serde_json::Value;

/// As [`Docker::list_containers`], with podman's states in Docker's words; one that neither has is left away.
///
/// # Errors
///
/// Those of the client library.
pub async fn list_containers(
    docker: &Docker,
    options: ListContainersOptions,
) -> Result<Vec<ContainerSummary>, Error> {
    match docker.list_containers(Some(options)).await {
        Err(Error::JsonDataError {
            message,
            contents,
            column,
        }) => read(&contents).ok_or(Error::JsonDataError {
            message,
            contents,
            column,
        }),
        other => other,
    }
}

fn read(contents: &str) -> Option<Vec<ContainerSummary>> {
    let mut list: Vec<Value> = serde_json::from_str(contents).ok()?;
    for one in &mut list {
        let fields = one.as_object_mut()?;
        let state = fields
            .get("State")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let known = match state {
            "stopped" => "exited",
            "configured" | "initialized" => "created",
            other => other,
        };
        // The empty word is one of the library's.
        let known = known.parse().unwrap_or(ContainerSummaryStateEnum::EMPTY);
        fields.insert("State".into(), known.to_string().into());
    }
    serde_json::from_value(list.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_states_are_read_in_dockers_words() {
        let states = ["stopped", "initialized", "running", "exited", "unheard-of"];
        let list: Vec<Value> = states
            .map(|state| serde_json::json!({ "Id": "a", "State": state }))
            .into();
        let read = read(&Value::from(list).to_string()).unwrap();
        let words: Vec<String> = read
            .iter()
            .map(|one| one.state.map(|state| state.to_string()).unwrap_or_default())
            .collect();
        assert_eq!(words, ["exited", "created", "running", "exited", ""]);
    }

    #[test]
    fn what_is_no_list_stays_an_error() {
        for contents in ["", "[{", "{}", "[1]", r#"[{"State":"stopped","Ports":1}]"#] {
            assert!(read(contents).is_none(), "{contents}");
        }
    }
}
