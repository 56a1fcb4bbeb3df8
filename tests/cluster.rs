//! A real Kubernetes on this machine: what it is made of, and how Berth lives in it.

#[path = "cluster/classes.rs"]
mod classes;
#[path = "cluster/contention.rs"]
mod contention;
#[path = "cluster/door.rs"]
mod door;
#[path = "cluster/faults.rs"]
mod faults;
#[path = "cluster/forge.rs"]
mod forge;
#[path = "cluster/images.rs"]
mod images;
#[path = "cluster/install.rs"]
mod install;
#[path = "cluster/plugin.rs"]
mod plugin;
#[path = "cluster/ring.rs"]
mod ring;
#[path = "cluster/rows.rs"]
mod rows;
#[path = "cluster/shell.rs"]
mod shell;
#[path = "cluster/shop.rs"]
mod shop;
#[path = "cluster/stage.rs"]
mod stage;
#[path = "cluster/tokens.rs"]
mod tokens;
