//! The first deaths: each is said alike by the status, by the ledger and by the metrics, with who did it and whose limit it was.

mod above;
mod autopsy;
mod storm;
pub(crate) mod truth;

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Case;
use crate::{
    pods::{PATIENCE, Pod, ledger, one, sample},
    wire::Mode,
    world::World,
};

const MIB: u64 = 1 << 20;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case { name, mode: Mode::Shared, limit: Duration::from_secs(180), run };
    vec![
        case("exit_0_is_completed", exit_0),
        case("exit_7_is_an_error_with_its_code", exit_7),
        case("a_host_process_that_kills_is_named", killed_by_host),
        case("a_fault_names_its_address", segv),
        case("an_abort_of_process_1_ends_in_a_fault", abort),
        case("the_main_process_over_its_limit_is_oom_killed", oom_of_main),
        case("a_child_that_is_oom_killed_leaves_the_container_alive", oom_of_child_alone),
        case("a_child_that_is_oom_killed_takes_its_group_along", oom_of_child_with_group),
        case("after_the_grace_period_carob_kills_and_says_so", grace_expired),
        case("the_code_is_the_processs_not_its_leaders", leader_first),
        case("the_victim_is_charged_and_the_senders_pod_named", killed_from_another_pod),
        case("the_limit_of_a_cgroup_above_the_pods_is_named", above::ancestor),
        case("a_node_without_memory_is_named", above::node),
        case("why_a_container_was_to_end_outlives_the_agent", above::asked_before),
        case("a_box_can_be_examined_by_its_user", autopsy::performed),
        case("each_fact_has_its_source_or_a_reason", autopsy::evidence),
        case("other_processes_of_a_container_are_not_its_end", children_do_not_count),
        Case {
            name: "every_row_of_the_truth_table_holds",
            mode: Mode::Shared,
            limit: Duration::from_secs(1500),
            run: truth::holds,
        },
        Case {
            name: "twenty_pods_that_fork_as_fast_as_they_can_are_counted_exactly",
            mode: Mode::Shared,
            limit: Duration::from_secs(600),
            run: storm::of_twenty,
        },
        Case {
            name: "new_kernel_programs_take_over_without_a_gap",
            mode: Mode::Shared,
            limit: Duration::from_secs(300),
            run: storm::while_upgraded,
        },
        case("programs_that_know_nobody_learn_who_runs", storm::after_programs_went),
        case("all_sources_agreed_on_every_death", no_mismatch),
        // Last: from here on records have been lost.
        case("a_full_ring_loses_detail_and_says_how_much", storm::with_a_full_ring),
    ]
}

/// What one end has to look like from outside.
struct Expected<'a> {
    code: i64,
    signal: Option<i64>,
    reason: &'a str,
    cause: &'a str,
    /// What the human line contains.
    says: &'a str,
}

/// Status, ledger and metrics of the first attempt of `main`, compared with one expectation. Gives back the ledger's end.
fn check(world: &World, pod: &Pod<'_>, name: &str, expected: &Expected<'_>) -> Result<Value> {
    let end = pod.end("main", 0)?;
    let Expected { code, signal, reason, cause, says } = *expected;
    let row = [&end["exitCode"], &end["signal"], &end["reason"], &end["cause"], &end["source"]];
    let wanted = [json!(code), json!(signal), json!(reason), json!(cause), json!("kernel")];
    ensure!(row.iter().zip(&wanted).all(|(a, b)| *a == b), "the ledger says {end}, not {wanted:?}");
    let message = end["message"].as_str().unwrap_or_default();
    ensure!(message.contains(says), "the message is {message:?}, without {says:?}");
    let why = world.carob_ok(&["why", name])?;
    ensure!(why.contains(says), "why says {why}, without {says:?}");
    let terminated = world.wait_until("the status shows the end", PATIENCE, || {
        let state = pod.container("main")?["state"]["terminated"].clone();
        ensure!(state.is_object(), "no end in {:?}", pod.container("main"));
        Ok(state)
    })?;
    ensure!(terminated["exitCode"] == code && terminated["reason"] == reason, "the status says {terminated}");
    ensure!(terminated["signal"].as_i64() == signal, "the status says {terminated}");
    counted(world, name, expected)?;
    Ok(end)
}

