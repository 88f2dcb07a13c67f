//! What plugins write to the log: all of it from here, so that whoever wants to see it knows it by its target.

/// The target of these lines.
pub const TARGET: &str = module_path!();
/// The field of a line that has its text.
pub const TEXT: &str = "text";
/// The field of a line that has what is supposed.
pub const SUPPOSED: &str = "supposed";

/// Writes a line of a plugin.
pub fn say(plugin: &str, text: &str) {
    tracing::info!(plugin, text, "a plugin says");
}

/// Tells what is taken to be true, where a request is only thought of, in place of finding it out.
pub fn suppose(supposed: &str) {
    tracing::info!(supposed, "a plugin is not asked");
}
