//! A pod that the box has no room for waits, and begins when there is room.

use std::thread;

use anyhow::{Result, ensure};

use crate::{
    pods::{PATIENCE, Pod, one},
    world::World,
};

pub(super) fn waits(world: &World) -> Result<()> {
    // Two of these are more than the box has.
    let most = thread::available_parallelism()?.get() * 1000 * 3 / 5;
    let of = |name: &str, milli: usize| {
        one(name, "sleep", &format!("      resources: {{ requests: {{ cpu: {milli}m }} }}\n"), "")
    };
    let first = Pod::apply(world, "room-first", &of("room-first", most))?;
    first.await_running("main")?;
    let second = Pod::apply(world, "room-second", &of("room-second", most))?;
    let wanted = "0/1 nodes are available: 1 Insufficient cpu.";
    world.wait_until("it waits for room", PATIENCE, || {
        let object = second.object()?;
        let condition = object["status"]["conditions"][0].clone();
        let found = [&condition["type"], &condition["status"], &condition["reason"], &condition["message"]];
        ensure!(found == ["PodScheduled", "False", "Unschedulable", wanted], "its condition is {condition}");
        ensure!(object["status"]["phase"] == "Pending", "it is {}", object["status"]);
        ensure!(object["spec"]["nodeName"].is_null(), "it is on {}", object["spec"]["nodeName"]);
        Ok(())
    })?;
    // Who needs less is not held back.
    let small = Pod::apply(world, "room-small", &of("room-small", 100))?;
    small.await_running("main")?;
    ensure!(second.ledger()?.is_empty(), "it was started: {:?}", second.ledger()?);
    first.delete()?;
    second.await_running("main")
}