fn counted(world: &World, pod: &str, expected: &Expected<'_>) -> Result<()> {
    let page = world.metrics()?;
    let signal = expected.signal.unwrap_or(0).to_string();
    let labels = [
        ("pod", pod),
        ("container", "main"),
        ("reason", expected.reason),
        ("signal", &signal),
        ("cause", expected.cause),
    ];
    let count = sample(&page, "carob_container_terminations_total", &labels)?;
    ensure!(count == 1.0, "{count} terminations counted for {labels:?}");
    let reason = [("pod", pod), ("container", "main"), ("reason", expected.reason)];
    let shown = sample(&page, "kube_pod_container_status_terminated_reason", &reason)?;
    ensure!(shown == 1.0, "the terminated reason has the value {shown}");
    Ok(())
}

fn exit_0(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "exit-0", &one("exit-0", "exit 0", "", ""))?;
    let expected =
        Expected { code: 0, signal: None, reason: "Completed", cause: "completed", says: "exit code 0" };
    check(world, &pod, "exit-0", &expected)?;
    let phase = pod.object()?["status"]["phase"].clone();
    ensure!(phase == "Succeeded", "the phase is {phase}");
    Ok(())
}

fn exit_7(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "exit-7", &one("exit-7", "exit 7", "", ""))?;
    let expected = Expected { code: 7, signal: None, reason: "Error", cause: "error", says: "exit code 7" };
    check(world, &pod, "exit-7", &expected)?;
    let phase = pod.object()?["status"]["phase"].clone();
    ensure!(phase == "Failed", "the phase is {phase}");
    Ok(())
}

fn killed_by_host(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "host-kill", &one("host-kill", "sleep", "", ""))?;
    pod.await_running("main")?;
    let pid = pod.main_pid("main", 0)?.to_string();
    let mut kill = Command::new("/bin/kill").args(["-KILL", &pid]).spawn().context("start kill")?;
    let says = format!("SIGKILL from host process {} (kill, uid 0)", kill.id());
    kill.wait()?;
    let expected = Expected { code: 137, signal: Some(9), reason: "Error", cause: "host", says: &says };
    check(world, &pod, "host-kill", &expected).map(drop)
}

fn segv(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "segv", &one("segv", "segv", "", ""))?;
    let expected = Expected {
        code: 139,
        signal: Some(11),
        reason: "Error",
        cause: "kernel",
        says: "SIGSEGV: fault at 0x",
    };
    check(world, &pod, "segv", &expected).map(drop)
}

/// A first process has no default action for SIGABRT: the kernel drops it, and abort(3) goes on to its last resort, a
/// forbidden instruction. So 139 is the truth here, whoever runs the container.
fn abort(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "abort", &one("abort", "abort", "", ""))?;
    let expected =
        Expected { code: 139, signal: Some(11), reason: "Error", cause: "kernel", says: "SIGSEGV: fault" };
    check(world, &pod, "abort", &expected).map(drop)
}

const LIMIT_24: &str = "      resources: { limits: { memory: 24Mi } }\n";

fn oom_of_main(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "oom-main", &one("oom-main", "hog 200", LIMIT_24, ""))?;
    let expected = Expected {
        code: 137,
        signal: Some(9),
        reason: "OOMKilled",
        cause: "oom",
        says: "OOM: container limit 24Mi, main process, peak",
    };
    let end = check(world, &pod, "oom-main", &expected)?;
    ensure!(end["limit"] == json!({"of": "container", "bytes": 24 * MIB}), "the limit is {}", end["limit"]);
    let peak = end["peakMemoryBytes"].as_u64().unwrap_or_default();
    ensure!((16 * MIB..=28 * MIB).contains(&peak), "the peak is {peak}");
    Ok(())
}

/// The child dies, the main one lives on; its own end much later is not an OOM kill, whatever was counted before.
fn oom_of_child_alone(world: &World) -> Result<()> {
    let manifest = one("oom-child", "hog-child 200", LIMIT_24, "  terminationGracePeriodSeconds: 60\n");
    let manifest = manifest.replace(
        "  name: oom-child\n",
        "  name: oom-child\n  annotations: { carob.dev/oom-group: \"false\" }\n",
    );
    let pod = Pod::apply(world, "oom-child", &manifest)?;
    pod.await_log("main", "child ended: code None signal Some(9)")?;
    let events = world.cgroup(&pod.cgroup_name("main", 0), "memory.events")?;
    ensure!(events.contains("oom_kill 1"), "no OOM kill was counted: {events}");
    let state = pod.container("main")?["state"].clone();
    ensure!(state["running"].is_object(), "the container is {state}");
    pod.delete()?;
    let rows = ledger(world, "oom-child")?;
    let end = &rows.last().context("no row")?["end"];
    ensure!(
        end["reason"] == "Completed" && end["cause"] == "completed" && end["exitCode"] == 0,
        "its end is {end}"
    );
    Ok(())
}

