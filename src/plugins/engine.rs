//! The script engine with every limit set, and the checks that a script passes before it may run.

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage, BasicStringPackage,
    LogicPackage, Package,
};
use rhai::{AST, Dynamic, Engine, Module, OptimizationLevel, Scope, ScriptFuncDef};

use super::{budget, library, view};

/// What a script's `fn filter(n)` is called once it is compiled. Under its own name it would hide the `filter` of arrays
/// and maps, as a script's function comes before the engine's: `n.tags.filter(|tag| ...)` would call it again, for ever.
/// No script can say this name.
pub(super) const ENTRY: &str = "fn filter";
/// Most elements of an array, nested ones included.
pub(super) const MAX_ARRAY: usize = 1_000;
/// Most entries of a map, nested ones included.
const MAX_MAP: usize = 200;
/// Most bytes of a text, and of all texts inside one array or map. Long messages fit. No function makes a text longer
/// than the sum of its arguments, so this also bounds what one operation allocates.
const MAX_STRING: usize = 16 * 1024;
/// Deepest nesting of calls. With the depths below it keeps the stack under a worker thread's 2 MiB, also unoptimised.
const MAX_CALLS: usize = 16;
/// Deepest nesting of expressions outside functions and inside.
const MAX_EXPRESSION: (usize, usize) = (32, 24);
/// Most variables alive in one call, and most functions in a script.
const MAX_VARIABLES: usize = 64;
const MAX_FUNCTIONS: usize = 32;

/// The constants that every function of a script sees: set per call through the engine's tag.
#[derive(Debug, Clone)]
pub(super) struct Constants {
    pub(super) params: view::View,
    pub(super) ctx: view::Context,
}

/// Builds the engine that all plugins share. It has no modules, files, clock, randomness or standard output; the
/// core package is left out for its `sleep`, the one of more strings for `replace` and `pad`, which allocate or loop
/// before any limit is looked at.
pub(super) fn build() -> Engine {
    let mut engine = Engine::new_raw();
    for package in [
        ArithmeticPackage::new().as_shared_module(),
        LogicPackage::new().as_shared_module(),
        BasicMathPackage::new().as_shared_module(),
        BasicIteratorPackage::new().as_shared_module(),
        BasicArrayPackage::new().as_shared_module(),
        BasicMapPackage::new().as_shared_module(),
        BasicStringPackage::new().as_shared_module(),
    ] {
        engine.register_global_module(package);
    }
    engine
        .set_max_call_levels(MAX_CALLS)
        .set_max_expr_depths(MAX_EXPRESSION.0, MAX_EXPRESSION.1)
        .set_max_string_size(MAX_STRING)
        .set_max_array_size(MAX_ARRAY)
        .set_max_map_size(MAX_MAP)
        .set_max_variables(MAX_VARIABLES)
        .set_max_functions(MAX_FUNCTIONS)
        .set_max_operations(0) // counted by `budget`
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_optimization_level(OptimizationLevel::Simple) // `Full` would run functions at compile time
        .disable_symbol("eval")
        .on_progress(|_| budget::spend(1).err().map(|limit| Dynamic::from(format!("{limit:?}"))));
    resolve_constants(&mut engine);
    library::register(&mut engine);
    view::register(&mut engine);
    engine
}

/// Makes `params` and `ctx` visible in every function: a scope would reach only the one that is called from Rust.
#[expect(
    deprecated,
    reason = "rhai marks `on_var` as volatile, not as deprecated; rhai's version is pinned by the lock file"
)]
fn resolve_constants(engine: &mut Engine) {
    engine.on_var(|name, index, context| {
        // A local variable of that name has an index, and hides the constant.
        if index != 0 || !matches!(name, "params" | "ctx") {
            return Ok(None);
        }
        let constants = context.tag().read_lock::<Constants>();
        Ok(constants.map(|constants| match name {
            "params" => Dynamic::from(constants.params.clone()),
            _ => Dynamic::from(constants.ctx),
        }))
    });
}

/// Compiles a script that declares `fn filter(n)`; else says what is wrong with it, with line and column if known.
pub(super) fn compile(engine: &Engine, script: &str) -> Result<AST, String> {
    // Strict variables ask for the names; the values come with each call.
    let mut names = Scope::new();
    names.push("params", ()).push("ctx", ());
    let ast = engine.compile_with_scope(&names, script).map_err(|error| lower_first(&error.to_string()))?;
    // One for a type, `fn array.filter(f)`, is another function.
    let entries = ast.iter_functions().filter(|function| function.name == "filter" && function.this_type.is_none());
    let arities: Vec<_> = entries.map(|function| function.params.len()).collect();
    match arities[..] {
        [1] => Ok(with_entry_renamed(&ast)),
        [] => Err("there is no `fn filter(n)`".into()),
        [arity] => Err(format!("`fn filter` takes {arity} parameters, not the notification alone")),
        _ => Err("`fn filter` is declared more than once".into()),
    }
}

/// The functions of a script, with `fn filter(n)` as [`ENTRY`].
fn with_entry_renamed(ast: &AST) -> AST {
    let mut functions = Module::new();
    for (.., function) in ast.shared_lib().iter_script_fn_info() {
        let mut function = ScriptFuncDef::clone(function);
        if function.name == "filter" && function.this_type.is_none() {
            function.name = ENTRY.into();
        }
        functions.set_script_fn(function);
    }
    AST::new_from_module(functions)
}

/// Messages are lower case; rhai's start upper case.
fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
