//! System V shared memory and POSIX message queues: what the containers of one pod share through its ipc namespace.
//! Neither is in rustix.

#![expect(unsafe_code, reason = "calls of libc that have no safe form")]

use std::{ffi::CString, io, process::ExitCode};

use anyhow::{Context, Result};

const SIZE: usize = 4096;
const MODE: i32 = 0o666;
const MESSAGE: usize = 256;

pub(crate) fn shm_put(key: i32, text: &str) -> Result<ExitCode> {
    let memory = attach(key, libc::IPC_CREAT | MODE)?;
    let bytes = &text.as_bytes()[..text.len().min(SIZE - 1)];
    // SAFETY: the segment has SIZE bytes, of which less than SIZE are written; a zero ends them.
    unsafe {
        memory.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        memory.add(bytes.len()).write(0);
    }
    println!("put");
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn shm_get(key: i32) -> Result<ExitCode> {
    let memory = attach(key, 0)?;
    // SAFETY: the segment has SIZE bytes, all of them initialised by the kernel.
    let bytes = unsafe { std::slice::from_raw_parts(memory, SIZE) };
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    println!("{}", String::from_utf8_lossy(text));
    Ok(ExitCode::SUCCESS)
}

/// The segment in this process's memory, where it stays until the process ends.
fn attach(key: i32, flags: i32) -> Result<*mut u8> {
    // SAFETY: shmget takes no pointers.
    let id = unsafe { libc::shmget(key, SIZE, flags) };
    checked(id).with_context(|| format!("find shared memory {key}"))?;
    // SAFETY: a null address lets the kernel choose one that is free.
    let memory = unsafe { libc::shmat(id, std::ptr::null(), 0) };
    if memory.addr() == usize::MAX {
        return Err(io::Error::last_os_error()).with_context(|| format!("attach shared memory {key}"));
    }
    Ok(memory.cast())
}

pub(crate) fn mq_put(name: &str, text: &str) -> Result<ExitCode> {
    let queue = open(name, libc::O_CREAT | libc::O_WRONLY)?;
    // SAFETY: the pointer and the length are those of one live slice.
    let sent = unsafe { libc::mq_send(queue, text.as_ptr().cast(), text.len(), 0) };
    checked(sent).with_context(|| format!("send to queue {name}"))?;
    println!("put");
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn mq_get(name: &str) -> Result<ExitCode> {
    let queue = open(name, libc::O_RDONLY | libc::O_NONBLOCK)?;
    let mut bytes = [0_u8; MESSAGE];
    // SAFETY: the buffer has the size that is given, and the priority, which may be null, is not asked for.
    let count = unsafe { libc::mq_receive(queue, bytes.as_mut_ptr().cast(), MESSAGE, std::ptr::null_mut()) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error());
    let count = count.with_context(|| format!("receive from queue {name}"))?;
    println!("{}", String::from_utf8_lossy(&bytes[..count]));
    Ok(ExitCode::SUCCESS)
}

fn open(name: &str, flags: i32) -> Result<libc::mqd_t> {
    let text = CString::new(name).context("a queue's name has no zero byte")?;
    // SAFETY: mq_attr is plain integers, for which zero is a value.
    let mut shape: libc::mq_attr = unsafe { std::mem::zeroed() };
    shape.mq_maxmsg = 4;
    shape.mq_msgsize = MESSAGE.try_into()?;
    // SAFETY: the name ends with zero; with O_CREAT the call reads a mode and a pointer to attributes, which is live.
    let queue = unsafe { libc::mq_open(text.as_ptr(), flags, MODE, &raw const shape) };
    checked(queue).with_context(|| format!("open queue {name}"))?;
    Ok(queue)
}

fn checked(answer: i32) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
