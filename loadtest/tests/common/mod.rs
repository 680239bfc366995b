//! A whole server within the test, the program as people start it, and a folder that goes away.

// Each test file uses some of it.
#![allow(dead_code)]

use openmsrp::control::config::Raw;
use openmsrp::control::values::{At, Shards};
use openmsrp::server::{self, Listening};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

pub(crate) struct Server {
    pub(crate) sip: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(Raw::default())
    }

    pub(crate) fn start_with(raw: Raw) -> Self {
        let listen = || vec![At(SocketAddr::from(([127, 0, 0, 1], 0)))];
        let raw = Raw { sip: listen(), msrp: listen(), shards: Some(Shards(2)), ..raw };
        let config = raw.check(1).unwrap();
        let (tell, ready) = channel::<Listening>();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let ready = |l: &Listening| tell.send(l.clone()).unwrap();
            server::run(&config, ready, async {
                let _ = stopped.await;
            })
            .unwrap();
        });
        Self { sip: ready.recv().unwrap().sip[0], stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

/// A directory of one test, gone afterwards.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("openmsrp-loadtest-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn program(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_openmsrp-loadtest"));
    command.args(line.split_whitespace()).stdin(Stdio::null());
    command
}

pub(crate) fn run(line: &str) -> Output {
    program(line).output().unwrap()
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