fn oom_of_child_with_group(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "oom-group", &one("oom-group", "hog-child 200", LIMIT_24, ""))?;
    let says = "OOM: container limit 24Mi, child process, the main one with it";
    let expected = Expected { code: 137, signal: Some(9), reason: "OOMKilled", cause: "oom", says };
    check(world, &pod, "oom-group", &expected).map(drop)
}

fn grace_expired(world: &World) -> Result<()> {
    let manifest = one("stubborn", "ignore-term", "", "  terminationGracePeriodSeconds: 3\n");
    let pod = Pod::apply(world, "stubborn", &manifest)?;
    pod.await_log("main", "ignoring")?;
    pod.delete()?;
    let rows = ledger(world, "stubborn")?;
    let end = &rows.last().context("the ledger forgot a pod that is gone")?["end"];
    let said = [&end["exitCode"], &end["signal"], &end["cause"], &end["message"]];
    let wanted = [json!(137), json!(9), json!("agent"), json!("SIGKILL from carob: grace period expired")];
    ensure!(said.iter().zip(&wanted).all(|(a, b)| *a == b), "its end is {end}");
    Ok(())
}

fn leader_first(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "leader", &one("leader", "threads-leader-first 5", "", ""))?;
    let expected = Expected { code: 5, signal: None, reason: "Error", cause: "error", says: "exit code 5" };
    check(world, &pod, "leader", &expected).map(drop)
}

/// A process inside pod A's container kills pod B's main process.
fn killed_from_another_pod(world: &World) -> Result<()> {
    let sender = Pod::apply(world, "sender", &one("sender", "sleep", "", ""))?;
    let victim = Pod::apply(world, "victim", &one("victim", "sleep", "", ""))?;
    sender.await_running("main")?;
    victim.await_running("main")?;
    let cgroup =
        format!("/sys/fs/cgroup/carob.slice/carob-pods.service/pods/{}", sender.cgroup_name("main", 0));
    let pid = victim.main_pid("main", 0)?;
    // The shell joins the sender's container before it sends.
    let script = format!("echo $$ > {cgroup}/cgroup.procs && exec /bin/kill -KILL {pid}");
    world.command("/bin/sh", &["-c", &script])?;
    let says = "of pod default/sender, container main";
    let expected = Expected { code: 137, signal: Some(9), reason: "Error", cause: "container", says };
    check(world, &victim, "victim", &expected)?;
    let state = sender.container("main")?["state"].clone();
    ensure!(state["running"].is_object(), "the sender is {state}");
    let of_sender = sender.ledger()?;
    ensure!(of_sender.iter().all(|row| row["end"].is_null()), "the sender was charged: {of_sender:?}");
    Ok(())
}

fn children_do_not_count(world: &World) -> Result<()> {
    let manifest = one("children", "sleep", "", "").replace(
        "command: [\"/work\", \"sleep\"]",
        "command: [\"sh\", \"-c\", \"for n in 1 2 3 4 5; do (exit 9); done; echo forked; /work exit 3; exec /work sleep\"]",
    );
    let pod = Pod::apply(world, "children", &manifest)?;
    pod.await_log("main", "forked")?;
    pod.await_running("main")?;
    pod.delete()?;
    let rows = ledger(world, "children")?;
    ensure!(rows.len() == 1, "{} attempts for one", rows.len());
    ensure!(rows[0]["end"]["exitCode"] == 0, "its end is {}", rows[0]["end"]);
    Ok(())
}

fn no_mismatch(world: &World) -> Result<()> {
    crate::pods::ready(world)?;
    let page = world.metrics()?;
    for name in ["carob_accounting_mismatch_total", "carob_accounting_lost_records_total"] {
        let value = sample(&page, name, &[])?;
        ensure!(value == 0.0, "{name} is {value}");
    }
    let programs = sample(&page, "carob_kernel_programs", &[])?;
    ensure!(programs == 1.0, "the kernel programs are not in use");
    Ok(())
}
