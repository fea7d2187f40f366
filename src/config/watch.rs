//! SKELETON
/// SKELETON
#[derive(Debug)]
pub struct Watcher;
