//! `jobs`: which container is in which job.

mod choice;
mod row;

use std::collections::HashMap;

use serde_json::Value;

use self::row::{now, since, times, Row, HEADINGS};
pub use self::{choice::Choice, row::brief};
use super::client::{Client, Error};
use crate::proto::{
    ContainerState, ContainerStatusRequest, ListContainersRequest, ListPodSandboxRequest,
};

/// Lists containers and jobs.
///
/// # Errors
/// A daemon that cannot be reached.
pub fn run(client: &Client, as_json: bool, choice: &Choice) -> Result<String, Error> {
    let mut rows = rows(client)?;
    rows.retain(|row| choice.takes(row));
    choice.sort(&mut rows);
    if as_json {
        let list: Vec<_> = rows.iter().map(Row::json).collect();
        return Ok(format!("{:#}\n", Value::from(list)));
    }
    let mut table = vec![HEADINGS.map(str::to_owned)];
    table.extend(rows.iter().map(Row::cells));
    Ok(render(&table))
}

fn rows(client: &Client) -> Result<Vec<Row>, Error> {
    let sandboxes = client
        .runtime(|c, o| c.list_pod_sandbox(&ListPodSandboxRequest::default(), o))?
        .items;
    let pods: HashMap<String, String> = sandboxes
        .into_iter()
        .map(|item| {
            (
                item.id,
                format!("{}/{}", item.metadata.namespace, item.metadata.name),
            )
        })
        .collect();
    let containers = client
        .runtime(|c, o| c.list_containers(&ListContainersRequest::default(), o))?
        .containers;
    let mut rows = Vec::with_capacity(containers.len());
    for container in containers {
        let request = ContainerStatusRequest {
            container_id: container.id.clone(),
            verbose: true,
            ..Default::default()
        };
        // Removed between the two calls: it has no row.
        let Ok(status) = client.runtime(|c, o| c.container_status(&request, o)) else {
            continue;
        };
        let remote = status
            .info
            .get("remote")
            .and_then(|text| serde_json::from_str(text).ok());
        let remote = remote.unwrap_or(Value::Null);
        let shown = &status.status;
        let (queued, ran) = times(&remote, shown.started_at, shown.finished_at, now());
        rows.push(Row {
            pod: pods
                .get(&container.pod_sandbox_id)
                .cloned()
                .unwrap_or_default(),
            sandbox: container.pod_sandbox_id,
            container: container.metadata.name.clone(),
            id: container.id,
            state: match container.state.enum_value_or_default() {
                ContainerState::CONTAINER_CREATED => "created",
                ContainerState::CONTAINER_RUNNING => "running",
                ContainerState::CONTAINER_EXITED => "exited",
                ContainerState::CONTAINER_UNKNOWN => "unknown",
            },
            remote,
            age: since(container.created_at, now()),
            queued,
            ran,
        });
    }
    Ok(rows)
}

/// Columns as wide as their widest cell.
pub fn render<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("   ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["A", "LONG"], ["longer", "b"]].map(|row| row.map(str::to_owned));
        assert_eq!(render(&rows), "A        LONG\nlonger   b\n");
    }
}
