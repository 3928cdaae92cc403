//! What engines say of containers, where they have more words for a state than the client library.
//!
//! podman says `stopped`, `configured` and `initialized` (its libpod/define/containerstate.go) where Docker says
//! `exited` and `created`, and one such container makes a whole list unreadable. It must not read anything else
//! more kindly: an answer that is cut off stays an error.

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::ListContainersOptions;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// As [`Docker::list_containers`], with podman's states in Docker's words; one that neither has is left away.
///
/// # Errors
///
/// Those of the client library.
pub async fn list_containers(
    docker: &Docker,
    options: ListContainersOptions,
) -> Result<Vec<ContainerSummary>, Error> {
    let answer = docker.list_containers(Some(options)).await;
    in_dockers_words(answer, of_list)
}

/// As [`Docker::inspect_container`], with the state in Docker's words.
///
/// # Errors
///
/// Those of the client library.
pub async fn inspect_container(
    docker: &Docker,
    id: &str,
) -> Result<ContainerInspectResponse, Error> {
    let answer = docker.inspect_container(id, None).await;
    in_dockers_words(answer, of_inspection)
}

/// Reads an answer that could not be read once more, with its states translated.
fn in_dockers_words<T: DeserializeOwned>(
    answer: Result<T, Error>,
    translate: impl FnOnce(&mut Value) -> Option<()>,
) -> Result<T, Error> {
    answer.or_else(|error| {
        let Error::JsonDataError { contents, .. } = &error else {
            return Err(error);
        };
        let again = || {
            let mut value = serde_json::from_str(contents).ok()?;
            translate(&mut value)?;
            serde_json::from_value(value).ok()
        };
        again().ok_or(error)
    })
}

fn of_list(list: &mut Value) -> Option<()> {
    let containers = list.as_array_mut()?.iter_mut();
    containers
        .map(|one| translate(one.as_object_mut()?, "State"))
        .collect()
}

fn of_inspection(container: &mut Value) -> Option<()> {
    let state = container.as_object_mut()?.get_mut("State")?;
    translate(state.as_object_mut()?, "Status")
}

fn translate(fields: &mut Map<String, Value>, name: &str) -> Option<()> {
    let known = match fields.get(name)?.as_str()? {
        "stopped" => "exited",
        "configured" | "initialized" => "created",
        other => other,
    };
    // The empty word is one of the library's, for those that nobody knows.
    let known = known.parse().unwrap_or(ContainerSummaryStateEnum::EMPTY);
    fields.insert(name.into(), known.to_string().into());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the library makes of it, and what comes of that here.
    fn read<T: DeserializeOwned>(
        contents: &str,
        translate: impl FnOnce(&mut Value) -> Option<()>,
    ) -> Option<T> {
        let answer = serde_json::from_str(contents).map_err(|error| Error::JsonDataError {
            message: error.to_string(),
            contents: contents.to_owned(),
            column: error.column(),
        });
        in_dockers_words(answer, translate).ok()
    }

    fn list(contents: &str) -> Option<Vec<ContainerSummary>> {
        read(contents, of_list)
    }

    #[test]
    fn podmans_states_are_read_in_dockers_words() {
        let states = ["stopped", "initialized", "running", "exited", "unheard-of"];
        let all: Vec<Value> = states
            .map(|state| serde_json::json!({ "Id": "a", "State": state }))
            .into();
        let words: Vec<String> = list(&Value::from(all).to_string())
            .unwrap()
            .iter()
            .map(|one| one.state.map(|state| state.to_string()).unwrap_or_default())
            .collect();
        assert_eq!(words, ["exited", "created", "running", "exited", ""]);
        let one: ContainerInspectResponse =
            read(r#"{"Id":"a","State":{"Status":"stopped"}}"#, of_inspection).unwrap();
        let status = one.state.unwrap().status.unwrap();
        assert_eq!(status.to_string(), "exited");
    }

    #[test]
    fn what_is_no_list_stays_an_error() {
        for contents in ["", "[{", "{}", "[1]", r#"[{"State":"stopped","Ports":1}]"#] {
            assert!(list(contents).is_none(), "{contents}");
        }
    }
}
